//! What trained models are used for: anomaly detection, stacks for pretraining, and classification.

pub(crate) mod anomaly;
pub(crate) mod classifier;
pub(crate) mod stack;

pub use anomaly::{AnomalyDetector, AnomalyDetectorBuilder, Threshold};
pub use classifier::{
    ClassifierEpoch, ClassifierLoss, ClassifierReport, ClassifierWorkspace, DenseView,
    SoftmaxClassifier,
};
pub use stack::Stack;
