//! Learns 100 sparse features of handwritten digits, and draws them.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```
//!
//! All that it reports is measured on 297 digits which the model has never seen. It writes
//! `out/quickstart.png`: the features, and below them unseen digits above their reconstructions; and
//! `out/quickstart.svg`: loss and sparsity over the epochs.

mod chart;
#[path = "data/mod.rs"]
mod data;
#[path = "picture/mod.rs"]
mod picture;

use std::error::Error;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use chart::curves::{Axis, Curve, Panel, Place};
use picture::{Contrast, Layout, Picture};
use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, Epoch, KlDivergence, Schedule, SparseAutoencoder, Trainer,
};

/// A sigmoid never is exactly 0: here a feature is active above a tenth of its strength.
const ACTIVE: f64 = 0.1;

fn main() -> Result<(), Box<dyn Error>> {
    let (digits, unseen) = data::digits()?.split(297, 1)?;

    // More features than pixels: only the sparsity keeps the model from copying its input. On
    // average over the digits, a feature may be active at 5 % of its strength.
    let mut sae = SparseAutoencoder::<f32>::builder()
        .layers([64, 100])
        .output_activation(Activation::Identity)
        .penalty(KlDivergence)
        .sparsity_target(0.05)
        .penalty_weight(1.0)
        .weight_decay(7e-4)
        .seed(1)
        .build()?;
    let before = sae.loss(&unseen.samples)?;

    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let epochs = if short { 40 } else { 400 };
    let start = Instant::now();
    let mut history = Vec::new();
    Trainer::new(Adam::new(0.02)?)
        .epochs(epochs)
        .batch_size(64)
        .schedule(Schedule::cosine(0.0))
        .fit_with(&mut sae, &digits.samples, |epoch| {
            show_progress(epoch.number, epochs, epoch.loss.total());
            history.push(measure(epoch, &unseen.samples));
            ControlFlow::Continue(())
        })?;
    println!("{epochs} epochs in {:.2?}\n", start.elapsed());

    let after = sae.loss(&unseen.samples)?;
    println!("loss on unseen digits    before      after");
    for (term, before, after) in [
        (
            "reconstruction",
            before.reconstruction,
            after.reconstruction,
        ),
        ("weight decay", before.weight_decay, after.weight_decay),
        ("sparsity", before.sparsity, after.sparsity),
        ("total", before.total(), after.total()),
    ] {
        println!("  {term:<18} {before:>10.4} {after:>10.4}");
    }

    let hidden = sae.encode(&unseen.samples)?; // 100 x 297: a column is a sample
    let reconstructions = sae.decode(&hidden)?;

    let mut fidelity = ReconstructionMetrics::new(64);
    fidelity.add(&unseen.samples, &reconstructions)?;
    let mut sparsity = SparsityMetrics::with_threshold(100, ACTIVE)?;
    sparsity.add(&hidden)?;
    let activation = sparsity
        .mean_activation()
        .map_or(f64::NAN, |mean| mean.mean());
    let active = sparsity.l0().unwrap_or(f64::NAN);
    let explained = fidelity.explained_variance().unwrap_or(f64::NAN);
    println!(
        "\nmean activation      {activation:.3}, target {}",
        sae.sparsity_target()
    );
    println!("active features      {active:.1} of 100 in a digit");
    println!("explained variance   {:.1} %", 100.0 * explained);

    let tiles = Layout {
        tile: (8, 8),
        columns: 20,
        zoom: 5,
        contrast: Contrast::Symmetric,
    };
    let digit_tiles = Layout {
        contrast: Contrast::Unit,
        ..tiles
    };
    let layer = sae.parameters().layers().next().ok_or("no layer")?;
    Picture::stack(&[
        Picture::tiles(&layer.decoder_weights.into_owned(), tiles)?,
        Picture::tiles(&unseen.samples.columns(0, 20).into_owned(), digit_tiles)?,
        Picture::tiles(&reconstructions.columns(0, 20).into_owned(), digit_tiles)?,
    ])
    .save("out/quickstart.png")?;
    let history = history.into_iter().collect::<Result<Vec<_>, _>>()?;
    draw(&history, sae.sparsity_target().into())?;
    println!("\nlook at out/quickstart.png and out/quickstart.svg");
    Ok(())
}

/// A point of the learning curves.
struct Measured {
    loss: f64,
    unseen_loss: f64,
    mean_activation: f64,
    active: f64,
}

fn measure(
    epoch: &Epoch<'_, f32>,
    unseen: &DMatrix<f32>,
) -> Result<Measured, sparse_autoencoder::Error> {
    let hidden = epoch.model.encode(unseen)?;
    let mut sparsity = SparsityMetrics::with_threshold(hidden.nrows(), ACTIVE)?;
    sparsity.add(&hidden)?;
    let mean = |proportions: Option<DVector<f64>>| proportions.map_or(f64::NAN, |p| p.mean());
    Ok(Measured {
        loss: epoch.loss.total().into(),
        unseen_loss: epoch.model.loss(unseen)?.total().into(),
        mean_activation: mean(sparsity.mean_activation()),
        active: mean(sparsity.activation_frequency()),
    })
}

/// Loss and sparsity over the epochs.
fn draw(history: &[Measured], target: f64) -> Result<(), Box<dyn Error>> {
    let curve = |name, of: &dyn Fn(&Measured) -> f64| {
        let epochs = (1..).map(f64::from);
        Curve::new(name, epochs.zip(history.iter().map(of)))
    };
    chart::curves::panels(
        Path::new("out/quickstart.svg"),
        "100 sparse features of handwritten digits",
        Axis::logarithmic("epoch"),
        &[
            Panel {
                axis: Axis::logarithmic("loss"),
                curves: vec![
                    curve("training", &|m| m.loss),
                    curve("unseen digits", &|m| m.unseen_loss),
                ],
                names: Place::UpperRight,
            },
            Panel {
                axis: Axis::linear("proportion"),
                curves: vec![
                    curve("active features", &|m| m.active),
                    curve("mean activation", &|m| m.mean_activation),
                    curve("its target", &|_| target).dashed(),
                ],
                names: Place::LowerRight,
            },
        ],
    )
}

/// Draws a bar over the one before; not into a file or a pipe.
fn show_progress(epoch: usize, epochs: usize, loss: f32) {
    if std::io::stderr().is_terminal() {
        let bar = "#".repeat(30 * epoch / epochs);
        let end = if epoch == epochs { "\n" } else { "" };
        eprint!("\r[{bar:<30}] {epoch:>3} of {epochs} epochs, loss {loss:.4}{end}");
    }
}
