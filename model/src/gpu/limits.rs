//! What this crate's kernels are compiled for: the models that they fit, and the tiles that they cut a sequence into.

use crate::weights::clip_config::Activation;

/// Columns of a head in the attention kernel: those of all of CLIP's models.
pub(crate) const HEAD: usize = 64;

/// Returns why a model cannot run on these kernels; `None` if it can.
pub(crate) fn unsupported_reason(width: usize, heads: usize, activation: Activation) -> Option<String> {
    if activation != Activation::QuickGelu {
        return Some(format!("{activation}, and the kernels are for {}", Activation::QuickGelu));
    }
    if width != heads * HEAD {
        return Some(format!("heads of {} columns, and the kernels are for {HEAD}", width / heads));
    }
    if !WIDTHS.contains(&width) {
        return Some(format!("width {width}, and the kernels are for {WIDTHS:?}"));
    }
    None
}

/// Widths that the norm kernels are compiled for: the tests' models, ViT-B and ViT-L.
pub(crate) const WIDTHS: [usize; 4] = [128, 192, 768, 1024];

/// Queries that a warp takes at a time; keys of a tile.
pub(super) const TILE: usize = 16;
/// Elements from row to row in shared memory.
const SHARED_STRIDE: usize = 72;

/// Returns the tiles of keys in a chunk: all keys of a sequence of ViT-B/32, or as many as the registers beside the
/// carried sums can hold.
pub(super) fn chunk_tiles(keys: usize) -> usize {
    if (4 * TILE + 1..=7 * TILE).contains(&keys) { 7 } else { 4 }
}

/// Returns the shared memory of an attention block, in bytes.
pub(crate) fn attention_shared_bytes(keys: usize) -> usize {
    keys.next_multiple_of(chunk_tiles(keys) * TILE) * SHARED_STRIDE * 2 * size_of::<u16>()
}
