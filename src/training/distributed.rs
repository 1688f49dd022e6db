//! Training by several processes.
//!
//! All processes take the same steps, because each decision rests on a sum over all of them: whatever
//! follows from the samples, files, or observer of one process is summed up first. A process that
//! cannot continue sends NaN in place of the number of its samples, which every step and every
//! validation asks for first. No process waits for it.

pub(crate) mod all_reduce;
mod fingerprint;
mod processes;

pub(super) use fingerprint::fingerprint;
pub(super) use processes::{Processes, average};
