//! What a fit does: its optimizers, its schedule, what is learned, and the same bits each time.

mod all_reduce;
mod annealing;
mod corruption;
mod dead_units;
mod determinism;
mod extreme;
mod learning;
mod optimizers;
mod processes;
mod processes_decide;
mod processes_differ;
mod samples;
mod set_point;
mod unit_norm;
#[path = "../variants/mod.rs"]
mod variants;
mod warnings;
