//! A product on one thread: blocks of the depth, copies of both sides in the order of their use,
//! and tiles of the result in registers.

use pulp::{Simd, WithSimd};

use super::product::{Side, Task, Write};
use crate::Real;

/// Depth of a block, at most: a tile's share of both sides then fits the first cache.
const DEPTH: usize = 640;
/// Extent of a block of the vector side: with `DEPTH`, half of the second cache.
const VECTOR: usize = 288;
/// Extent of a block of a broadcast side that has to be copied.
const BROADCAST: usize = 2048;

/// Bytes of a cache line, and at least its number of entries.
pub(super) const CACHE_LINE: usize = 64;

/// The copies, which outlive a product so that the next does not allocate.
#[derive(Debug, Clone)]
pub(super) struct Copies<T> {
    vector: Vec<T>,
    broadcast: Vec<T>,
}

impl<T> Copies<T> {
    pub(super) const fn new() -> Self {
        Self {
            vector: Vec::new(),
            broadcast: Vec::new(),
        }
    }
}

/// Copies a block of `side` in the order of its use: strips of `width` entries along the result,
/// each strip position by position of the depth. Entries beyond the end are 0.
///
/// Where the columns of the matrix run along the result, `together` strips are written at a time,
/// to use what a column brings into the cache.
#[inline(always)]
fn copy_strips<'b, T: Real>(
    side: &Side<'_, T>,
    (width, together): (usize, usize),
    (start, len): (usize, usize),
    (depth_start, depth): (usize, usize),
    buffer: &'b mut Vec<T>,
) -> &'b [T] {
    let needed = len.next_multiple_of(width) * depth;
    if buffer.len() < needed + CACHE_LINE {
        buffer.resize(needed + CACHE_LINE, T::zero());
    }
    // A vector that crosses a cache line costs two reads.
    let aligned = buffer.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE);
    let copied = &mut buffer[aligned..aligned + needed];
    let strip = width * depth;
    let mut first = start;
    for strips in copied.chunks_mut(strip * together) {
        let filled = (width * together).min(start + len - first);
        if filled < strips.len() / depth {
            strips.fill(T::zero());
        }
        if side.along_depth {
            for (index, strip) in strips.chunks_exact_mut(strip).enumerate() {
                let columns = first + index * width..first + ((index + 1) * width).min(filled);
                transpose_strip(side, width, columns, depth_start, strip);
            }
        } else {
            for p in 0..depth {
                let from = &side.column(depth_start + p)[first..first + filled];
                let whole = from.chunks_exact(width);
                let rest = whole.remainder();
                let mut to = p * width;
                for from in whole {
                    strips[to..to + width].copy_from_slice(from);
                    to += strip;
                }
                if !rest.is_empty() {
                    strips[to..to + rest.len()].copy_from_slice(rest);
                }
            }
        }
        first += filled;
    }
    copied
}

/// Columns that run along the depth become entries of a strip, a few columns at a time, so that
/// what is written of the strip stays in the first cache.
#[inline(always)]
fn transpose_strip<T: Real>(
    side: &Side<'_, T>,
    width: usize,
    columns: std::ops::Range<usize>,
    depth_start: usize,
    strip: &mut [T],
) {
    const TOGETHER: usize = 16;
    let depth = strip.len() / width;
    let mut column = columns.start;
    while column + TOGETHER <= columns.end {
        let mut from: [&[T]; TOGETHER] = [&[]; TOGETHER];
        for (j, from) in from.iter_mut().enumerate() {
            *from = &side.column(column + j)[depth_start..depth_start + depth];
        }
        let offset = column - columns.start;
        for (p, to) in strip.chunks_exact_mut(width).enumerate() {
            let to = &mut to[offset..offset + TOGETHER];
            for j in 0..TOGETHER {
                to[j] = from[j][p];
            }
        }
        column += TOGETHER;
    }
    for column in column..columns.end {
        let from = &side.column(column)[depth_start..depth_start + depth];
        for (to, &value) in strip.chunks_exact_mut(width).zip(from) {
            to[column - columns.start] = value;
        }
    }
}

macro_rules! multiply {
    ($name:ident, $float:ident, $vectors:ident, $splat:ident, $mul_add:ident, $add:ident,
     $as_simd:ident, $as_mut_simd:ident) => {
        /// Runs a task on the vectors of this machine.
        pub(super) struct $name<'a> {
            pub(super) task: Task<'a, $float>,
            pub(super) copies: &'a mut Copies<$float>,
        }

        const _: () = {
            impl WithSimd for $name<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    // A tile takes V · N registers, and a few must remain for the two sides.
                    if S::REGISTER_COUNT >= 32 {
                        multiply::<S, 3, 8>(simd, self.task, self.copies);
                    } else {
                        multiply::<S, 2, 6>(simd, self.task, self.copies);
                    }
                }
            }

            #[inline(always)]
            fn multiply<S: Simd, const V: usize, const N: usize>(
                simd: S,
                mut task: Task<'_, $float>,
                copies: &mut Copies<$float>,
            ) {
                let width = V * (size_of::<S::$vectors>() / size_of::<$float>());
                let (vector, broadcast) = (task.vector, task.broadcast);
                let (rows, columns, depth) = (vector.len(), broadcast.len(), vector.depth());
                let blocks = depth.div_ceil(DEPTH);
                let vector_block = (VECTOR / width).max(1) * width;
                let broadcast_block = if broadcast.along_depth {
                    columns
                } else {
                    BROADCAST
                };
                let mut tile = [[simd.$splat(0.0); V]; N];
                for block in 0..blocks {
                    let start = block * depth / blocks;
                    let range = (start, (block + 1) * depth / blocks - start);
                    let write = if block == 0 { task.write } else { Write::Add };
                    for column in (0..columns).step_by(broadcast_block) {
                        let column_end = (column + broadcast_block).min(columns);
                        let copied_broadcast: &[$float] = if broadcast.along_depth {
                            &[]
                        } else {
                            let part = (column, column_end - column);
                            copy_strips(&broadcast, (N, 8), part, range, &mut copies.broadcast)
                        };
                        for row in (0..rows).step_by(vector_block) {
                            let part = (row, vector_block.min(rows - row));
                            let strips =
                                copy_strips(&vector, (width, 1), part, range, &mut copies.vector)
                                    .chunks_exact(width * range.1);
                            let strips = strips.enumerate().map(|(strip, a)| {
                                let i = row + strip * width;
                                (i, rows - i, a)
                            });
                            for j in (column..column_end).step_by(N) {
                                let used = N.min(column_end - j);
                                if broadcast.along_depth {
                                    let mut b: [&[$float]; N] = [&[]; N];
                                    for n in 0..N {
                                        // Beyond the end, an entry that is there stands in.
                                        let column = broadcast.column(j + n.min(used - 1));
                                        b[n] = &column[range.0..range.0 + range.1];
                                    }
                                    let b = |p: usize, n: usize| b[n][p];
                                    tiles::<S, V, N>(
                                        simd,
                                        strips.clone(),
                                        range.1,
                                        b,
                                        &mut tile,
                                        &mut task,
                                        (j, used),
                                        write,
                                    );
                                } else {
                                    let b = &copied_broadcast[(j - column) * range.1..];
                                    let (b, _) = b[..N * range.1].as_chunks::<N>();
                                    let b = |p: usize, n: usize| b[p][n];
                                    tiles::<S, V, N>(
                                        simd,
                                        strips.clone(),
                                        range.1,
                                        b,
                                        &mut tile,
                                        &mut task,
                                        (j, used),
                                        write,
                                    );
                                }
                            }
                        }
                    }
                }
            }

            /// The tiles of all strips (the row of each, the rows left from there, its copy) at the
            /// columns from `j` on, each of as many vectors as there are rows left for.
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn tiles<'s, S: Simd, const V: usize, const N: usize>(
                simd: S,
                strips: impl Iterator<Item = (usize, usize, &'s [$float])>,
                depth: usize,
                b: impl Fn(usize, usize) -> $float + Copy,
                tile: &mut [[S::$vectors; V]; N],
                task: &mut Task<'_, $float>,
                (j, columns): (usize, usize),
                write: Write<'_, $float>,
            ) {
                let lanes = size_of::<S::$vectors>() / size_of::<$float>();
                for (i, left, a) in strips {
                    match left.div_ceil(lanes) {
                        1 => accumulate::<S, 1, V, N>(simd, depth, a, b, tile),
                        2 => accumulate::<S, 2, V, N>(simd, depth, a, b, tile),
                        _ => accumulate::<S, V, V, N>(simd, depth, a, b, tile),
                    }
                    put::<S, V, N>(simd, tile, task, (i, j), (left, columns), write);
                }
            }

            /// The first `U` vectors of a tile, from a strip of the vector side and the entries
            /// `b(p, n)` of the broadcast side.
            #[inline(always)]
            fn accumulate<S: Simd, const U: usize, const V: usize, const N: usize>(
                simd: S,
                depth: usize,
                a: &[$float],
                b: impl Fn(usize, usize) -> $float,
                out: &mut [[S::$vectors; V]; N],
            ) {
                let mut tile = [[simd.$splat(0.0); U]; N];
                let (a, _) = S::$as_simd(a);
                for (p, a) in a.chunks_exact(V).take(depth).enumerate() {
                    let mut column = [simd.$splat(0.0); U];
                    column.copy_from_slice(&a[..U]);
                    for n in 0..N {
                        let b = simd.$splat(b(p, n));
                        for v in 0..U {
                            tile[n][v] = simd.$mul_add(column[v], b, tile[n][v]);
                        }
                    }
                }
                // Entry by entry: an array that is indexed by variables anywhere cannot live in
                // registers, so the tile itself never is.
                for n in 0..N {
                    for v in 0..U {
                        out[n][v] = tile[n][v];
                    }
                }
            }

            /// Writes a tile to the result, as much of it as there is room for, added to what
            /// `write` says.
            #[inline(always)]
            fn put<S: Simd, const V: usize, const N: usize>(
                simd: S,
                tile: &[[S::$vectors; V]; N],
                task: &mut Task<'_, $float>,
                (i, j): (usize, usize),
                (rows, columns): (usize, usize),
                write: Write<'_, $float>,
            ) {
                let rows = rows.min(V * (size_of::<S::$vectors>() / size_of::<$float>()));
                for (n, tile) in tile.iter().enumerate().take(columns) {
                    let mut column = task.out.column_mut(j + n);
                    let out = &mut column.as_mut_slice()[i..i + rows];
                    let (vectors, rest) = S::$as_mut_simd(out);
                    let entries: &[$float] = pulp::bytemuck::cast_slice(&tile[vectors.len()..]);
                    match write {
                        Write::Over => {
                            vectors.copy_from_slice(&tile[..vectors.len()]);
                            rest.copy_from_slice(&entries[..rest.len()]);
                        }
                        Write::Add => {
                            for (out, &value) in vectors.iter_mut().zip(tile) {
                                *out = simd.$add(*out, value);
                            }
                            for (out, &value) in rest.iter_mut().zip(entries) {
                                *out += value;
                            }
                        }
                        Write::Onto(factor, matrix) => {
                            let column = matrix.column(j + n).data.into_slice();
                            let (from, from_rest) = S::$as_simd(&column[i..i + rows]);
                            let factors = simd.$splat(factor);
                            for ((out, &from), &value) in vectors.iter_mut().zip(from).zip(tile) {
                                *out = simd.$mul_add(factors, from, value);
                            }
                            for ((out, &from), &value) in
                                rest.iter_mut().zip(from_rest).zip(entries)
                            {
                                *out = factor.mul_add(from, value);
                            }
                        }
                    }
                }
            }
        };
    };
}

multiply!(
    MultiplyF32,
    f32,
    f32s,
    splat_f32s,
    mul_add_f32s,
    add_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
multiply!(
    MultiplyF64,
    f64,
    f64s,
    splat_f64s,
    mul_add_f64s,
    add_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);
