//! Judges features by k-sparse probes: how well a few units tell the class of a sample.
//!
//! ```text
//! cargo run --release -p experiments --bin sparse_probing                              # digits
//! cargo run --release -p experiments --bin sparse_probing -- FOLDER NAME [MODEL]       # English tokens
//! cargo run --release -p experiments --bin sparse_probing -- chart FILE                # lines of tokens
//! ```
//!
//! The first trains the recipes on digits, and compares them with pixels, principal components, and TopK with
//! random directions. Writes `out/sparse_probing.svg`: the mean over the classes of F1, over k.
//!
//! The second judges one model on the tokens that `experiments/peers/sparse_probing.py` prepares: MODEL, a folder in
//! SAELens' layout, or without it the baseline that NAME says: `inputs`, `components`, or `directions`. It prints a
//! line of JSON: L0, FVU on the test tokens, the dead units in percent, and F1. The probes learn from the first
//! 50,000 training tokens. The third draws the chart of such lines.

use std::error::Error;
use std::path::Path;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::pca::Pca;
use experiments::report::{Summary, mean_and_deviation};
use experiments::sparse_probe::f1;
use experiments::variants::{FrozenDecoder, Scores, VARIANTS};
use experiments::{chart, digits};
use serde_json::{Value, json};
use sparse_autoencoder::files::sae_lens;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{Error as AutoencoderError, NpyFile, Samples, SparseAutoencoder};

const KS: [u32; 3] = [1, 2, 5];
const BASELINES: [&str; 3] = ["inputs", "components", "directions"];
/// Parts of speech; the next class is that of all other words.
const PARTS_OF_SPEECH: usize = 11;
const PROBED_TOKENS: usize = 50_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => of_digits(),
        ["chart", file] => draw(&of_lines(&std::fs::read_to_string(file)?)?),
        [folder, name] => of_tokens(Path::new(folder), name, None),
        [folder, name, model] => of_tokens(Path::new(folder), name, Some(model)),
        _ => Err("expected: FOLDER NAME [MODEL], or chart FILE".into()),
    }
}

/// Samples with classes, to learn from and to test with.
struct Classified {
    training: (DMatrix<f32>, Vec<usize>),
    test: (DMatrix<f32>, Vec<usize>),
    classes: usize,
}

impl Classified {
    fn tokens(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let read = |part: &str, most: usize| -> Result<_, Box<dyn Error>> {
            let read = |name: String| NpyFile::<f32>::open(folder.join(name))?.to_matrix();
            let samples = read(format!("tokens_{part}.npy"))?;
            let classes = read(format!("tokens_{part}_classes.npy"))?;
            let count = samples.ncols().min(most);
            let class = |&class: &f32| class as usize; // whole numbers
            Ok((
                samples.columns(0, count).into_owned(),
                classes.iter().take(count).map(class).collect(),
            ))
        };
        Ok(Self {
            training: read("training", PROBED_TOKENS)?,
            test: read("test", usize::MAX)?,
            classes: PARTS_OF_SPEECH,
        })
    }

    fn digits(seed: u64) -> Result<Self, Box<dyn Error>> {
        let (training, test) = digits::load()?.split(500, seed)?;
        Ok(Self {
            training: (training.samples, training.labels),
            test: (test.samples, test.labels),
            classes: 10,
        })
    }

    /// Returns the mean over the classes of F1, for each k.
    fn f1(
        &self,
        features: impl Fn(&DMatrix<f32>) -> Result<DMatrix<f32>, AutoencoderError>,
    ) -> Result<[f64; 3], Box<dyn Error>> {
        let (training, test) = (features(&self.training.0)?, features(&self.test.0)?);
        let mut means = [0.0; 3];
        for (mean, k) in means.iter_mut().zip(KS) {
            let mut each = Vec::with_capacity(self.classes);
            for class in 0..self.classes {
                let of = |classes: &[usize]| classes.iter().map(|&c| c == class).collect();
                let of_class: [Vec<bool>; 2] = [of(&self.training.1), of(&self.test.1)];
                let [training, test] = [(&training, &*of_class[0]), (&test, &*of_class[1])];
                each.push(f1(training, test, k as usize)?);
            }
            *mean = mean_and_deviation(&each).0;
        }
        Ok(means)
    }

    /// Returns the scores of a model and its F1. Units count as much as they add to the reconstruction: times the norms
    /// of their decoder columns, which libraries choose differently.
    fn judge(
        &self,
        model: &SparseAutoencoder<f32>,
    ) -> Result<(Option<Scores>, [f64; 3]), Box<dyn Error>> {
        let scores = Scores::of(model, &self.test.0)?;
        let layer = model.parameters().layer(0).ok_or("no layer")?;
        let norms = layer.decoder_weights.column_iter().map(|d| d.norm());
        let norms = DVector::from_iterator(model.layout().hidden_size(), norms);
        let encode = |samples: &DMatrix<f32>| {
            let mut hidden = model.encode(samples)?;
            for mut of_sample in hidden.column_iter_mut() {
                of_sample.component_mul_assign(&norms);
            }
            Ok(hidden)
        };
        Ok((Some(scores), self.f1(encode)?))
    }

    /// Returns the scores, where there are any, and F1 of a baseline. Random directions have this recipe's shape.
    fn judge_baseline(
        &self,
        name: &str,
        recipe: Recipe,
    ) -> Result<(Option<Scores>, [f64; 3]), Box<dyn Error>> {
        match name {
            "inputs" => Ok((None, self.f1(|samples| Ok(samples.clone()))?)),
            "components" => {
                let pca = Pca::fit(&self.training.0);
                let encode = |samples: &DMatrix<f32>| Ok(pca.encode(samples, samples.nrows()));
                Ok((None, self.f1(encode)?))
            }
            "directions" => {
                let mut begun = recipe.begin(&self.training.0)?;
                FrozenDecoder::of(&mut begun.model)?;
                begun.model.fold(&begun.scaler)?;
                self.judge(&begun.model)
            }
            _ => Err(format!("no baseline {name}").into()),
        }
    }
}

/// Prints the line of a model or a baseline.
fn of_tokens(folder: &Path, name: &str, model: Option<&str>) -> Result<(), Box<dyn Error>> {
    let tokens = Classified::tokens(folder)?;
    let (scores, f1) = match model {
        Some(folder) => tokens.judge(&sae_lens::load(folder)?.model)?,
        None => {
            let recipe = Recipe::new(Variant::TopK, 1536, 32);
            tokens.judge_baseline(name, recipe.samples(1).seed(1))?
        }
    };
    let mut line = json!({ "model": name, "f1": f1 });
    if let Some(Scores { l0, fvu, dead }) = scores {
        line["l0"] = l0.into();
        line["fvu"] = fvu.into();
        line["dead"] = dead.into();
    }
    println!("{line}");
    Ok(())
}

/// Trains the recipes on digits and judges them.
fn of_digits() -> Result<(), Box<dyn Error>> {
    let epochs = match std::env::var_os("EXAMPLE_SHORT") {
        Some(_) => 2,
        None => 50,
    };
    let mut table = summary();
    for seed in 0..3 {
        let digits = Classified::digits(seed)?;
        let recipe = |variant| {
            let samples = epochs * digits.training.0.ncols();
            let recipe = Recipe::new(variant, 256, 8).samples(samples).seed(seed);
            recipe.batch_size(64).learning_rate(3e-3)
        };
        for name in BASELINES {
            let (_, f1) = digits.judge_baseline(name, recipe(Variant::TopK))?;
            table.add(name, f1);
        }
        for (_, label, variant) in VARIANTS {
            let fitted = recipe(variant).fit(&digits.training.0)?;
            table.add(label, digits.judge(&fitted.model)?.1);
        }
    }
    println!("{table}");
    draw(&table)
}

/// Returns an empty table of F1.
fn summary() -> Summary {
    Summary::new("F1 of k =", &[("1", 3), ("2", 3), ("5", 3)])
}

/// Returns the F1 of the lines of tokens, over the seeds of each model.
fn of_lines(lines: &str) -> Result<Summary, Box<dyn Error>> {
    let mut table = summary();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        let name = line["model"].as_str().ok_or("a line without a model")?;
        let name = name.split_once(" seed ").map_or(name, |(model, _)| model);
        let f1: [f64; 3] = serde_json::from_value(line["f1"].clone())?;
        table.add(name, f1);
    }
    Ok(table)
}

/// Draws F1 over k.
fn draw(table: &Summary) -> Result<(), Box<dyn Error>> {
    let curve = |(name, means)| Curve::new(name, KS.map(f64::from).into_iter().zip(means));
    chart::curves::panels(
        Path::new("out/sparse_probing.svg"),
        "Classes told by a few units",
        Axis::logarithmic("units of the probe, k"),
        &[Panel {
            axis: Axis::linear("F1, mean over the classes"),
            curves: table.means().map(curve).collect(),
            names: Place::LowerRight,
        }],
    )
}
