//! The macro-kernel, over the tiles of a block, and the micro-kernel, which keeps a tile in registers.

use std::ops::Range;

use nalgebra::DMatrixViewMut;
use pulp::{Simd, WithSimd};

use super::gemm::{Side, Write};
use super::packing::MicroPanels;
use crate::Real;

/// Positions of the depth per turn of the innermost loop. 8 is as fast.
const TURN: usize = 4;
/// Columns of a tile for the rest of a result. Narrower tiles save 1 % of a step with 100 or 128 samples,
/// and a tenth of an encoding of ten.
const NARROW: usize = 4;

/// Returns the vectors and columns of a tile for this number of registers.
///
/// Each pair takes a register, and both operands need a few. One vector and 24 columns would be limited
/// by 25 reads per 24 multiply-adds.
const fn vectors_and_columns(registers: usize) -> (usize, usize) {
    if registers >= 32 { (3, 8) } else { (2, 6) }
}

/// A block of a product: these rows and columns of the result, for this part of the depth.
#[derive(Debug)]
pub(super) struct Block<'a, T: Real> {
    pub(super) out: DMatrixViewMut<'a, T>,
    pub(super) write: Write,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) depth: Range<usize>,
    /// Packed.
    pub(super) lhs: MicroPanels<'a, T>,
    pub(super) rhs: Rhs<'a, T>,
}

/// The right-hand side of a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rhs<'a, T: Real> {
    Packed(MicroPanels<'a, T>),
    /// Columns that run along the depth are read in place.
    InPlace(&'a Side<'a, T>),
}

macro_rules! tiles {
    ($tiles:ident, $shape:ident, $float:ident, $vectors:ident, $splat:ident, $mul_add:ident,
     $add:ident, $as_simd:ident, $as_mut_simd:ident) => {
        /// Returns MR and NR on this machine.
        pub(super) struct $shape;

        /// Computes a block on the vectors of this machine.
        ///
        /// Nothing else is inlined here, so that the compiler has every register for the tile and
        /// moves nothing else into its loop.
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
                        macro_kernel::<S, 3, 8>(simd, self.0);
                    } else {
                        macro_kernel::<S, 2, 6>(simd, self.0);
                    }
                }
            }

            const fn lanes<S: Simd>() -> usize {
                size_of::<S::$vectors>() / size_of::<$float>()
            }

            #[inline(always)]
            fn macro_kernel<S: Simd, const V: usize, const N: usize>(
                simd: S,
                mut block: Block<'_, $float>,
            ) {
                for j in block.columns.clone().step_by(N) {
                    match block.columns.end - j {
                        1 => tiles_at::<S, V, 1, N, 4>(simd, &mut block, j),
                        2 => tiles_at::<S, V, 2, N, 2>(simd, &mut block, j),
                        ..=NARROW => tiles_at::<S, V, NARROW, N, 1>(simd, &mut block, j),
                        _ => tiles_at::<S, V, N, N, 1>(simd, &mut block, j),
                    }
                }
            }

            /// Computes the tiles at up to `C` columns of the result from column `j` on, `G` tiles at a
            /// time. A packed right-hand side holds `N` columns side by side.
            #[inline(always)]
            fn tiles_at<S: Simd, const V: usize, const C: usize, const N: usize, const G: usize>(
                simd: S,
                block: &mut Block<'_, $float>,
                j: usize,
            ) {
                let depth = block.depth.len();
                let columns = C.min(block.columns.end - j);
                match block.rhs {
                    Rhs::Packed(panels) => {
                        let panel = panels.get((j - block.columns.start) / N);
                        let (panel, _) = panel.as_chunks::<N>();
                        let (turns, _) = panel.as_chunks::<TURN>();
                        let b = (
                            |turn: usize, p: usize, n: usize| turns[turn][p][n],
                            |p: usize, n: usize| panel[p][n],
                        );
                        column_of_tiles::<S, V, C, G>(simd, block, (j, columns), b);
                    }
                    Rhs::InPlace(side) => {
                        let mut turns: [&[[$float; TURN]]; C] = [&[]; C];
                        let mut all: [&[$float]; C] = [&[]; C];
                        for n in 0..C {
                            // Beyond the end, the last column stands in.
                            let column = side.column(j + n.min(columns - 1));
                            all[n] = &column[block.depth.clone()][..depth];
                            turns[n] = all[n].as_chunks::<TURN>().0;
                        }
                        let b = (
                            |turn: usize, p: usize, n: usize| turns[n][turn][p],
                            |p: usize, n: usize| all[n][p],
                        );
                        column_of_tiles::<S, V, C, G>(simd, block, (j, columns), b);
                    }
                }
            }

            /// Computes the tiles of all panels at the columns from `j` on. The last ones have only the
            /// vectors that the rows need.
            #[inline(always)]
            fn column_of_tiles<S: Simd, const V: usize, const N: usize, const G: usize>(
                simd: S,
                block: &mut Block<'_, $float>,
                (j, columns): (usize, usize),
                b: (
                    impl Fn(usize, usize, usize) -> $float + Copy,
                    impl Fn(usize, usize) -> $float + Copy,
                ),
            ) {
                let (rows, width) = (block.rows.clone(), V * lanes::<S>());
                // Empty beyond the last column.
                let mut out: [&mut [$float]; N] = std::array::from_fn(|_| &mut [][..]);
                let write = block.write;
                let mut view = block.out.columns_range_mut(j..j + columns);
                for (n, column) in view.column_iter_mut().enumerate() {
                    out[n] = &mut column.data.into_slice_mut()[rows.clone()];
                }
                let mut together = 0;
                if G > 1 {
                    together = rows.len() / width / G * G;
                    for index in (0..together).step_by(G) {
                        let panels = std::array::from_fn(|g| {
                            S::$as_simd(block.lhs.get(index + g)).0.as_chunks::<V>().0
                        });
                        let tiles = micro_kernels::<S, V, N, G>(simd, panels, b.1);
                        for g in 0..G {
                            store(simd, tiles[g], (index + g) * width, &mut out, write);
                        }
                    }
                }
                for (index, i) in (0..rows.len()).step_by(width).enumerate().skip(together) {
                    let (panel, _) = S::$as_simd(block.lhs.get(index));
                    let (panel, _) = panel.as_chunks::<V>();
                    match (rows.len() - i).div_ceil(lanes::<S>()) {
                        1 => {
                            let tile = micro_kernel::<S, 1, V, N>(simd, panel, b);
                            store(simd, tile, i, &mut out, write);
                        }
                        2 => {
                            let tile = micro_kernel::<S, 2, V, N>(simd, panel, b);
                            store(simd, tile, i, &mut out, write);
                        }
                        _ => {
                            let tile = micro_kernel::<S, V, V, N>(simd, panel, b);
                            store(simd, tile, i, &mut out, write);
                        }
                    }
                }
            }

            /// The micro-kernel: returns the first `U` vectors of a tile, from a micro-panel of the
            /// left-hand side and the entries of the right-hand side, `b(turn, p, n)` or `any(p, n)`.
            #[inline(always)]
            fn micro_kernel<S: Simd, const U: usize, const V: usize, const N: usize>(
                simd: S,
                panel: &[[S::$vectors; V]],
                (b, any): (
                    impl Fn(usize, usize, usize) -> $float,
                    impl Fn(usize, usize) -> $float,
                ),
            ) -> [[S::$vectors; U]; N] {
                let mut tile = [[simd.$splat(0.0); U]; N];
                let (turns, last) = panel.as_chunks::<TURN>();
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
                for (p, a) in (TURN * turns.len()..).zip(last) {
                    for n in 0..N {
                        let b = simd.$splat(any(p, n));
                        for v in 0..U {
                            tile[n][v] = simd.$mul_add(a[v], b, tile[n][v]);
                        }
                    }
                }
                tile
            }

            /// Returns `G` whole tiles. One narrow tile would wait for its own sums.
            #[inline(always)]
            fn micro_kernels<S: Simd, const V: usize, const N: usize, const G: usize>(
                simd: S,
                panels: [&[[S::$vectors; V]]; G],
                b: impl Fn(usize, usize) -> $float,
            ) -> [[[S::$vectors; V]; N]; G] {
                let mut tiles = [[[simd.$splat(0.0); V]; N]; G];
                let depth = panels[0].len();
                let panels = panels.map(|panel| &panel[..depth]);
                for p in 0..depth {
                    for n in 0..N {
                        let b = simd.$splat(b(p, n));
                        for g in 0..G {
                            for v in 0..V {
                                tiles[g][n][v] = simd.$mul_add(panels[g][p][v], b, tiles[g][n][v]);
                            }
                        }
                    }
                }
                tiles
            }

            /// Writes a tile to columns of the result, from row `i` on.
            #[inline(always)]
            fn store<S: Simd, const U: usize, const N: usize>(
                simd: S,
                tile: [[S::$vectors; U]; N],
                i: usize,
                out: &mut [&mut [$float]; N],
                write: Write,
            ) {
                let rows = i..i + U * lanes::<S>();
                if out[0].len() < rows.end {
                    // Copied, because an array whose address is taken does not stay in registers.
                    let mut copy = [[simd.$splat(0.0); U]; N];
                    for n in 0..N {
                        for v in 0..U {
                            copy[n][v] = tile[n][v];
                        }
                    }
                    return store_part::<S, U, N>(&copy, i, out, write);
                }
                match write {
                    Write::Over => {
                        for n in 0..N {
                            if let Some(out) = out[n].get_mut(rows.clone()) {
                                let (out, _) = S::$as_mut_simd(out);
                                for v in 0..U {
                                    out[v] = tile[n][v];
                                }
                            }
                        }
                    }
                    Write::Add => {
                        for n in 0..N {
                            if let Some(out) = out[n].get_mut(rows.clone()) {
                                let (out, _) = S::$as_mut_simd(out);
                                for v in 0..U {
                                    out[v] = simd.$add(out[v], tile[n][v]);
                                }
                            }
                        }
                    }
                }
            }

            /// [`store`] where the rows end within the tile.
            fn store_part<S: Simd, const U: usize, const N: usize>(
                tile: &[[S::$vectors; U]; N],
                i: usize,
                out: &mut [&mut [$float]; N],
                write: Write,
            ) {
                for (out, tile) in out.iter_mut().zip(tile) {
                    let tile: &[$float] = pulp::bytemuck::cast_slice(tile);
                    let out = out.iter_mut().skip(i).zip(tile);
                    match write {
                        Write::Over => out.for_each(|(out, &value)| *out = value),
                        Write::Add => out.for_each(|(out, &value)| *out += value),
                    }
                }
            }
        };
    };
}

tiles!(
    MacroKernelF32,
    TileF32,
    f32,
    f32s,
    splat_f32s,
    mul_add_f32s,
    add_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
tiles!(
    MacroKernelF64,
    TileF64,
    f64,
    f64s,
    splat_f64s,
    mul_add_f64s,
    add_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);
