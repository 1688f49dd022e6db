//! Anomaly detectors, stacks, and classifiers.

mod anomaly;
mod classifier;
#[path = "../common/mod.rs"]
mod common;
mod stack;
