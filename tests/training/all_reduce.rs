//! Processes that are threads here: they add up in the order of their ranks, and none waits for ever.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sparse_autoencoder::{AllReduce, Error, Real};

/// Far more than a sum of small models takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of several processes. A sum that not all of them ask for, or not with as many values, is a panic
/// of all that wait for it.
#[derive(Debug)]
pub(crate) struct Process<T> {
    pub(crate) rank: usize,
    meeting: Arc<Meeting<T>>,
}

#[derive(Debug)]
struct Meeting<T> {
    processes: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// What was brought to the sum that is under way, by rank.
    brought: Vec<Option<Vec<T>>>,
    /// The sums that are done, and the last of them.
    done: usize,
    sum: Vec<T>,
    left: usize,
    failed: bool,
}

impl<T: Real> Process<T> {
    fn all(processes: usize) -> Vec<Self> {
        let state = State {
            brought: vec![None; processes],
            done: 0,
            sum: Vec::new(),
            left: 0,
            failed: false,
        };
        let meeting = Arc::new(Meeting {
            processes,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        (0..processes)
            .map(|rank| Self {
                rank,
                meeting: Arc::clone(&meeting),
            })
            .collect()
    }
}

impl<T: Real> AllReduce<T> for Process<T> {
    fn sum(&self, values: &mut [T]) -> Result<(), Error> {
        let Meeting { state, changed, .. } = &*self.meeting;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, arrived) = (state.done, |state: &State<T>| {
            state.brought.iter().flatten().count()
        });
        state.brought[self.rank] = Some(values.to_vec());
        if arrived(&state) == self.meeting.processes {
            let all: Vec<_> = state.brought.iter_mut().flat_map(Option::take).collect();
            state.failed |= all.iter().any(|other| other.len() != values.len());
            let add = |i: usize| all.iter().fold(T::zero(), |sum, other| sum + other[i]);
            if !state.failed {
                state.sum = (0..values.len()).map(add).collect();
            }
            state.done += 1;
            changed.notify_all();
        }
        let waits = |state: &mut State<T>| {
            state.failed |=
                state.done == sum && arrived(state) + state.left >= self.meeting.processes;
            state.done == sum && !state.failed
        };
        let (mut state, timeout) = changed
            .wait_timeout_while(state, PATIENCE, waits)
            .unwrap_or_else(PoisonError::into_inner);
        state.failed |= timeout.timed_out();
        if state.failed {
            changed.notify_all();
            drop(state);
            panic!(
                "process {} waits for a sum that others do not ask for",
                self.rank
            );
        }
        values.copy_from_slice(&state.sum);
        Ok(())
    }
}

impl<T> Drop for Process<T> {
    fn drop(&mut self) {
        let state = self.meeting.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).left += 1;
        self.meeting.changed.notify_all();
    }
}

/// What each of so many processes returns; nothing of one that would have waited for ever.
pub(crate) fn try_together<R: Send>(
    count: usize,
    run: impl Fn(Arc<Process<f64>>) -> R + Sync,
) -> Vec<Option<R>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = Process::all(count)
            .into_iter()
            .map(|process| scope.spawn(|| run(Arc::new(process))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect()
    })
}

/// What each of so many processes returns.
pub(crate) fn together<R: Send>(
    count: usize,
    run: impl Fn(Arc<Process<f64>>) -> R + Sync,
) -> Vec<R> {
    let results = try_together(count, run);
    results.into_iter().map(Option::unwrap).collect()
}
