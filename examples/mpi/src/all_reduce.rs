//! The library's all-reduce, over MPI.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use sparse_autoencoder::{AllReduce, Error};

/// The sum over all processes of a communicator.
#[derive(Debug, Default)]
pub struct World {
    /// The cost of the calls so far.
    spent: Mutex<Duration>,
    bytes: AtomicU64,
    received: Mutex<Vec<f32>>,
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the bytes that this process has passed to sums, and their time.
    pub fn cost(&self) -> (u64, Duration) {
        let spent = self.spent.lock().map_or(Duration::ZERO, |spent| *spent);
        (self.bytes.load(Ordering::Relaxed), spent)
    }
}

impl AllReduce<f32> for World {
    fn sum(&self, values: &mut [f32]) -> Result<(), Error> {
        let start = Instant::now();
        let (Ok(mut received), Ok(mut spent)) = (self.received.lock(), self.spent.lock()) else {
            return Err(std::io::Error::other("a thread panicked during another sum").into());
        };
        received.resize(values.len(), 0.0);
        // All ranks get the same bits: MPI recommends it, and Open MPI and MPICH do it for the same
        // number of values and of processes.
        SimpleCommunicator::world().all_reduce_into(
            values,
            &mut received[..],
            SystemOperation::sum(),
        );
        values.copy_from_slice(&received);
        self.bytes
            .fetch_add(size_of_val(values) as u64, Ordering::Relaxed);
        *spent += start.elapsed();
        Ok(())
    }
}
