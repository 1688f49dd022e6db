//! Trees of features: a child is active only with its parent, and never with a sibling.

use std::ops::Range;

/// A forest of equal trees. Features are numbered breadth first over all trees: roots, children,
/// grandchildren. Features after the last tree are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forest {
    pub roots: usize,
    /// Children of a feature.
    pub branching: usize,
    /// Generations below the roots.
    pub depth: u32,
}

impl Forest {
    /// Returns the number of features in the trees.
    pub fn len(&self) -> usize {
        self.roots + self.parents() * self.branching
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of features with children, which are the first ones.
    pub fn parents(&self) -> usize {
        let generation = |age| self.roots * self.branching.pow(age);
        (0..self.depth).map(generation).sum()
    }

    /// Returns the children of a feature, an empty range for leaves and free features.
    pub fn children(&self, feature: usize) -> Range<usize> {
        if feature >= self.parents() {
            return 0..0;
        }
        let first = self.roots + feature * self.branching;
        first..first + self.branching
    }

    /// Returns the parent of a feature, `None` for roots and free features.
    pub fn parent(&self, feature: usize) -> Option<usize> {
        let is_child = (self.roots..self.len()).contains(&feature);
        is_child.then(|| (feature - self.roots) / self.branching)
    }

    /// Returns the probability with which each feature fires by itself, so that about its `marginal`
    /// probability is left:
    ///
    /// ```text
    /// p_f / p_parent · (1 + Σ p_sibling / p_parent)     at most 1
    /// ```
    ///
    /// The first factor compensates for inactive parents, the second for the expected number of competing
    /// siblings.
    pub fn compensated(&self, marginal: &[f64]) -> Vec<f64> {
        let mut own = marginal.to_vec();
        for (parent, &of_parent) in marginal.iter().enumerate().take(self.parents()) {
            let children = self.children(parent);
            let total = marginal[children.clone()].iter().sum::<f64>();
            for child in children {
                let p = marginal[child];
                let competitors = (total - p) / of_parent;
                own[child] = (p / of_parent * (1.0 + competitors)).min(1.0);
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::Forest;

    #[test]
    fn features_are_numbered_breadth_first() {
        let forest = Forest {
            roots: 2,
            branching: 3,
            depth: 2,
        };
        assert_eq!((forest.parents(), forest.len()), (8, 26));
        assert_eq!(forest.children(0), 2..5);
        assert_eq!(forest.children(1), 5..8);
        assert_eq!(forest.children(2), 8..11);
        assert_eq!(forest.children(7), 23..26);
        assert!(forest.children(8).is_empty() && forest.children(30).is_empty());
        for parent in 0..8 {
            for child in forest.children(parent) {
                assert_eq!(forest.parent(child), Some(parent));
            }
        }
        assert_eq!([0, 1, 26].map(|f| forest.parent(f)), [None; 3]);
        let published = Forest {
            roots: 128,
            branching: 4,
            depth: 3,
        };
        assert_eq!(published.len(), 10_880);
    }

    #[test]
    fn probabilities_make_up_for_parents_and_siblings() {
        let forest = Forest {
            roots: 1,
            branching: 2,
            depth: 1,
        };
        let own = forest.compensated(&[0.4, 0.1, 0.2, 0.05]);
        let expected = [0.4, 0.25 * 1.5, 0.5 * 1.25, 0.05];
        for (own, expected) in own.iter().zip(expected) {
            assert!((own - expected).abs() < 1e-15);
        }
        assert_eq!(
            forest.compensated(&[0.1, 0.1, 0.1, 0.1])[1..],
            [1.0, 1.0, 0.1]
        );
    }
}
