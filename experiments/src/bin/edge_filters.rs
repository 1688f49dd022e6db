//! Learns edge filters from photographs, much like those of the visual cortex.
//!
//! ```text
//! cargo run --release -p experiments --bin edge_filters [-- PICTURE.png ...]
//! ```
//!
//! Repeats the experiment of Ng's *CS294A Lecture notes: Sparse autoencoder* with its settings: 25 units
//! on 10,000 patches of 8 x 8 pixels, ρ = 0.01, λ = 10⁻⁴, β = 3, and 400 iterations of L-BFGS. The
//! patches come from three photographs in `examples/data`, or from the PNG files that you name.
//!
//! Writes `out/edge_filters.png`: for each unit, the patch that activates it most.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use experiments::photographs;
use experiments::picture::{Contrast, Layout, Picture};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{KlDivergence, Lbfgs, SparseAutoencoder, Trainer};

/// Height and width of a patch.
const SIZE: usize = 8;
const UNITS: usize = 25;
const PATCHES: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let named = std::env::args().skip(1).collect::<Vec<_>>();
    let photographs = if named.is_empty() {
        photographs::load()?
    } else {
        named
            .iter()
            .map(photographs::read_png)
            .collect::<Result<_, _>>()?
    };
    let whitened = photographs.iter().map(whiten).collect::<Vec<_>>();
    let patches = normalize(photographs::patches(&whitened, SIZE, PATCHES, 1)?);

    let mut sae = SparseAutoencoder::<f32>::builder()
        .layers([SIZE * SIZE, UNITS])
        .penalty(KlDivergence)
        .sparsity_target(0.01)
        .penalty_weight(3.0)
        .weight_decay(1e-4)
        .seed(1)
        .build()?;

    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let iterations = if short { 20 } else { 400 };
    println!("iteration   reconstruction   weight decay   sparsity      total");
    let start = Instant::now();
    let report =
        Trainer::new(Lbfgs::new())
            .epochs(iterations)
            .fit_with(&mut sae, &patches, |epoch| {
                if epoch.number % 10 == 0 {
                    println!(
                        "{:>9} {:>16.5} {:>14.5} {:>10.5} {:>10.5}",
                        epoch.number,
                        epoch.loss.reconstruction,
                        epoch.loss.weight_decay,
                        epoch.loss.sparsity,
                        epoch.loss.total()
                    );
                }
                ControlFlow::Continue(())
            })?;
    println!(
        "\n{} iterations over {PATCHES} patches in {:.2?}",
        report.epochs,
        start.elapsed()
    );

    // Among patches of the same norm, the one proportional to its weights activates a unit most.
    let layer = sae.parameters().layers().next().ok_or("no layer")?;
    let filters = layer.encoder_weights.into_owned();
    let tiles = Layout {
        tile: (SIZE, SIZE),
        columns: 5,
        zoom: 8,
        contrast: Contrast::Symmetric,
    };
    Picture::tiles(&filters, tiles)?.save("out/edge_filters.png")?;
    println!("Look at out/edge_filters.png.");
    Ok(())
}

/// Whitens a photograph: a narrow blur minus a wide one gives all spatial frequencies about the same
/// strength, as the cells of a retina do. The photographs of the lecture came whitened.
fn whiten(photograph: &DMatrix<f32>) -> DMatrix<f32> {
    let difference = blur(photograph, 0.6) - blur(photograph, 2.5);
    // Gives all pictures the same contrast.
    let deviation = difference.variance().sqrt().max(f32::MIN_POSITIVE);
    difference / deviation
}

/// Convolves with a Gaussian whose standard deviation is in pixels, and repeats the pixels at the rim.
fn blur(picture: &DMatrix<f32>, deviation: f32) -> DMatrix<f32> {
    let kernel = DVector::from_fn(17, |tap, _| {
        let distance = (tap as f32 - 8.0) / deviation;
        (-0.5 * distance * distance).exp()
    });
    let kernel = &kernel / kernel.sum();
    // Blurs along the columns and transposes. Twice covers both directions.
    let pass = |picture: &DMatrix<f32>| {
        DMatrix::from_fn(picture.ncols(), picture.nrows(), |column, row| {
            let inside = |tap: usize| (row + tap).saturating_sub(8).min(picture.nrows() - 1);
            let taps = kernel.iter().enumerate();
            taps.map(|(tap, weight)| weight * picture[(inside(tap), column)])
                .sum()
        })
    };
    pass(&pass(picture))
}

/// Removes the mean of each patch, clips at three standard deviations, and scales to [0.1, 0.9],
/// which a sigmoid can reach.
fn normalize(mut patches: DMatrix<f32>) -> DMatrix<f32> {
    for mut patch in patches.column_iter_mut() {
        let brightness = patch.mean();
        patch.add_scalar_mut(-brightness);
    }
    let limit = 3.0 * patches.variance().sqrt().max(f32::MIN_POSITIVE);
    patches.map(|value| 0.5 + 0.4 * (value / limit).clamp(-1.0, 1.0))
}
