//! Applications of trained autoencoders.
//!
//! | task | type |
//! |---|---|
//! | detect samples unlike the training samples | [`AnomalyEnsemble`], or [`AnomalyDetector`] for a model of yours |
//! | train several layers one after the other | [`Stack`] |
//! | classify samples, after pretraining without labels | [`SoftmaxClassifier`] |

pub(crate) mod anomaly;
pub(crate) mod classifier;
pub(crate) mod stack;

pub use anomaly::{
    AnomalyDetector, AnomalyDetectorBuilder, AnomalyDetectorSettings, AnomalyEnsemble,
    AnomalyEnsembleBuilder, EnsembleStep, FittedDetector, Threshold, benjamini_hochberg,
};
pub use classifier::{
    ClassifierEpoch, ClassifierEvent, ClassifierLoss, ClassifierReport, ClassifierStep,
    ClassifierTrainer, ClassifierWorkspace, DenseView, SoftmaxClassifier,
};
pub use stack::Stack;
