//! A product on one thread: blocks that stay in the caches, copied in the order of their use.

use std::ops::Range;

use super::gemm::{Task, Write};
use super::micro_kernel::{Block, Panels};
use super::packing::{Copies, SQUARE, copy_strips};
use crate::Real;

/// Bytes along the depth of a block, at most: eight times as much, a tile's share of the broadcast
/// side, then fits the first cache, or nearly. Half as much is level on AMD Zen 3, 3 % slower on a Xeon.
const DEPTH: usize = 4096;
/// Bytes of a block of the vector side beside a broadcast side that is read in place: they stay in
/// the second cache. Level: 250 to 420 kB on AMD Zen 3, 820 kB and 1.4 MB on an Intel Xeon.
const VECTOR: usize = 720 << 10;
/// Extent of such a block, at most.
const ROWS: usize = 288;
/// Bytes of a block of a broadcast side that has to be copied: they stay in the second cache, beside
/// one strip of the vector side. Level: 250 to 420 kB on AMD Zen 3, 1 MB on an Intel Xeon.
const BROADCAST: usize = 512 << 10;

/// The blocks that a depth is cut into. They depend on the depth alone.
pub(crate) fn blocks<T>(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = depth.div_ceil(DEPTH / size_of::<T>());
    // At whole squares, which are what is transposed fast.
    let bound = move |block: usize| (block * depth / blocks).next_multiple_of(SQUARE).min(depth);
    (0..blocks).map(move |block| bound(block)..bound(block + 1))
}

/// Runs a task block by block of the depth.
pub(crate) fn multiply<T: Real>(mut task: Task<'_, T>, copies: &mut Copies<T>) {
    for (block, depth) in blocks::<T>(task.vector.depth()).enumerate() {
        if block > 0 {
            task.write = Write::Add;
        }
        if task.broadcast.along_depth {
            multiply_in_place(&mut task, depth, copies);
        } else {
            multiply_copied(&mut task, depth, copies);
        }
    }
}

/// Some rows of the vector side, copied, with all columns of the broadcast side, where they are.
fn multiply_in_place<T: Real>(task: &mut Task<'_, T>, depth: Range<usize>, copies: &mut Copies<T>) {
    let (width, _) = T::tile();
    let rows_of_block = VECTOR / (depth.len() * size_of::<T>());
    let rows_of_block = rows_of_block.clamp(width, ROWS) / width * width;
    let rows = task.vector.len();
    for row in (0..rows).step_by(rows_of_block) {
        let rows = row..(row + rows_of_block).min(rows);
        let (along, of_depth) = (rows.clone(), depth.clone());
        T::tiles(Block {
            out: task.out.as_view_mut(),
            write: task.write,
            rows,
            columns: 0..task.broadcast.len(),
            depth: depth.clone(),
            strips: copy_strips(&task.vector, width, along, of_depth, &mut copies.vector),
            panels: Panels::InPlace(&task.broadcast),
        });
    }
}

/// Some columns of the broadcast side with all rows of the vector side, strip by strip, both copied.
fn multiply_copied<T: Real>(task: &mut Task<'_, T>, depth: Range<usize>, copies: &mut Copies<T>) {
    let (width, columns_of_tile) = T::tile();
    let (rows, columns) = (task.vector.len(), task.broadcast.len());
    let of_depth = depth.clone();
    let strips = copy_strips(&task.vector, width, 0..rows, of_depth, &mut copies.vector);
    let columns_of_block = (BROADCAST / (depth.len() * size_of::<T>())).max(columns_of_tile);
    let columns_of_block = columns_of_block / columns_of_tile * columns_of_tile;
    for column in (0..columns).step_by(columns_of_block) {
        let columns = column..(column + columns_of_block).min(columns);
        let (along, of_depth) = (columns.clone(), depth.clone());
        let buffer = &mut copies.broadcast;
        let panels = copy_strips(&task.broadcast, columns_of_tile, along, of_depth, buffer);
        for (index, row) in (0..rows).step_by(width).enumerate() {
            T::tiles(Block {
                out: task.out.as_view_mut(),
                write: task.write,
                rows: row..(row + width).min(rows),
                columns: columns.clone(),
                depth: depth.clone(),
                strips: strips.only(index),
                panels: Panels::Copied(panels),
            });
        }
    }
}
