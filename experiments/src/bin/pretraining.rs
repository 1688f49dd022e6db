//! Learns features without labels for a classifier: the two experiments of the UFLDL tutorial (Ng,
//! Ngiam, Foo, Mai, Suen et al.).
//!
//! ```text
//! cargo run --release -p experiments --bin pretraining                     # the digits of this repository
//! cargo run --release -p experiments --bin pretraining -- FOLDER self-taught [SEED...]
//! cargo run --release -p experiments --bin pretraining -- FOLDER stacked     [SEED...]
//! ```
//!
//! `FOLDER` holds the four files of MNIST, with or without `.gz`.
//!
//! **Self-taught learning.** An autoencoder learns from the digits 5 to 9 without labels. A softmax
//! classifier trains on its codes for half of the digits 0 to 4 and is tested on the other half.
//! Published: 98.3 %, and about 96 % on the pixels.
//!
//! **Stacked autoencoder.** Two stacked autoencoders below a softmax; then all layers are fine-tuned
//! together. Published: 87.7 % before fine-tuning, 97.6 % after.
//!
//! All optimization is L-BFGS over the full batch. `few_labels` covers pretraining with few labels.
//!
//! Writes `out/pretraining.png`: the weights of the first layer as learned without labels and, below,
//! after fine-tuning. On the digits of this repository, `out/pretraining_learning.svg` has the learning curves, also
//! of the same network without pretraining.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place, narrow_panels};
use experiments::mnist::Labeled;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::report::{Table, progress};
use experiments::{digits, mnist, report};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    ClassifierTrainer, Lbfgs, SoftmaxClassifier, SparseAutoencoder, Stack, Trainer,
};

/// The settings of an experiment.
#[derive(Debug, Clone, Copy)]
struct Settings {
    hidden: usize,
    sparsity_target: f64,
    weight_decay: f64,
    penalty_weight: f64,
    /// Of the classifier, and of fine-tuning.
    softmax_decay: f64,
    iterations: usize,
}

const PUBLISHED: Settings = Settings {
    hidden: 200,
    sparsity_target: 0.1,
    weight_decay: 3e-3,
    penalty_weight: 3.0,
    softmax_decay: 1e-4,
    iterations: 400,
};

/// For pictures of 64 pixels.
const SHORT: Settings = Settings {
    hidden: 64,
    weight_decay: 1e-3,
    penalty_weight: 0.3,
    iterations: 100,
    ..PUBLISHED
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [folder, options @ ..] = &arguments[..] else {
        return digits();
    };
    let experiment = options.first().map_or("self-taught", String::as_str);
    let seeds = report::seeds(options.get(1..).unwrap_or_default(), &[1])?;
    let (training, test) = mnist::read(Path::new(folder))?;
    match experiment {
        "self-taught" => self_taught(&training, PUBLISHED, &seeds),
        "stacked" => stacked(&training, &test, PUBLISHED, &seeds),
        other => Err(format!("unknown experiment {other}: expected self-taught or stacked").into()),
    }
}

/// Runs both experiments within a second on digits of 8 x 8 pixels. With so little data, learned features
/// beat the pixels only after fine-tuning.
fn digits() -> Result<(), Box<dyn Error>> {
    let digits = digits::load()?;
    let (training, test) = digits.split(297, 1)?;
    self_taught(&digits, SHORT, &[1])?;
    stacked(&training, &test, SHORT, &[1])?;
    draw_learning(&training, &test, SHORT)
}

/// Draws, over the iterations: the losses of both autoencoders, and the loss of the classifier with and without
/// pretraining, on training and on test digits.
fn draw_learning(
    training: &Labeled,
    test: &Labeled,
    settings: Settings,
) -> Result<(), Box<dyn Error>> {
    let mut stack = stack(training.samples.nrows(), settings, 1)?;
    let untrained = stack.clone();
    let mut autoencoders = [Vec::new(), Vec::new()];
    trainer(settings).fit_stack_with(&mut stack, &training.samples, |layer, epoch| {
        autoencoders[layer].push((count(epoch.number), f64::from(epoch.loss.total())));
    })?;
    let [first, second] = autoencoders;
    let panel = |axis, curves| Panel {
        axis: Axis::logarithmic(axis),
        curves,
        names: Place::UpperRight,
    };
    let mut panels = [
        panel(
            "pretraining loss",
            vec![
                Curve::new("first autoencoder", first),
                Curve::new("second autoencoder", second).marked(),
            ],
        ),
        panel("fine-tuning loss", Vec::new()),
        panel("test loss", Vec::new()),
    ];
    for (name, stack) in [("not pretrained", &untrained), ("pretrained", &stack)] {
        let mut head = SoftmaxClassifier::new(settings.hidden, 10)?
            .with_weight_decay(settings.softmax_decay)?;
        classifier_trainer(settings).fit(
            &mut head,
            stack.encode(&training.samples)?,
            &training.labels,
        )?;
        let mut deep = head.on_top_of(stack.layers())?;
        let mut losses = [Vec::new(), Vec::new()];
        classifier_trainer(settings).fit_with(
            &mut deep,
            &training.samples,
            &training.labels,
            |epoch| {
                let unseen = epoch.model.loss(&test.samples, &test.labels)?;
                for (losses, loss) in losses.iter_mut().zip([epoch.loss, unseen]) {
                    losses.push((count(epoch.number), f64::from(loss.total())));
                }
                Ok::<_, sparse_autoencoder::Error>(())
            },
        )?;
        for (panel, losses) in panels[1..].iter_mut().zip(losses) {
            let curve = Curve::new(name, losses);
            let pretrained = name == "pretrained";
            panel
                .curves
                .push(if pretrained { curve.marked() } else { curve });
        }
    }
    let path = Path::new("out/pretraining_learning.svg");
    narrow_panels(
        path,
        "Pretraining, then fine-tuning",
        Axis::linear("iteration"),
        &panels,
    )
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn stack(
    input_size: usize,
    settings: Settings,
    seed: u64,
) -> Result<Stack<f32>, sparse_autoencoder::Error> {
    let hidden = settings.hidden;
    Stack::new(vec![
        autoencoder(input_size, hidden, settings, seed)?,
        autoencoder(hidden, hidden, settings, seed)?,
    ])
}

fn self_taught(digits: &Labeled, settings: Settings, seeds: &[u64]) -> Result<(), Box<dyn Error>> {
    let unlabeled = digits.select(|_, digit| digit >= 5);
    let labeled = digits.select(|_, digit| digit < 5);
    let half = labeled.labels.len().div_ceil(2);
    let training = labeled.select(|index, _| index < half);
    let test = labeled.select(|index, _| index >= half);
    println!(
        "Self-taught learning: {} unlabeled, {} training, {} test",
        unlabeled.labels.len(),
        training.labels.len(),
        test.labels.len(),
    );
    on_pixels(&training, &test, 5, settings)?;

    let mut over_seeds = Table::default();
    for &seed in seeds {
        println!("seed {seed}");
        let start = Instant::now();
        let mut sae = autoencoder(digits.samples.nrows(), settings.hidden, settings, seed)?;
        let fitted = trainer(settings).fit_with(&mut sae, &unlabeled.samples, |epoch| {
            let loss = epoch.loss.total();
            progress("autoencoder", epoch.number, settings.iterations, loss)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let iterations = fitted.epochs;
        println!("  autoencoder: {iterations} iterations in {seconds:.1} s");

        let features = |digits: &Labeled| -> Result<Labeled, sparse_autoencoder::Error> {
            Ok(Labeled {
                samples: sae.encode(&digits.samples)?,
                labels: digits.labels.clone(),
            })
        };
        let mut classifier = SoftmaxClassifier::new(settings.hidden, 5)?
            .with_weight_decay(settings.softmax_decay)?;
        let name = "softmax on learned features";
        fit_classifier(&mut classifier, &features(&training)?, settings, name)?;
        measure(&mut over_seeds, name, &classifier, &features(&test)?, start)?;
    }
    print!("{over_seeds}");
    Ok(())
}

fn stacked(
    training: &Labeled,
    test: &Labeled,
    settings: Settings,
    seeds: &[u64],
) -> Result<(), Box<dyn Error>> {
    let (pixels, hidden) = (training.samples.nrows(), settings.hidden);
    println!(
        "Stacked autoencoder {pixels}-{hidden}-{hidden}-10: {} training, {} test",
        training.labels.len(),
        test.labels.len(),
    );
    on_pixels(training, test, 10, settings)?;

    let mut over_seeds = Table::default();
    for &seed in seeds {
        println!("seed {seed}");
        let start = Instant::now();
        let mut stack = stack(pixels, settings, seed)?;
        let names = ["first autoencoder", "second autoencoder"];
        trainer(settings).fit_stack_with(&mut stack, &training.samples, |layer, epoch| {
            let loss = epoch.loss.total();
            progress(names[layer], epoch.number, settings.iterations, loss)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        println!("  both autoencoders in {seconds:.1} s");

        let mut head =
            SoftmaxClassifier::new(hidden, 10)?.with_weight_decay(settings.softmax_decay)?;
        let features = Labeled {
            samples: stack.encode(&training.samples)?,
            labels: training.labels.clone(),
        };
        fit_classifier(&mut head, &features, settings, "softmax on features")?;
        let mut deep = head.on_top_of(stack.layers())?;
        measure(&mut over_seeds, "before fine-tuning", &deep, test, start)?;
        fit_classifier(&mut deep, training, settings, "fine-tuning")?;
        measure(&mut over_seeds, "after fine-tuning", &deep, test, start)?;
        let learned = stack.layers()[0].parameters().layer(0).ok_or("no layer")?;
        let tuned = deep.layers().next().ok_or("no layer")?;
        draw([learned.encoder_weights, tuned.weights].map(|weights| weights.into_owned()))?;
    }
    print!("{over_seeds}");
    Ok(())
}

/// Draws the weights of the first layer before and after fine-tuning, 16 units per row.
fn draw(weights: [DMatrix<f32>; 2]) -> Result<(), Box<dyn Error>> {
    let side = weights[0].nrows().isqrt();
    let tiles = Layout {
        tile: (side, side),
        columns: 16,
        zoom: (40 / side).max(1),
        contrast: Contrast::Symmetric,
    };
    let [learned, tuned] = weights.map(|weights| Picture::tiles(&weights, tiles));
    Picture::stack(&[learned?, tuned?]).save("out/pretraining.png")
}

/// Fits the baseline. Its weights start at 0, whatever the seed.
fn on_pixels(
    training: &Labeled,
    test: &Labeled,
    classes: usize,
    settings: Settings,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let name = "softmax on pixels";
    let mut classifier = SoftmaxClassifier::<f32>::new(training.samples.nrows(), classes)?
        .with_weight_decay(settings.softmax_decay)?;
    fit_classifier(&mut classifier, training, settings, name)?;
    measure(&mut Table::default(), name, &classifier, test, start)
}

fn autoencoder(
    input_size: usize,
    hidden: usize,
    settings: Settings,
    seed: u64,
) -> Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([input_size, hidden])
        .sparsity_target(settings.sparsity_target)
        .penalty_weight(settings.penalty_weight)
        .weight_decay(settings.weight_decay)
        .seed(seed)
        .build()
}

fn trainer(settings: Settings) -> Trainer<f32> {
    Trainer::new(Lbfgs::new()).epochs(settings.iterations)
}

fn classifier_trainer(settings: Settings) -> ClassifierTrainer<f32> {
    ClassifierTrainer::new(Lbfgs::new()).epochs(settings.iterations)
}

fn fit_classifier(
    classifier: &mut SoftmaxClassifier<f32>,
    digits: &Labeled,
    settings: Settings,
    name: &str,
) -> Result<(), sparse_autoencoder::Error> {
    let Labeled { samples, labels } = digits;
    classifier_trainer(settings).fit_with(classifier, samples, labels, |epoch| {
        let loss = epoch.loss.total();
        progress(name, epoch.number, settings.iterations, loss)
    })?;
    Ok(())
}

fn measure(
    table: &mut Table,
    name: &'static str,
    classifier: &SoftmaxClassifier<f32>,
    test: &Labeled,
    start: Instant,
) -> Result<(), Box<dyn Error>> {
    let accuracy = classifier.accuracy(&test.samples, &test.labels)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "  {name:<28} {:6.2} %   after {seconds:.1} s",
        100.0 * accuracy
    );
    table.add(name, accuracy);
    Ok(())
}
