//! Trains a sparse autoencoder as a TOML file describes.
//!
//! ```sh
//! cargo run --release -- run.toml
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sparse_autoencoder::{
    LogWriter, ModelSettings, NpyFile, Scaling, SparseAutoencoder, Trainer, TrainerSettings, files,
    optimizer,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    samples: PathBuf,
    scaling: Scaling,
    model: ModelSettings,
    optimizer: optimizer::Description,
    trainer: TrainerSettings,
    output: Output,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    model: PathBuf,
    log: PathBuf,
}

fn main() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/run.toml");
    let path = std::env::args().nth(1).unwrap_or(default.into());
    if let Err(error) = run(Path::new(&path)) {
        eprintln!("{path}: {error}");
        std::process::exit(1);
    }
}

fn run(file: &Path) -> Result<(), Box<dyn Error>> {
    let run: Run = toml::from_str(&fs::read_to_string(file)?)?; // an error shows the line and the key
    let folder = file.parent().unwrap_or(Path::new(""));
    let files = [run.samples, run.output.model, run.output.log];
    let [samples, path, log] = files.map(|name| folder.join(name));
    for parent in [&path, &log].into_iter().filter_map(|file| file.parent()) {
        fs::create_dir_all(parent)?;
    }

    // Errors of the library name the setting. The name of its table is added here.
    let of = |table| move |error| format!("[{table}] {error}");
    let samples = NpyFile::<f32>::open(samples)?;
    let scaler = run.scaling.fit(&samples).map_err(of("scaling"))?;
    let builder = SparseAutoencoder::builder().settings(run.model);
    let mut model = builder.build().map_err(of("model"))?;
    model.clone().fold(&scaler).map_err(of("scaling"))?; // before the training: some models cannot take it in
    let optimizer = run.optimizer.optimizer().map_err(of("optimizer"))?;
    let mut trainer = Trainer::with_settings(optimizer, run.trainer);

    let mut log = LogWriter::csv(File::create(log)?);
    let scaled = scaler.apply_on_read(&samples)?;
    let fitted = trainer.fit_with(&mut model, scaled, |epoch| log.write(epoch));
    let report = fitted.map_err(of("trainer"))?;
    for warning in &report.warnings {
        println!("{warning}");
    }
    model.fold(&scaler)?;
    files::save(&model, &path)?;
    println!("{} epochs: {}", report.epochs, path.display());
    Ok(())
}
