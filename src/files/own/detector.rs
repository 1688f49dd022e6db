//! Anomaly detectors: a model, a scaler, maybe an imputer, the calibration scores, and the rule of the threshold.

use serde_json::json;

use super::{
    Contents, DETECTOR, Kind, Part, Reading, SCORES, described, imputer, invalid, model, scaler,
    scores,
};
use crate::{AnomalyDetector, Error, Real};

const THRESHOLD: &str = "threshold";

impl<T: Real> Kind for AnomalyDetector<T> {
    type Scalar = T;
    const KIND: &'static str = DETECTOR;

    fn contents(&self) -> Contents<'_, T> {
        let mut contents = self.model().contents();
        let rule = json!(self.rule()).to_string();
        contents.texts.push((THRESHOLD.to_owned(), rule));
        contents.tensors.extend(scaler::parts("", self.scaler()));
        contents.tensors.extend(imputer::means("", self.imputer()));
        let scores = self.calibration_scores();
        let scores = Part::new(SCORES, &[scores.len()], scores);
        contents.tensors.push(scores);
        contents
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        let rule = described(file, THRESHOLD)?;
        let model = model::read(file, "")?;
        let scaler = scaler::read(file, "")?;
        let imputer = imputer::read_means(file, "")?;
        let scores = scores(file, "")?;
        let detector = Self::from_parts(model, scaler, scores, rule);
        match imputer {
            None => detector,
            Some(imputer) => detector.and_then(|detector| detector.with_imputer(imputer)),
        }
        .map_err(invalid(file))
    }
}
