//! Logs of steps and epochs.

#![allow(clippy::float_cmp)] // numbers are read back as they were

use std::io::{self, Write};
use std::str::FromStr;

use crate::common::variants::{INPUT, samples, variants};
use sparse_autoencoder::training::LogRow;
use sparse_autoencoder::{
    Activation, Adam, ClassifierEvent, ClassifierLoss, ClassifierTrainer, DeadUnits, Error, Event,
    L1, Lbfgs, LogWriter, Loss, Real, SetPoint, SoftmaxClassifier, SparseAutoencoder, Trainer,
};

const STEP: &str = "step,steps,epoch,samples,loss,reconstruction,weight_decay,sparsity,auxiliary,l0,\
    explained_variance,dead_units,learning_rate,penalty_weight,set_point";
const EPOCH: &str = "epoch,epochs,step,samples,loss,reconstruction,weight_decay,sparsity,auxiliary,l0,\
    explained_variance,dead_units,learning_rate,penalty_weight,set_point,validation_loss,\
    validation_reconstruction,validation_weight_decay,validation_sparsity,validation_auxiliary,\
    validation_l0,validation_explained_variance";
const CLASSIFIER_STEP: &str =
    "step,steps,epoch,samples,loss,cross_entropy,weight_decay,learning_rate";
const CLASSIFIER_EPOCH: &str = "epoch,epochs,step,samples,loss,cross_entropy,weight_decay,\
    learning_rate,validation_loss,validation_cross_entropy,validation_weight_decay";

/// The lines of a log of one row, in CSV and JSON.
fn lines(row: &impl LogRow) -> [String; 3] {
    let mut csv = LogWriter::csv(Vec::new());
    csv.write(row).unwrap();
    let csv = String::from_utf8(csv.into_inner()).unwrap();
    assert_eq!(csv.lines().count(), 2);
    let (names, values) = csv.trim_end().split_once('\n').unwrap();
    let mut json = LogWriter::json_lines(Vec::new());
    json.write(row).unwrap();
    let json = String::from_utf8(json.into_inner()).unwrap();
    [names, values, json.strip_suffix('\n').unwrap()].map(str::to_owned)
}

/// Reads the cells of a row back: the same numbers in both formats, and `null` for those that are not there.
fn check_row<T: Real + FromStr>(
    row: &impl LogRow,
    kind: &str,
    columns: &str,
    expected: &[Cell<T>],
) {
    let [names, values, json] = lines(row);
    assert_eq!(names, columns);
    let (names, values) = (names.split(','), values.split(','));
    let names_and_values: Vec<_> = names.zip(values.clone()).collect();
    assert_eq!(
        [names_and_values.len(), values.count()],
        [expected.len(); 2]
    );
    let mut object = format!("{{\"kind\":\"{kind}\"");
    for ((name, value), expected) in names_and_values.into_iter().zip(expected) {
        let same = match *expected {
            Cell::Count(count) => value.parse() == Ok(count),
            Cell::Double(double) => value.parse() == Ok(double),
            Cell::Scalar(scalar) => value.parse().ok() == Some(scalar),
            Cell::Empty => value.is_empty(),
        };
        assert!(same, "{name}: {value:?} is not {expected:?}");
        let value = if value.is_empty() { "null" } else { value };
        object += &format!(",\"{name}\":{value}");
    }
    assert_eq!(json, object + "}");
}

#[derive(Debug)]
enum Cell<T> {
    Count(u64),
    Double(f64),
    Scalar(T),
    Empty,
}

use Cell::{Count, Double, Empty, Scalar};

fn double<T>(value: Option<f64>) -> Cell<T> {
    value.map_or(Empty, Double)
}

fn terms<T: Real>(loss: Option<Loss<T>>) -> Vec<Cell<T>> {
    let Some(loss) = loss else {
        return (0..5).map(|_| Empty).collect();
    };
    let terms = [
        loss.total(),
        loss.reconstruction,
        loss.weight_decay,
        loss.sparsity,
        loss.auxiliary,
    ];
    terms.map(Scalar).into()
}

fn check_event<T: Real + FromStr>(event: &Event<'_, T>) {
    let mut cells;
    match event {
        Event::Step(step) => {
            cells = vec![Count(step.number), Count(step.of)];
            cells.extend([Count(step.epoch as u64), Count(step.samples)]);
            cells.extend(terms(Some(step.loss)));
            cells.extend([step.l0, step.explained_variance].map(double));
            cells.push(step.dead_units.map_or(Empty, |dead| Count(dead as u64)));
            cells.extend([double(step.learning_rate), Scalar(step.penalty_weight)]);
            cells.push(double(step.set_point.map(|state| state.measured)));
            check_row(step, "step", STEP, &cells);
            check_row(event, "step", STEP, &cells);
        }
        Event::Epoch(epoch) => {
            cells = vec![Count(epoch.number as u64), Count(epoch.of as u64)];
            cells.extend([Count(epoch.steps), Count(epoch.samples)]);
            cells.extend(terms(Some(epoch.loss)));
            cells.extend([epoch.l0, epoch.explained_variance].map(double));
            cells.push(epoch.dead_units.map_or(Empty, |dead| Count(dead as u64)));
            cells.extend([double(epoch.learning_rate), Scalar(epoch.penalty_weight)]);
            cells.push(double(epoch.set_point.map(|state| state.measured)));
            cells.extend(terms(epoch.validation_loss));
            cells.push(double(epoch.validation_l0));
            cells.push(double(epoch.validation_explained_variance));
            check_row(epoch, "epoch", EPOCH, &cells);
            check_row(event, "epoch", EPOCH, &cells);
        }
        _ => unreachable!(),
    }
}

fn trainer<T: Real>() -> Trainer<T> {
    Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .batch_size(9)
}

fn check_variants<T: Real + FromStr>() {
    let x = samples::<T>(23);
    for variant in variants() {
        let fit = trainer().fit_with_steps(&mut variant.model(), &x, check_event::<T>);
        fit.unwrap();
    }
}

#[test]
fn rows_have_the_numbers_of_every_variant() {
    check_variants::<f64>();
    check_variants::<f32>();
}

/// With the digits of `f32`, 12 active units in each sample were 12.000000953674316.
#[test]
fn l0_is_a_count_divided_by_the_samples_in_every_variant() {
    let x = samples::<f32>(23);
    let (mut counts, mut whole) = (0, 0);
    for variant in variants() {
        let (mut seen, mut before) = (0, 0);
        let fit = trainer().fit_with_steps(&mut variant.model(), &x, |event| {
            let (l0, samples) = match event {
                Event::Step(step) => (
                    step.l0,
                    step.samples - std::mem::replace(&mut seen, step.samples),
                ),
                Event::Epoch(epoch) => (
                    epoch.l0,
                    epoch.samples - std::mem::replace(&mut before, epoch.samples),
                ),
                _ => unreachable!(),
            };
            let Some(l0) = l0 else { return };
            let samples = samples as f64;
            assert_eq!(l0, (l0 * samples).round() / samples, "{variant:?}");
            counts += 1;
            whole += usize::from(l0.fract() == 0.0);
        });
        fit.unwrap();
    }
    assert!(counts > 500 && whole > 100, "{counts}, {whole}");
}

#[test]
fn rows_have_the_numbers_of_every_setting() {
    let x = samples::<f32>(23);
    let model = || {
        let builder = SparseAutoencoder::<f32>::builder().layers([INPUT, 30]);
        let builder = builder.hidden_activation(Activation::Relu).penalty(L1);
        builder.penalty_weight(1e-20).build().unwrap()
    };
    let settings: [fn(Trainer<f32>) -> Trainer<f32>; 4] = [
        |t| t.validation_split(0.2),
        |t| t.dead_units(DeadUnits::after(5)),
        |t| t.set_point(SetPoint::active_units(2.0)),
        |_| Trainer::new(Lbfgs::new()).epochs(2),
    ];
    for setting in settings {
        let mut events = 0;
        let fit = setting(trainer()).fit_with_steps(&mut model(), &x, |event| {
            events += 1;
            check_event(event);
        });
        assert!(fit.is_ok() && events >= 4);
    }
}

#[test]
fn rows_have_the_numbers_of_classifiers() {
    let x = samples::<f64>(30);
    let labels: Vec<usize> = (0..30).map(|i| i % 3).collect();
    let (mut steps, mut epochs) = (0, 0);
    for fraction in [0.0, 0.2] {
        let mut model = SoftmaxClassifier::new(INPUT, 3).unwrap();
        model = model.with_weight_decay(1e-3).unwrap();
        let trainer = ClassifierTrainer::new(Adam::new(0.01).unwrap()).epochs(2);
        let mut trainer = trainer.batch_size(8).validation_split(fraction);
        let fit = trainer.fit_with_steps(&mut model, &x, &labels, |event| {
            let of = |loss: ClassifierLoss<f64>| {
                [loss.total(), loss.cross_entropy, loss.weight_decay].map(Scalar)
            };
            match event {
                ClassifierEvent::Step(step) => {
                    steps += 1;
                    let mut cells = vec![Count(step.number), Count(step.of)];
                    cells.extend([Count(step.epoch as u64), Count(step.samples)]);
                    cells.extend(of(step.loss));
                    cells.push(double(step.learning_rate));
                    check_row(event, "classifier step", CLASSIFIER_STEP, &cells);
                }
                ClassifierEvent::Epoch(epoch) => {
                    epochs += 1;
                    let mut cells = vec![Count(epoch.number as u64), Count(epoch.of as u64)];
                    cells.extend([Count(epoch.steps), Count(epoch.samples)]);
                    cells.extend(of(epoch.loss));
                    cells.push(double(epoch.learning_rate));
                    cells.extend(epoch.validation_loss.map_or([Empty, Empty, Empty], of));
                    check_row(event, "classifier epoch", CLASSIFIER_EPOCH, &cells);
                }
                _ => unreachable!(),
            }
        });
        fit.unwrap();
    }
    assert_eq!((steps, epochs), (2 * 4 + 2 * 3, 4));
}

/// Keeps each call of `write`.
#[derive(Default)]
struct Calls(Vec<String>);

impl Write for Calls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log(
    mut log: LogWriter<Calls>,
    which: fn(&Event<'_, f64>) -> bool,
) -> (Vec<String>, Result<(), Error>) {
    let mut model = SparseAutoencoder::builder()
        .layers([INPUT, 9])
        .build()
        .unwrap();
    let fit = trainer().fit_with_steps(&mut model, samples(23), |event| {
        if which(event) {
            log.write(event)
        } else {
            Ok(())
        }
    });
    (log.into_inner().0, fit.map(drop))
}

#[test]
fn each_row_is_one_whole_line_written_at_once() {
    let (rows, fit) = log(LogWriter::csv(Calls::default()), |event| {
        matches!(event, Event::Step(_))
    });
    fit.unwrap();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0].lines().next(), Some(STEP));
    assert_eq!(rows[0].lines().count(), 2);
    for (index, row) in rows.iter().enumerate().skip(1) {
        assert!(row.starts_with(&format!("{},6,", index + 1)) && row.ends_with('\n'));
        assert_eq!(row.lines().count(), 1);
    }
    let (appended, _) = log(LogWriter::csv(Calls::default()).without_header(), |event| {
        matches!(event, Event::Step(_))
    });
    assert_eq!(
        appended[0],
        rows[0].lines().nth(1).unwrap().to_owned() + "\n"
    );
    assert_eq!(appended[1..], rows[1..]);

    let (rows, fit) = log(LogWriter::json_lines(Calls::default()), |_| true);
    fit.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| &row[9..13]).collect();
    assert_eq!(
        kinds,
        [
            "step", "step", "step", "epoc", "step", "step", "step", "epoc"
        ]
    );
}

#[test]
fn csv_refuses_rows_of_several_kinds() {
    let (rows, fit) = log(LogWriter::csv(Calls::default()), |_| true);
    assert_eq!(rows.len(), 3); // the steps of the first epoch
    let error = fit.unwrap_err();
    assert!(matches!(error, Error::Incompatible { .. }));
    assert!(error.to_string().contains("JSON Lines"), "{error}");
}

/// A disk that is full after some rows.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        self.0 -= 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_writing_ends_the_fit() {
    let x = samples::<f64>(23);
    let fit = |rows, json| {
        let builder = SparseAutoencoder::builder().layers([INPUT, 9]);
        let (mut model, mut trainer) = (builder.build().unwrap(), trainer());
        let full = Full(rows);
        let mut log = if json {
            LogWriter::json_lines(full)
        } else {
            LogWriter::csv(full)
        };
        let fit = trainer.fit_with_steps(&mut model, &x, |event| match event {
            Event::Step(step) => log.write(step),
            _ => Ok(()),
        });
        (fit.map(drop), trainer.steps_taken())
    };
    for json in [false, true] {
        for rows in 0..6 {
            let expected = Error::Unwritable {
                kind: io::ErrorKind::StorageFull,
                message: "no space left".to_owned(),
            };
            assert_eq!(fit(rows, json), (Err(expected), 1 + rows as u64));
        }
        assert_eq!(fit(6, json), (Ok(()), 6));
    }
}

/// Refuses the first row.
#[derive(Debug, Default)]
struct Refuses {
    refused: bool,
    written: Vec<u8>,
}

impl Write for Refuses {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.refused, true) {
            return Err(io::Error::other("full"));
        }
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_first_row_that_is_written_again_has_the_header() {
    let samples = samples::<f64>(40);
    let mut model = SparseAutoencoder::builder()
        .layers([INPUT, 4])
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(2);
    let mut log = LogWriter::csv(Refuses::default());
    let report = trainer.fit_with(&mut model, &samples, |epoch| {
        if epoch.number == 1 {
            assert!(log.write(epoch).is_err());
        }
        log.write(epoch)
    });
    assert!(report.is_ok());
    let text = String::from_utf8(log.into_inner().written).unwrap();
    assert!(text.starts_with("epoch,epochs,"), "{text}");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn a_first_row_that_was_not_written_decides_no_columns() {
    let samples = samples::<f64>(40);
    let builder = SparseAutoencoder::builder().layers([INPUT, 4]);
    let (mut model, mut trainer) = (builder.build().unwrap(), trainer());
    let mut log = LogWriter::csv(Refuses::default());
    let report = trainer.fit_with_steps(&mut model, &samples, |event| match event {
        Event::Step(step) if step.number == 1 => {
            assert!(log.write(step).is_err());
            Ok(())
        }
        Event::Step(_) => Ok(()),
        Event::Epoch(epoch) => log.write(epoch),
        _ => Ok(()),
    });
    report.unwrap();
    let written = String::from_utf8(log.into_inner().written).unwrap();
    assert!(written.starts_with(EPOCH), "{written}");
}
