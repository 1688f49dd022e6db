//! The linear assignment problem, for matching units with features one to one.

use nalgebra::DMatrix;

/// Returns the job of each worker that minimizes the sum of `costs`, jobs × workers.
///
/// Every worker gets a job of its own, so there must be at least as many jobs as workers. Ties go to
/// the lower index.
///
/// Finds shortest augmenting paths over reduced costs `c − u − v ≥ 0` by Dijkstra's algorithm, in
/// O(workers² · jobs): Jonker & Volgenant (1987), *A Shortest Augmenting Path Algorithm for Dense and
/// Sparse Linear Assignment Problems*, in the form of Crouse (2016), *On Implementing 2D Rectangular
/// Assignment Algorithms*.
pub(super) fn assign(costs: &DMatrix<f64>) -> Vec<usize> {
    let (jobs, workers) = costs.shape();
    debug_assert!(workers <= jobs);
    let (mut u, mut v) = (vec![0.0; workers], vec![0.0; jobs]);
    let mut worker_of: Vec<Option<usize>> = vec![None; jobs];
    let mut job_of = vec![0; workers];

    // Of one search: the length of the shortest path to each job and the last worker on it.
    let mut distance = vec![0.0; jobs];
    let mut before = vec![0; jobs];
    let mut reached = Vec::with_capacity(workers);
    let mut rest = Vec::with_capacity(jobs);

    for start in 0..workers {
        distance.fill(f64::INFINITY);
        reached.clear();
        rest.clear();
        rest.extend(0..jobs);
        let (mut worker, mut length) = (start, 0.0);
        let free = loop {
            let costs = costs.column(worker);
            let mut nearest = 0;
            for (place, &job) in rest.iter().enumerate() {
                let through = length + (costs[job] - u[worker] - v[job]);
                if through < distance[job] {
                    distance[job] = through;
                    before[job] = worker;
                }
                if distance[job] < distance[rest[nearest]] {
                    nearest = place;
                }
            }
            let job = rest.remove(nearest);
            length = distance[job];
            match worker_of[job] {
                None => break job,
                Some(other) => {
                    reached.push(job);
                    worker = other;
                }
            }
        };

        u[start] += length;
        for &job in &reached {
            let slack = length - distance[job];
            v[job] -= slack;
            u[worker_of[job].unwrap_or(start)] += slack;
        }
        let mut job = free;
        loop {
            let worker = before[job];
            worker_of[job] = Some(worker);
            std::mem::swap(&mut job_of[worker], &mut job);
            if worker == start {
                break;
            }
        }
    }
    job_of
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // sums of whole numbers
mod tests {
    use nalgebra::DMatrix;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::assign;

    fn total(costs: &DMatrix<f64>, jobs: &[usize]) -> f64 {
        let costs = jobs.iter().enumerate().map(|(w, &job)| costs[(job, w)]);
        costs.sum()
    }

    /// Returns the least total of the workers from `worker` on, by trying every free job.
    fn least(costs: &DMatrix<f64>, worker: usize, taken: &mut [bool]) -> f64 {
        if worker == costs.ncols() {
            return 0.0;
        }
        let mut lowest = f64::INFINITY;
        for job in 0..costs.nrows() {
            if !taken[job] {
                taken[job] = true;
                let others = least(costs, worker + 1, taken);
                lowest = lowest.min(costs[(job, worker)] + others);
                taken[job] = false;
            }
        }
        lowest
    }

    #[test]
    fn the_nearest_job_is_not_always_the_best() {
        // Job 0 is cheapest for both workers. Without it one pays 9, the other 1.
        let costs = DMatrix::from_column_slice(2, 2, &[0.0, 9.0, 0.0, 1.0]);
        assert_eq!(assign(&costs), [0, 1]);
        let costs = DMatrix::from_column_slice(3, 2, &[0.0, 1.0, 9.0, 0.0, 9.0, 9.0]);
        assert_eq!(assign(&costs), [1, 0]);
    }

    /// Costs are whole numbers, so that sums are exact and ties occur.
    #[test]
    fn no_assignment_is_cheaper() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..256 {
            let workers = rng.random_range(1..=5);
            let jobs = workers + rng.random_range(0..=2);
            let costs =
                DMatrix::from_fn(jobs, workers, |_, _| f64::from(rng.random_range(-6_i8..=6)));
            let assigned = assign(&costs);
            let mut distinct = assigned.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), workers, "{costs}");
            let lowest = least(&costs, 0, &mut vec![false; jobs]);
            assert_eq!(total(&costs, &assigned), lowest, "{costs}");
        }
    }
}
