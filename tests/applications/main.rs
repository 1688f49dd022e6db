//! Anomaly detectors, stacks, and classifiers.

mod anomaly;
mod any_source;
mod classifier;
mod classifier_gradients;
mod classifier_observers;
mod classifier_validation;
#[path = "../common/mod.rs"]
mod common;
mod observers;
mod stack;
