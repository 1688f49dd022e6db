//! Learns 100 sparse features of handwritten digits and draws them.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

mod picture;

use std::error::Error;
use std::ops::ControlFlow;

use picture::Picture;
use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, KlDivergence, NpyFile, Samples, Schedule, SparseAutoencoder, Trainer,
};

fn main() -> Result<(), Box<dyn Error>> {
    // 1797 digits of 8 x 8 pixels, one per column. The last 297 are held out.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
    let digits: DMatrix<f32> = NpyFile::open(file)?.to_matrix()? / 16.0;
    let (training, unseen) = digits.columns_range_pair(..1500, 1500..);

    // More features than pixels: only the penalty keeps the model from copying its input.
    let mut sae = SparseAutoencoder::builder()
        .layers([64, 100])
        .output_activation(Activation::Identity)
        .penalty(KlDivergence)
        .sparsity_target(0.05)
        .weight_decay(7e-4)
        .seed(1)
        .build()?;

    Trainer::new(Adam::new(0.02)?)
        .epochs(400)
        .batch_size(64)
        .schedule(Schedule::cosine(0.0))
        .fit_with(&mut sae, training, |epoch| {
            if epoch.number % 100 == 0 {
                println!("epoch {}: loss {:.3}", epoch.number, epoch.loss.total());
            }
            ControlFlow::Continue(())
        })?;

    let hidden = sae.encode(unseen)?; // 100 x 297
    let reconstructions = sae.decode(&hidden)?; // 64 x 297

    let mut fidelity = ReconstructionMetrics::new(64);
    fidelity.add(unseen, &reconstructions)?;
    let explained = fidelity.explained_variance().unwrap_or(f64::NAN);
    let mut sparsity = SparsityMetrics::with_threshold(100, 0.1)?; // active: above 0.1
    sparsity.add(&hidden)?;
    let active = sparsity.l0().unwrap_or(f64::NAN);
    println!("\nOn 297 digits that the model has not seen:");
    println!("  active features per digit  {active:.1} of 100");
    println!("  variance explained         {:.1} %", 100.0 * explained);

    let layer = sae.parameters().layer(0).ok_or("no layer")?;
    let mut features = layer.decoder_weights.into_owned(); // 64 x 100
    features.column_iter_mut().for_each(|mut f| f /= f.amax());
    Picture::new()
        .row("100 learned features", features.as_view(), -1.0..1.0)
        .row("20 unseen digits", unseen.columns(0, 20), 0.0..1.0)
        .row(
            "their reconstructions",
            reconstructions.columns(0, 20),
            0.0..1.0,
        )
        .save("out/quickstart.svg")?;
    println!("\nLook at out/quickstart.svg.");
    Ok(())
}
