//! What models are trained for, and how what they do is measured.

mod anomaly;
#[path = "../cases/mod.rs"]
mod cases;
mod classifier;
mod compressed;
mod dictionary;
mod extremes;
mod location;
mod metrics;
mod metrics_exact;
mod samples;
mod stack;
mod unit_statistics;
#[path = "../variants/mod.rs"]
mod variants;
