//! The loops around the macro-kernel on one thread: blocks of KC, MC, and NC that stay in the caches.

use std::ops::Range;

use super::gemm::{Task, Write};
use super::micro_kernel::{Block, Rhs};
use super::packing::{PackBuffers, SQUARE, pack, packed_len};
use crate::Real;

/// The maximum of KC, in bytes. A micro-panel of the right-hand side, eight times as large, then nearly
/// fits the first cache. Half as much is as fast on AMD Zen 3 and 3 % slower on a Xeon.
const KC_BYTES: usize = 4096;
/// Bytes of a packed block of the left-hand side, MC × KC, if the right-hand side is read in place. It
/// stays in the second cache. Equally fast: 250 to 420 kB on AMD Zen 3, 820 kB and 1.4 MB on an Intel Xeon.
const MC_BYTES: usize = 720 << 10;
/// The maximum of MC.
const MC: usize = 288;
/// Bytes of a packed block of the right-hand side, KC × NC. It stays in the second cache, beside one
/// micro-panel of the left-hand side. Equally fast: 250 to 420 kB on AMD Zen 3, 1 MB on an Intel Xeon.
const NC_BYTES: usize = 512 << 10;

/// Returns the KC blocks of a depth. They depend on the depth alone.
pub(super) fn kc_blocks<T>(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = depth.div_ceil(KC_BYTES / size_of::<T>());
    // Cut at whole squares, which are transposed fast.
    let bound = move |block: usize| (block * depth / blocks).next_multiple_of(SQUARE).min(depth);
    (0..blocks).map(move |block| bound(block)..bound(block + 1))
}

/// Runs a task, one KC block after another.
pub(super) fn multiply<T: Real>(mut task: Task<'_, T>, buffers: &mut PackBuffers<T>) {
    for (block, depth) in kc_blocks::<T>(task.lhs.depth()).enumerate() {
        if block > 0 {
            task.write = Write::Add;
        }
        if task.rhs.along_depth {
            with_rhs_in_place(&mut task, depth, buffers);
        } else {
            with_rhs_packed(&mut task, depth, buffers);
        }
    }
}

/// Multiplies packed blocks of MC rows with all columns of the right-hand side, read in place.
fn with_rhs_in_place<T: Real>(
    task: &mut Task<'_, T>,
    depth: Range<usize>,
    buffers: &mut PackBuffers<T>,
) {
    let (width, _) = T::tile();
    let rows_of_block = MC_BYTES / (depth.len() * size_of::<T>());
    let rows_of_block = rows_of_block.clamp(width, MC) / width * width;
    let rows = task.lhs.len();
    for row in (0..rows).step_by(rows_of_block) {
        let rows = row..(row + rows_of_block).min(rows);
        let (along, of_depth) = (rows.clone(), depth.clone());
        T::macro_kernel(Block {
            out: task.out.as_view_mut(),
            write: task.write,
            rows,
            columns: 0..task.rhs.len(),
            depth: depth.clone(),
            lhs: pack(&task.lhs, width, along, of_depth, &mut buffers.lhs),
            rhs: Rhs::InPlace(&task.rhs),
        });
    }
}

/// Multiplies all packed rows, one micro-panel at a time, with packed blocks of NC columns.
fn with_rhs_packed<T: Real>(
    task: &mut Task<'_, T>,
    depth: Range<usize>,
    buffers: &mut PackBuffers<T>,
) {
    let (width, columns_of_tile) = T::tile();
    let (rows, columns) = (task.lhs.len(), task.rhs.len());
    let of_depth = depth.clone();
    let lhs = pack(&task.lhs, width, 0..rows, of_depth, &mut buffers.lhs);
    let columns_of_block = (NC_BYTES / (depth.len() * size_of::<T>())).max(columns_of_tile);
    let columns_of_block = columns_of_block / columns_of_tile * columns_of_tile;
    for column in (0..columns).step_by(columns_of_block) {
        let columns = column..(column + columns_of_block).min(columns);
        let (along, of_depth) = (columns.clone(), depth.clone());
        let buffer = &mut buffers.rhs;
        let rhs = pack(&task.rhs, columns_of_tile, along, of_depth, buffer);
        for (index, row) in (0..rows).step_by(width).enumerate() {
            T::macro_kernel(Block {
                out: task.out.as_view_mut(),
                write: task.write,
                rows: row..(row + width).min(rows),
                columns: columns.clone(),
                depth: depth.clone(),
                lhs: lhs.only(index),
                rhs: Rhs::Packed(rhs),
            });
        }
    }
}

/// Returns the bytes of the packed blocks of both sides that each of some threads holds for a product of this
/// many rows, columns, and depth. `in_place` says whether the right-hand side is read in place.
pub(crate) fn packed_room<T: Real>(
    (mut rows, mut columns, depth): (usize, usize, usize),
    in_place: bool,
    mut threads: usize,
) -> (usize, usize) {
    while threads > 1 {
        let longer = if rows >= columns {
            &mut rows
        } else {
            &mut columns
        };
        *longer = longer.div_ceil(2);
        threads = threads.div_ceil(2);
    }
    let (tile, columns_of_tile) = T::tile();
    let longest = kc_blocks::<T>(depth).map(|block| block.len()).max();
    let depth = longest.unwrap_or(0);
    let room = |along, width| packed_len::<T>(along, width, depth) * size_of::<T>();
    if in_place {
        let block = (MC_BYTES / (depth * size_of::<T>()).max(1)).clamp(tile, MC);
        return (room(rows.min(block), tile), 0);
    }
    let block = (NC_BYTES / (depth * size_of::<T>()).max(1)).max(columns_of_tile);
    (room(rows, tile), room(columns.min(block), columns_of_tile))
}
