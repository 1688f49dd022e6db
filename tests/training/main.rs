//! Optimizers, schedules, and fits.

mod all_reduce;
mod annealing;
mod bias_rate;
#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod dead_units;
mod determinism;
mod extreme_data;
mod learning;
mod log_writer;
mod observers;
mod optimizers;
mod processes;
mod processes_decide;
mod processes_differ;
mod processes_fail;
mod recipe;
mod reports;
mod resampling;
mod set_point;
mod sources;
mod start;
mod thresholds;
mod transcoder;
mod unit_norm;
mod validation;
mod warnings;
