//! Attention of one window: scaled queries over the window's own keys and the layer's constant prompt keys.

use super::aligned_buffer::AlignedBuffer;
use super::elementwise::softmax_rows;
use super::gemm::{Epilogue, GemmScratch, OutputRows, Product};
use super::isa::Isa;
use super::pack_activations::Rows;
use super::pack_weights::{Operands, Panels};
use super::packed_layout::PANEL;

/// A layer's prompts, which are the same keys and values for every window.
#[derive(Default)]
pub(crate) struct PromptKeys {
    /// (p, d), without the key bias, which moves all of a query's scores alike.
    pub(crate) keys: Vec<f32>,
    /// (p, d), without the value bias, which is folded into the output's.
    pub(crate) values: Vec<f32>,
}

/// One window's attention: the positions of its queries, keys and values. Queries carry the factor 1 / sqrt(head)
/// already.
pub(super) struct Attention<'a> {
    pub(super) heads: usize,
    /// Width of all heads together.
    pub(super) width: usize,
    /// (queries, width), rows `query_stride` apart.
    pub(super) queries: &'a [f32],
    pub(super) query_stride: usize,
    /// (tokens, width), rows `key_stride` apart.
    pub(super) keys: &'a [f32],
    /// (tokens, width), rows `key_stride` apart.
    pub(super) values: &'a [f32],
    pub(super) key_stride: usize,
    pub(super) tokens: usize,
    pub(super) prompts: &'a PromptKeys,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct AttentionScratch {
    keys: AlignedBuffer,
    values: AlignedBuffer,
    scores: AlignedBuffer,
}

impl Attention<'_> {
    /// Computes out (queries, width), without gaps.
    pub(super) fn run(&self, isa: Isa, out: &mut [f32], scratch: &mut AttentionScratch, gemm: &mut GemmScratch) {
        let head_width = self.width / self.heads;
        let queries = out.len() / self.width;
        let keys = self.tokens + self.prompts.keys.len() / self.width;
        let key_panels = keys.div_ceil(PANEL);
        let value_panels = head_width.div_ceil(PANEL);
        let score_stride = key_panels * PANEL;
        let packed_keys = scratch.keys.slice_mut::<f32>(key_panels * PANEL * head_width);
        let packed_values = scratch.values.slice_mut::<f32>(value_panels * PANEL * keys);
        let scores = scratch.scores.slice_mut::<f32>(queries * score_stride);
        for head in 0..self.heads {
            let offset = head * head_width;
            self.pack_keys(offset..offset + head_width, packed_keys);
            self.pack_values(offset..offset + head_width, keys, packed_values);
            // (queries, head) x (head, keys)
            let product = Product {
                isa,
                operands: Operands::F32,
                panels: Panels::F32(packed_keys),
                n: keys,
                k_padded: head_width,
                bias: None,
            };
            let rows = Rows { values: &self.queries[offset..], stride: self.query_stride, k: head_width };
            let rows = Rows { values: &rows.values[..(queries - 1) * rows.stride + rows.k], ..rows };
            product.run(rows, Epilogue::Store, OutputRows { values: scores, stride: score_stride }, gemm);
            softmax_rows(isa, scores, score_stride, keys);
            // (queries, keys) x (keys, head)
            let product = Product { panels: Panels::F32(packed_values), n: head_width, k_padded: keys, ..product };
            let rows = Rows { values: &scores[..(queries - 1) * score_stride + keys], stride: score_stride, k: keys };
            product.run(rows, Epilogue::Store, OutputRows { values: &mut out[offset..], stride: self.width }, gemm);
        }
    }

    /// Returns the rows of one head: the window's own, then the prompts'.
    fn head_rows<'a>(
        &self,
        own: &'a [f32],
        constant: &'a [f32],
        columns: std::ops::Range<usize>,
    ) -> impl Iterator<Item = &'a [f32]> {
        let (width, stride) = (self.width, self.key_stride);
        let own = (0..self.tokens).map(move |t| &own[t * stride..]);
        own.chain(constant.chunks_exact(width)).map(move |row| &row[columns.clone()])
    }

    /// Packs (keys, head) into panels of (head, PANEL). Columns past the last key keep their old values; softmax drops
    /// them.
    fn pack_keys(&self, columns: std::ops::Range<usize>, packed: &mut [f32]) {
        let head_width = columns.len();
        for (key, row) in self.head_rows(self.keys, &self.prompts.keys, columns).enumerate() {
            let panel = &mut packed[key / PANEL * PANEL * head_width..][..PANEL * head_width];
            for (x, column) in row.iter().zip(panel.chunks_exact_mut(PANEL)) {
                column[key % PANEL] = *x;
            }
        }
    }

    /// Packs (keys, head) into panels of (keys, PANEL).
    fn pack_values(&self, columns: std::ops::Range<usize>, keys: usize, packed: &mut [f32]) {
        for (key, row) in self.head_rows(self.values, &self.prompts.values, columns).enumerate() {
            for (panel, row) in row.chunks(PANEL).enumerate() {
                packed[(panel * keys + key) * PANEL..][..row.len()].copy_from_slice(row);
            }
        }
    }
}
