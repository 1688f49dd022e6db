//! A product on one thread: blocks of the depth, copies of both sides in the order of their use,
//! and tiles of the result in registers.

use std::ops::Range;

use nalgebra::DMatrixViewMut;
use pulp::{Simd, WithSimd};

use super::copy::{Copies, SQUARE, copy_strips};
use super::product::{Side, Task, Write};
use crate::Real;

/// Bytes along the depth of a block, at most: a tile's share of the broadcast side, eight times as
/// much, then fits the first cache.
const DEPTH: usize = 3200;
/// Bytes of a block of the vector side, at most: they stay in the second cache.
const VECTOR: usize = 720 << 10;
/// Extent of such a block, at most.
const ROWS: usize = 288;
/// Extent of a block of a broadcast side that has to be copied.
const BROADCAST: usize = 2048;

/// Positions of the depth that a turn of the innermost loop takes: the more, the less a turn costs.
const TURN: usize = 4;

/// Vectors and columns of a tile on a machine with so many registers: it takes a register for each
/// of their pairs, and a few must remain for the two sides.
const fn vectors_and_columns(registers: usize) -> (usize, usize) {
    if registers >= 32 { (3, 8) } else { (2, 6) }
}

/// Runs a task block by block.
pub(super) fn multiply<T: Real>(mut task: Task<'_, T>, copies: &mut Copies<T>) {
    let (width, together) = T::tile();
    let (vector, broadcast) = (task.vector, task.broadcast);
    let (rows, columns, depth) = (vector.len(), broadcast.len(), vector.depth());
    let broadcast_block = if broadcast.along_depth {
        columns
    } else {
        BROADCAST
    };
    let blocks = depth.div_ceil(DEPTH / size_of::<T>());
    // At whole squares, which are what is transposed fast.
    let bound = |block: usize| (block * depth / blocks).next_multiple_of(SQUARE).min(depth);
    for block in 0..blocks {
        let depth = bound(block)..bound(block + 1);
        let rows_of_block = VECTOR / (depth.len() * size_of::<T>());
        let rows_of_block = rows_of_block.clamp(width, ROWS) / width * width;
        let write = if block == 0 { task.write } else { Write::Add };
        for column in (0..columns).step_by(broadcast_block) {
            let columns = column..(column + broadcast_block).min(columns);
            let panels = if broadcast.along_depth {
                Panels::InPlace(&broadcast)
            } else {
                let (shape, buffer) = ((together, 8), &mut copies.broadcast);
                let copied = copy_strips(&broadcast, shape, columns.clone(), depth.clone(), buffer);
                Panels::Copied(copied)
            };
            for row in (0..rows).step_by(rows_of_block) {
                let rows = row..(row + rows_of_block).min(rows);
                let (shape, buffer) = ((width, 1), &mut copies.vector);
                let strips = copy_strips(&vector, shape, rows.clone(), depth.clone(), buffer);
                T::tiles(Block {
                    out: task.out.as_view_mut(),
                    write,
                    rows,
                    columns: columns.clone(),
                    depth: depth.clone(),
                    strips,
                    panels,
                });
            }
        }
    }
}

/// A block of a product: all tiles of these rows and columns of the result, for this part of the
/// depth.
#[derive(Debug)]
pub(super) struct Block<'a, T: Real> {
    out: DMatrixViewMut<'a, T>,
    write: Write<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: Range<usize>,
    /// The copy of the vector side.
    strips: &'a [T],
    panels: Panels<'a, T>,
}

/// The broadcast side of a block.
#[derive(Debug, Clone, Copy)]
enum Panels<'a, T: Real> {
    Copied(&'a [T]),
    /// Columns that run along the depth are read where they are.
    InPlace(&'a Side<'a, T>),
}

macro_rules! tiles {
    ($tiles:ident, $shape:ident, $float:ident, $vectors:ident, $splat:ident, $mul_add:ident,
     $add:ident, $as_simd:ident, $as_mut_simd:ident) => {
        /// The rows and the columns of a tile on this machine.
        pub(super) struct $shape;

        /// Computes a block on the vectors of this machine.
        ///
        /// It is all that runs between its call and its return, so that the compiler has every
        /// register for the tile and no reason to move anything else into its loop.
        pub(super) struct $tiles<'a>(pub(super) Block<'a, $float>);

        const _: () = {
            impl WithSimd for $shape {
                type Output = (usize, usize);

                #[inline(always)]
                fn with_simd<S: Simd>(self, _: S) -> (usize, usize) {
                    let (vectors, columns) = vectors_and_columns(S::REGISTER_COUNT);
                    (vectors * lanes::<S>(), columns)
                }
            }

            impl WithSimd for $tiles<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    if const { vectors_and_columns(S::REGISTER_COUNT).0 == 3 } {
                        tiles::<S, 3, 8>(simd, self.0);
                    } else {
                        tiles::<S, 2, 6>(simd, self.0);
                    }
                }
            }

            const fn lanes<S: Simd>() -> usize {
                size_of::<S::$vectors>() / size_of::<$float>()
            }

            #[inline(always)]
            fn tiles<S: Simd, const V: usize, const N: usize>(
                simd: S,
                mut block: Block<'_, $float>,
            ) {
                let depth = block.depth.len();
                let mut tile = [[simd.$splat(0.0); V]; N];
                for j in block.columns.clone().step_by(N) {
                    let columns = N.min(block.columns.end - j);
                    match block.panels {
                        Panels::Copied(panels) => {
                            let panel = &panels[(j - block.columns.start) * depth..];
                            let (panel, _) = panel[..N * depth].as_chunks::<N>();
                            let (turns, rest) = panel.as_chunks::<TURN>();
                            let b = (
                                |turn: usize, p: usize, n: usize| turns[turn][p][n],
                                |p: usize, n: usize| rest[p][n],
                            );
                            column_of_tiles(simd, &mut block, (j, columns), b, &mut tile);
                        }
                        Panels::InPlace(side) => {
                            let mut turns: [&[[$float; TURN]]; N] = [&[]; N];
                            let mut rest: [&[$float]; N] = [&[]; N];
                            for n in 0..N {
                                // Beyond the end, an entry that is there stands in.
                                let column = side.column(j + n.min(columns - 1));
                                let column = &column[block.depth.clone()];
                                (turns[n], rest[n]) = column[..depth].as_chunks::<TURN>();
                            }
                            let b = (
                                |turn: usize, p: usize, n: usize| turns[n][turn][p],
                                |p: usize, n: usize| rest[n][p],
                            );
                            column_of_tiles(simd, &mut block, (j, columns), b, &mut tile);
                        }
                    }
                }
            }

            /// The tiles of all strips at the columns from `j` on, each of as many vectors as there
            /// are rows left for.
            #[inline(always)]
            fn column_of_tiles<S: Simd, const V: usize, const N: usize>(
                simd: S,
                block: &mut Block<'_, $float>,
                (j, columns): (usize, usize),
                b: (
                    impl Fn(usize, usize, usize) -> $float + Copy,
                    impl Fn(usize, usize) -> $float + Copy,
                ),
                tile: &mut [[S::$vectors; V]; N],
            ) {
                let (width, depth) = (V * lanes::<S>(), block.depth.len());
                let strips = block.strips.chunks_exact(width * depth);
                for (i, strip) in block.rows.clone().step_by(width).zip(strips) {
                    let left = block.rows.end - i;
                    let (strip, _) = S::$as_simd(strip);
                    let (strip, _) = strip.as_chunks::<V>();
                    let strip = &strip[..depth];
                    match left.div_ceil(lanes::<S>()) {
                        1 => accumulate::<S, 1, V, N>(simd, strip, b, tile),
                        2 => accumulate::<S, 2, V, N>(simd, strip, b, tile),
                        _ => accumulate::<S, V, V, N>(simd, strip, b, tile),
                    }
                    let rows = left.min(width);
                    put(
                        simd,
                        tile,
                        &mut block.out,
                        (i, j),
                        (rows, columns),
                        block.write,
                    );
                }
            }

            /// The first `U` vectors of a tile, from a strip of the vector side and the entries
            /// of the broadcast side: `b(turn, p, n)`, and what is left after whole turns, `rest(p, n)`.
            #[inline(always)]
            fn accumulate<S: Simd, const U: usize, const V: usize, const N: usize>(
                simd: S,
                strip: &[[S::$vectors; V]],
                (b, rest): (
                    impl Fn(usize, usize, usize) -> $float,
                    impl Fn(usize, usize) -> $float,
                ),
                out: &mut [[S::$vectors; V]; N],
            ) {
                let mut tile = [[simd.$splat(0.0); U]; N];
                let (turns, last) = strip.as_chunks::<TURN>();
                for (turn, a) in turns.iter().enumerate() {
                    for p in 0..TURN {
                        for n in 0..N {
                            let b = simd.$splat(b(turn, p, n));
                            for v in 0..U {
                                tile[n][v] = simd.$mul_add(a[p][v], b, tile[n][v]);
                            }
                        }
                    }
                }
                for (p, a) in last.iter().enumerate() {
                    for n in 0..N {
                        let b = simd.$splat(rest(p, n));
                        for v in 0..U {
                            tile[n][v] = simd.$mul_add(a[v], b, tile[n][v]);
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
                out: &mut DMatrixViewMut<'_, $float>,
                (i, j): (usize, usize),
                (rows, columns): (usize, usize),
                write: Write<'_, $float>,
            ) {
                for (n, tile) in tile.iter().enumerate().take(columns) {
                    let mut column = out.column_mut(j + n);
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

tiles!(
    TilesF32,
    ShapeF32,
    f32,
    f32s,
    splat_f32s,
    mul_add_f32s,
    add_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
tiles!(
    TilesF64,
    ShapeF64,
    f64,
    f64s,
    splat_f64s,
    mul_add_f64s,
    add_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);
