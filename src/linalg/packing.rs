//! Packing: copies of blocks of an operand, in the order in which tiles read them.

use std::ops::Range;

use super::aligned::{Aligned, line};
use super::gemm::Side;
use super::vectorize;
use crate::Real;

/// Columns that are transposed at a time. A multiple of the squares of every machine.
pub(super) const SQUARE: usize = 16;

/// The packed blocks of a thread. They outlive a product, so that the next one does not allocate.
#[derive(Debug, Clone)]
pub(super) struct PackBuffers<T> {
    pub(super) lhs: Aligned<T>,
    pub(super) rhs: Aligned<T>,
}

impl<T> PackBuffers<T> {
    pub(super) const fn new() -> Self {
        Self {
            lhs: Aligned::new(),
            rhs: Aligned::new(),
        }
    }
}

/// A packed block: micro-panels of `width` entries along the result, MR or NR, for each position of the
/// depth. Entries beyond the end are 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct MicroPanels<'a, T> {
    entries: &'a [T],
    width: usize,
    depth: usize,
}

impl<'a, T> MicroPanels<'a, T> {
    /// Returns the distance of two micro-panels: a cache line more than their length. Micro-panels are
    /// written side by side, and lines at a distance of a power of two would evict each other.
    const fn stride(width: usize, depth: usize) -> usize {
        width * depth + line::<T>()
    }

    pub(super) fn get(&self, index: usize) -> &'a [T] {
        let start = index * Self::stride(self.width, self.depth);
        &self.entries[start..start + self.width * self.depth]
    }

    /// Views the block that [`pack`] has written to a buffer.
    pub(super) fn of(entries: &'a [T], width: usize, depth: usize) -> Self {
        Self {
            entries,
            width,
            depth,
        }
    }

    /// Returns the micro-panels from this index on.
    pub(super) fn from(&self, index: usize) -> Self {
        Self {
            entries: &self.entries[index * Self::stride(self.width, self.depth)..],
            ..*self
        }
    }

    /// Returns the micro-panel with this index.
    pub(super) fn only(&self, index: usize) -> Self {
        Self {
            entries: self.get(index),
            ..*self
        }
    }
}

/// Returns the number of entries of a packed block.
pub(super) const fn packed_len<T>(along: usize, width: usize, depth: usize) -> usize {
    along.div_ceil(width) * MicroPanels::<T>::stride(width, depth)
}

/// Packs a block of `side` into panels.
pub(super) fn pack<'b, T: Real>(
    side: &Side<'_, T>,
    width: usize,
    along: Range<usize>,
    depth: Range<usize>,
    buffer: &'b mut Aligned<T>,
) -> MicroPanels<'b, T> {
    let stride = MicroPanels::<T>::stride(width, depth.len());
    let needed = packed_len::<T>(along.len(), width, depth.len());
    buffer.grow(needed);
    let panels = &mut buffer[..needed];
    if !along.len().is_multiple_of(width) {
        panels[needed - stride..].fill(T::zero());
    }
    if side.along_depth {
        let firsts = along.clone().step_by(width);
        for (first, panel) in firsts.zip(panels.chunks_exact_mut(stride)) {
            let columns = first..(first + width).min(along.end);
            let panel = &mut panel[..width * depth.len()];
            transpose_panel(side, columns, depth.clone(), panel);
        }
    } else {
        let depth = depth.clone();
        vectorize(
            #[inline(always)]
            || match width {
                // Constants, so that parts of columns are copied without a call.
                6 => copy_rows(side, along, depth, 6, panels),
                8 => copy_rows(side, along, depth, 8, panels),
                12 => copy_rows(side, along, depth, 12, panels),
                16 => copy_rows(side, along, depth, 16, panels),
                24 => copy_rows(side, along, depth, 24, panels),
                48 => copy_rows(side, along, depth, 48, panels),
                _ => copy_rows(side, along, depth, width, panels),
            },
        );
    }
    MicroPanels {
        entries: panels,
        width,
        depth: depth.len(),
    }
}

/// Columns that are copied at a time.
const TOGETHER: usize = 4;

/// Packs columns that run along the result.
///
/// Fills all micro-panels at once, so that a column is read from start to end. Copies a few columns at a
/// time, so that whole cache lines are written, and several reads overlap.
#[inline(always)]
fn copy_rows<T: Real>(
    side: &Side<'_, T>,
    rows: Range<usize>,
    depth: Range<usize>,
    width: usize,
    panels: &mut [T],
) {
    let stride = MicroPanels::<T>::stride(width, depth.len());
    let mut p = 0;
    while p + TOGETHER <= depth.len() {
        let from: [&[T]; TOGETHER] =
            std::array::from_fn(|q| &side.column(depth.start + p + q)[rows.clone()]);
        copy_positions(from, &mut panels[p * width..], width, stride);
        p += TOGETHER;
    }
    for p in p..depth.len() {
        let from = [&side.column(depth.start + p)[rows.clone()]];
        copy_positions(from, &mut panels[p * width..], width, stride);
    }
}

/// Copies consecutive positions of the depth to all micro-panels. `panels` starts at the first position.
#[inline(always)]
fn copy_positions<T: Real, const N: usize>(
    from: [&[T]; N],
    panels: &mut [T],
    width: usize,
    stride: usize,
) {
    let mut whole = from.map(|from| from.chunks_exact(width));
    let mut to = 0;
    for _ in 0..from[0].len() / width {
        let panel = &mut panels[to..to + N * width];
        for (to, from) in panel.chunks_exact_mut(width).zip(&mut whole) {
            if let Some(from) = from.next() {
                to.copy_from_slice(from);
            }
        }
        to += stride;
    }
    let rest = from[0].len() % width;
    if rest > 0 {
        let panel = &mut panels[to..to + N * width];
        for (to, from) in panel.chunks_exact_mut(width).zip(whole) {
            to[..rest].copy_from_slice(from.remainder());
        }
    }
}

/// Packs columns that run along the depth into one micro-panel, [`SQUARE`] columns at a time.
fn transpose_panel<T: Real>(
    side: &Side<'_, T>,
    columns: Range<usize>,
    depth: Range<usize>,
    panel: &mut [T],
) {
    let width = panel.len() / depth.len();
    for first in columns.clone().step_by(SQUARE) {
        let count = SQUARE.min(columns.end - first);
        let mut from: [&[T]; SQUARE] = [&[]; SQUARE];
        for (j, from) in from[..count].iter_mut().enumerate() {
            *from = &side.column(first + j)[depth.clone()];
        }
        T::transpose(&from[..count], &mut panel[first - columns.start..], width);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss)] // entries are moved, not computed
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DMatrixView};

    /// Both orientations against the definition, on shapes around whole squares and micro-panels.
    fn copies_every_entry_to_its_place<T: Real>() {
        for width in [1, 6, 8, 12, 16, 24, 48] {
            for (len, depth) in [(1, 1), (15, 33), (16, 16), (50, 40), (97, 17), (200, 64)] {
                for along_depth in [false, true] {
                    let shape = if along_depth {
                        (depth, len)
                    } else {
                        (len, depth)
                    };
                    let matrix =
                        DMatrix::from_fn(shape.0, shape.1, |i, j| T::of_count(1 + i + 1000 * j));
                    let side = Side {
                        matrix: DMatrixView::from(&matrix),
                        along_depth,
                    };
                    let (along, positions) = (len / 4..len, depth / 3..depth);
                    let mut buffer = Aligned::new();
                    let (of_along, of_depth) = (along.clone(), positions.clone());
                    let panels = pack(&side, width, of_along, of_depth, &mut buffer);
                    for index in 0..along.len().div_ceil(width) {
                        let panel = panels.get(index);
                        assert_eq!(panel.len(), width * positions.len());
                        for (rest, &value) in panel.iter().enumerate() {
                            let p = positions.start + rest / width;
                            let i = along.start + index * width + rest % width;
                            let expected = match along_depth {
                                _ if i >= along.end => T::zero(),
                                true => matrix[(p, i)],
                                false => matrix[(i, p)],
                            };
                            assert_eq!(value, expected, "{width}: ({i}, {p}) of {len} x {depth}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn copies_every_f32_to_its_place() {
        copies_every_entry_to_its_place::<f32>();
    }

    #[test]
    fn copies_every_f64_to_its_place() {
        copies_every_entry_to_its_place::<f64>();
    }
}
