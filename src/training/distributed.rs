//! Training by several processes.
//!
//! All processes take the same steps, because every decision depends on a sum over all of them. A
//! decision about the samples, files, or observer of one process is summed before it takes effect.
//!
//! Every step and every validation first sums the numbers of samples. A process that cannot continue
//! sends NaN in place of its number, so that no process waits for it.

pub(crate) mod all_reduce;
mod fingerprint;
mod processes;

pub(super) use fingerprint::{fingerprint, hash_numbers};
pub(super) use processes::{Processes, average};
