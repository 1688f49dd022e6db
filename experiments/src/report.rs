//! Tables of means and deviations over seeds, and progress lines.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::ops::ControlFlow;

/// Accuracies, one per seed. Displayed in percent, mean ± standard deviation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accuracies(Vec<f64>);

impl Accuracies {
    pub fn push(&mut self, accuracy: f64) {
        self.0.push(accuracy);
    }

    /// Returns the mean and the standard deviation in percent.
    pub fn mean_and_deviation(&self) -> (f64, f64) {
        let (mean, deviation) = mean_and_deviation(&self.0);
        (100.0 * mean, 100.0 * deviation)
    }
}

impl fmt::Display for Accuracies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, deviation) = self.mean_and_deviation();
        let text = match self.0.len() {
            1 => format!("{mean:.2} %"),
            _ => format!("{mean:.2} ± {deviation:.2} %"),
        };
        formatter.pad(&text)
    }
}

/// The accuracies of several classifiers, in the order of their first results.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(Vec<(&'static str, Accuracies)>);

impl Table {
    pub fn add(&mut self, name: &'static str, accuracy: f64) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, Accuracies::default()));
        }
        for (_, accuracies) in self.0.iter_mut().filter(|(known, _)| *known == name) {
            accuracies.push(accuracy);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "over the seeds, mean ± standard deviation:")?;
        for (name, accuracies) in &self.0 {
            writeln!(formatter, "  {name:<32} {accuracies:>16}")?;
        }
        Ok(())
    }
}

/// Several quantities of several models, one value per seed. Displayed as a table of mean ± standard
/// deviation, models in the order of their first results.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    title: &'static str,
    /// Each with its number of decimals.
    quantities: Vec<(&'static str, usize)>,
    rows: Vec<(String, Vec<Vec<f64>>)>,
}

impl Summary {
    /// Creates a table whose first column, the names of the models, has this title.
    pub fn new(title: &'static str, quantities: &[(&'static str, usize)]) -> Self {
        Self {
            title,
            quantities: quantities.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Returns the mean of each quantity, for each model.
    pub fn means(&self) -> impl Iterator<Item = (&str, Vec<f64>)> {
        let mean = |values: &Vec<f64>| mean_and_deviation(values).0;
        let rows = self.rows.iter();
        rows.map(move |(name, row)| (name.as_str(), row.iter().map(mean).collect()))
    }

    /// Adds a value of each quantity.
    pub fn add<const N: usize>(&mut self, name: &str, values: [f64; N]) {
        let known = self.rows.iter().position(|(known, _)| known == name);
        let row = known.unwrap_or_else(|| {
            let empty = vec![Vec::new(); self.quantities.len()];
            self.rows.push((name.into(), empty));
            self.rows.len() - 1
        });
        for (all, value) in self.rows[row].1.iter_mut().zip(values) {
            all.push(value);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<24}", self.title)?;
        for (name, _) in &self.quantities {
            write!(formatter, " {name:>17}")?;
        }
        writeln!(formatter)?;
        for (name, row) in &self.rows {
            write!(formatter, "{name:<24}")?;
            for (values, &(_, digits)) in row.iter().zip(&self.quantities) {
                let (mean, deviation) = mean_and_deviation(values);
                let text = match values.len() {
                    1 => format!("{mean:.digits$}"),
                    _ => format!("{mean:.digits$} ± {deviation:.digits$}"),
                };
                write!(formatter, " {text:>17}")?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

/// Returns the median, the upper of the two middle values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the mean and the sample standard deviation, which is 0 for a single value.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Parses the arguments as seeds. Without arguments, returns `otherwise`.
pub fn seeds(arguments: &[String], otherwise: &[u64]) -> Result<Vec<u64>, Box<dyn Error>> {
    if arguments.is_empty() {
        return Ok(otherwise.to_vec());
    }
    let seed = |text: &String| {
        let not_a_seed = |error| format!("invalid seed {text}: {error}").into();
        text.parse().map_err(not_a_seed)
    };
    arguments.iter().map(seed).collect()
}

/// Prints progress: a line that the next one overwrites and the last one erases on a terminal, else every 50th line.
pub fn progress(name: &str, done: usize, of: usize, loss: f32) -> ControlFlow<()> {
    if std::io::stderr().is_terminal() {
        let end = if done == of { "\x1b[2K\r" } else { "\r" };
        eprint!("\r\x1b[K  {name}: {done} of {of}, loss {loss:.4}{end}");
    } else if done.is_multiple_of(50) {
        eprintln!("  {name}: {done} of {of}, loss {loss:.4}");
    }
    ControlFlow::Continue(())
}
