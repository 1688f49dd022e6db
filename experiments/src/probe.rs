//! A linear probe: softmax regression on features.

use nalgebra::DMatrix;
use sparse_autoencoder::{ClassifierTrainer, Error, Lbfgs, SoftmaxClassifier, nalgebra};

/// Features, one column per sample, and the classes of the samples.
pub type Features<'a> = (&'a DMatrix<f32>, &'a [usize]);

/// Weight decays to choose from, the strongest first.
const DECAYS: [f64; 3] = [1e-3, 1e-4, 1e-5];

/// Returns the accuracy on `test` of softmax regression fitted to `training` with the weight decay
/// that is best on `validation`. Each fit has at most `iterations` and starts from the result of the
/// next stronger decay.
pub fn accuracy(
    training: Features<'_>,
    validation: Features<'_>,
    test: Features<'_>,
    iterations: usize,
) -> Result<f64, Error> {
    let classes = training.1.iter().max().map_or(0, |largest| largest + 1);
    let mut classifier = SoftmaxClassifier::new(training.0.nrows(), classes)?;
    let mut best = (0.0, classifier.clone());
    for decay in DECAYS {
        classifier = classifier.with_weight_decay(decay)?;
        let mut trainer = ClassifierTrainer::new(Lbfgs::new()).epochs(iterations);
        trainer.fit(&mut classifier, training.0, training.1)?;
        let accuracy = classifier.accuracy(validation.0, validation.1)?;
        if accuracy > best.0 {
            best = (accuracy, classifier.clone());
        }
    }
    best.1.accuracy(test.0, test.1)
}
