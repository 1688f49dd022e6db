//! Sparse autoencoders.

#![forbid(unsafe_code)]

mod activation;
mod anomaly;
mod autoencoder;
mod batch;
mod builder;
mod classifier;
mod corruption;
mod error;
pub mod gradient_check;
mod init;
mod kernel;
pub mod metrics;
mod objective;
pub mod optimizer;
mod parameters;
pub mod penalty;
mod real;
mod scaling;
mod schedule;
mod stack;
mod trainer;
mod workspace;

pub use activation::Activation;
pub use anomaly::{AnomalyDetector, AnomalyDetectorBuilder, Threshold};
pub use autoencoder::SparseAutoencoder;
pub use builder::SparseAutoencoderBuilder;
pub use classifier::{
    ClassifierEpoch, ClassifierLoss, ClassifierReport, ClassifierWorkspace, DenseView,
    SoftmaxClassifier,
};
pub use corruption::Corruption;
pub use error::Error;
pub use init::Initialization;
pub use objective::{Loss, Reconstruction};
pub use optimizer::{Adam, Lbfgs, Optimizer, Sgd};
pub use parameters::{Layer, LayerView, Layout, Parameters};
pub use penalty::{KlDivergence, L1, Penalty, Proportion, SquaredDeviation};
pub use real::Real;
pub use scaling::{Scaler, Scaling};
pub use schedule::Schedule;
pub use stack::Stack;
pub use trainer::{Epoch, Report, StopReason, Trainer};
pub use workspace::Workspace;

pub use nalgebra;
