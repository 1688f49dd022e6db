//! Vectors that start at a cache line.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::Real;

/// Bytes of a cache line. Starting buffers at different lines of a page makes no difference.
const CACHE_LINE: usize = 64;

/// A vector whose first entry lies at the start of a cache line.
///
/// Large allocations usually start behind the allocator's own data, in the middle of a line. Every
/// full-width register then crosses two lines, which costs two reads or two writes.
pub(crate) struct Aligned<T> {
    entries: Vec<T>,
    /// The number of entries that fill the line before the first.
    first: usize,
}

impl<T> Aligned<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            first: 0,
        }
    }
}

impl<T: Real> Aligned<T> {
    /// Returns `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self::zeros_in(Vec::with_capacity(len + line::<T>()), len)
    }

    /// Returns `len` zeros, or `None` without memory for them.
    pub(crate) fn try_zeros(len: usize) -> Option<Self> {
        let mut room = Vec::new();
        room.try_reserve_exact(len.checked_add(line::<T>())?).ok()?;
        Some(Self::zeros_in(room, len))
    }

    fn zeros_in(mut room: Vec<T>, len: usize) -> Self {
        let first = to_line(room.as_ptr());
        room.resize(first + len, T::zero());
        Self {
            entries: room,
            first,
        }
    }

    /// Sets the length, and appends zeros if it grows.
    pub(crate) fn resize(&mut self, len: usize) {
        let room = self.first + len;
        if room <= self.entries.capacity() {
            self.entries.resize(room, T::zero());
        } else {
            let mut longer = Self::zeros(len);
            let kept = self.len().min(len);
            longer[..kept].copy_from_slice(&self[..kept]);
            *self = longer;
        }
    }

    /// Replaces the contents by `len` zeros, and keeps the capacity.
    pub(crate) fn reset(&mut self, len: usize) {
        self.resize(len);
        self.fill(T::zero());
    }

    /// Extends the vector with zeros to at least this length.
    pub(crate) fn grow(&mut self, len: usize) {
        if self.len() < len {
            self.resize(len);
        }
    }

    /// Returns the entries as a vector of the standard library.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        self.entries.drain(..self.first);
        self.entries
    }
}

impl<T: Clone> From<Vec<T>> for Aligned<T> {
    /// Moves the entries to the next cache line, unless they start at one. Reallocates if the capacity
    /// does not suffice.
    fn from(mut entries: Vec<T>) -> Self {
        let Some(filling) = entries.first().cloned() else {
            return Self::new();
        };
        if to_line(entries.as_ptr()) == 0 {
            return Self { entries, first: 0 };
        }
        entries.reserve_exact(line::<T>());
        let first = to_line(entries.as_ptr());
        entries.resize(entries.len() + first, filling);
        entries.rotate_right(first);
        Self { entries, first }
    }
}

/// Returns the number of entries in a cache line.
pub(super) const fn line<T>() -> usize {
    CACHE_LINE / size_of::<T>()
}

/// Returns the number of entries from `begin` to the next cache line.
fn to_line<T>(begin: *const T) -> usize {
    begin.align_offset(CACHE_LINE).min(line::<T>())
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.entries[self.first..]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.entries[self.first..]
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(self.len() + line::<T>());
        entries.extend_from_slice(self);
        entries.into()
    }
}

impl<T: PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: fmt::Debug> fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins_at_a_line<T>(numbers: &Aligned<T>) -> bool {
        numbers.as_ptr().addr().is_multiple_of(CACHE_LINE)
    }

    /// Allocations of growing lengths, which start anywhere in a line.
    fn keeps_numbers_and_line<T: Real>() {
        for len in [1, 15, 16, 17, 1000, 100_000] {
            let numbers: Vec<T> = (0..len).map(T::of_count).collect();
            let mut aligned = Aligned::from(numbers.clone());
            assert!(begins_at_a_line(&aligned) && *aligned == numbers[..]);
            let copy = aligned.clone();
            assert!(begins_at_a_line(&copy) && copy == aligned);

            for longer in [len + 1, 3 * len + 40] {
                aligned.grow(longer);
                assert!(begins_at_a_line(&aligned) && aligned.len() == longer);
                assert!(aligned[..len] == numbers[..]);
                assert!(aligned[len..].iter().all(|&zero| zero == T::zero()));
            }
            aligned.grow(len);
            assert_eq!(aligned.len(), 3 * len + 40);
            aligned.resize(len);
            assert!(begins_at_a_line(&aligned) && aligned.into_vec() == numbers);
        }
    }

    #[test]
    fn numbers_and_line_are_kept() {
        keeps_numbers_and_line::<f32>();
        keeps_numbers_and_line::<f64>();
    }

    #[test]
    fn there_may_be_none() {
        let mut none = Aligned::<f32>::from(Vec::new());
        assert!(none.is_empty() && none == Aligned::new() && none.clone().into_vec().is_empty());
        none.grow(20);
        assert!(begins_at_a_line(&none) && *none == [0.0; 20]);
    }
}
