//! Anomaly ensembles. Each fold has a scaler, its models, its calibration scores, and maybe an imputer.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Contents, ENSEMBLE, Kind, Part, Reading, SCORES, described, imputer, invalid, model, scaler,
    scores, vector,
};
use crate::applications::anomaly::ensemble::{Denoiser, Input, Level};
use crate::{AnomalyEnsemble, Error, Real};

const TEXT: &str = "ensemble";

/// What the tensors do not say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// The features that are constant, and their values; none if always missing. The others are those of the models.
    constants: Vec<(usize, Option<f64>)>,
    folds: usize,
    /// The noise levels of each fold.
    levels: usize,
}

fn of_fold(fold: usize) -> String {
    format!("folds.{fold}.")
}

fn of_level(fold: usize, level: usize) -> String {
    format!("folds.{fold}.levels.{level}.")
}

impl<T: Real> Kind for AnomalyEnsemble<T> {
    type Scalar = T;
    const KIND: &'static str = ENSEMBLE;

    fn contents(&self) -> Contents<'_, T> {
        let description = Description {
            constants: self.constants.clone(),
            folds: self.denoisers.len(),
            levels: self.denoisers.first().map_or(0, |fold| fold.levels.len()),
        };
        let mut texts = vec![(TEXT.to_owned(), json!(description).to_string())];
        let mut tensors = Vec::new();
        for (index, fold) in self.denoisers.iter().enumerate() {
            let prefix = of_fold(index);
            let Input { imputer, scaler } = &fold.input;
            tensors.extend(scaler::parts(&prefix, scaler));
            tensors.extend(imputer::means(&prefix, imputer.as_ref()));
            let scores = &fold.calibration_scores[..];
            let name = format!("{prefix}{SCORES}");
            tensors.push(Part::new(&name, &[scores.len()], scores));
            for (level, of) in fold.levels.iter().enumerate() {
                let prefix = of_level(index, level);
                texts.push(model::text(&prefix, &of.model));
                tensors.extend(model::parts(&prefix, &of.model));
                let noise = of.noise.as_slice();
                let name = format!("{prefix}noise");
                tensors.push(Part::new(&name, &[noise.len()], noise));
                tensors.push(Part::new(&format!("{prefix}scale"), &[1], vec![of.scale]));
            }
        }
        Contents { texts, tensors }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        let Description {
            constants,
            folds,
            levels,
        } = described(file, TEXT)?;
        // The numbers may lie: each fold and each level must be there.
        let folds: Result<Vec<_>, Error> = (0..folds)
            .map(|fold| read_fold(file, fold, 0..levels))
            .collect();
        Self::from_parts(constants, folds?).map_err(invalid(file))
    }
}

fn read_fold<T: Real>(
    file: &mut Reading,
    fold: usize,
    levels: Range<usize>,
) -> Result<Denoiser<T>, Error> {
    let prefix = of_fold(fold);
    let input = Input {
        imputer: imputer::read_means(file, &prefix)?,
        scaler: scaler::read(file, &prefix)?,
    };
    let calibration_scores = scores(file, &prefix)?;
    let levels: Result<_, Error> = levels
        .map(|level| read_level(file, &of_level(fold, level)))
        .collect();
    Denoiser::from_parts(input, levels?, calibration_scores).map_err(invalid(file))
}

fn read_level<T: Real>(file: &mut Reading, prefix: &str) -> Result<Level<T>, Error> {
    let model = model::read(file, prefix)?;
    let noise = vector(file, &format!("{prefix}noise"))?;
    let scale = file.tensors.scalar(&format!("{prefix}scale"))?;
    Level::from_parts(model, noise, scale).map_err(invalid(file))
}
