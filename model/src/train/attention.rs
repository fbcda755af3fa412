//! Attention of a group of windows, forward and backward. The probabilities are kept, everything else is computed
//! again.

use crate::cpu::strided_gemm::{Target, View, product};
use crate::cpu::{Isa, elementwise_backward::softmax_backward, softmax_rows};

/// The layout of a group of windows in a layer: the rows of a window follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowGroup {
    pub(super) windows: usize,
    /// Rows of a window, all of which are keys.
    pub(super) tokens: usize,
    /// Rows of a window, from the first, whose outputs are needed.
    pub(super) queries: usize,
}

/// The constants of a layer's attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct MultiHeadAttention {
    pub(super) count: usize,
    /// Width of all heads together.
    pub(super) width: usize,
    /// Whether a row sees only itself and those before it.
    pub(super) is_causal: bool,
}

/// One head of one window: its columns in rows of (tokens, 3 d).
struct Head {
    column: usize,
    width: usize,
    stride: usize,
    rows: usize,
}

impl Head {
    /// Returns the view of queries (0), keys (1) or values (2).
    fn part<'a>(&self, projected: &'a [f32], part: usize, rows: usize) -> View<'a> {
        View::rows(&projected[part * self.stride / 3 + self.column..], rows, self.width, self.stride)
    }

    fn part_mut<'a>(&self, projected: &'a mut [f32], part: usize) -> Target<'a> {
        Target::accumulate(&mut projected[part * self.stride / 3 + self.column..], self.stride)
    }
}

impl MultiHeadAttention {
    /// Returns the number of keys of a row, its own window's and the prompts', and the same padded for the vector
    /// loops.
    fn keys(&self, group: WindowGroup, prompts: &[f32]) -> (usize, usize) {
        let keys = group.tokens + prompts.len() / (3 * self.width);
        (keys, keys.next_multiple_of(16))
    }

    /// Returns the length of a group's probabilities.
    pub(super) fn probabilities(&self, group: WindowGroup, prompts: &[f32]) -> usize {
        group.windows * self.count * group.queries * self.keys(group, prompts).1
    }

    fn each(&self, group: WindowGroup) -> impl Iterator<Item = (usize, usize, Head)> {
        let (width, stride, rows) = (self.width / self.count, 3 * self.width, group.tokens);
        let count = self.count;
        (0..group.windows)
            .flat_map(move |w| (0..count).map(move |h| (w, h, Head { column: h * width, width, stride, rows })))
    }

    fn scale(&self) -> f32 {
        ((self.width / self.count) as f32).powf(-0.5)
    }

    /// Computes projected (windows tokens, 3 d) and the prompts' (p, 3 d), which are only keys and values -> `out`
    /// (windows queries, d) and the probabilities.
    pub(super) fn forward(
        &self,
        group: WindowGroup,
        projected: &[f32],
        prompts: &[f32],
        probabilities: &mut [f32],
        out: &mut [f32],
    ) {
        let (keys, width) = self.keys(group, prompts);
        let (tokens, queries) = (group.tokens, group.queries);
        let probabilities = probabilities.chunks_exact_mut(queries * width);
        for ((w, _, head), probabilities) in self.each(group).zip(probabilities) {
            let own = &projected[w * tokens * head.stride..];
            let q = head.part(own, 0, queries);
            product(q, head.part(own, 1, head.rows).t(), self.scale(), Target::overwrite(probabilities, width));
            if keys > tokens {
                let k = head.part(prompts, 1, keys - tokens);
                product(q, k.t(), self.scale(), Target::overwrite(&mut probabilities[tokens..], width));
            }
            if self.is_causal {
                for (row, scores) in probabilities.chunks_exact_mut(width).enumerate() {
                    scores[row + 1..].fill(f32::NEG_INFINITY);
                }
            }
            softmax_rows(Isa::current(), probabilities, width, keys);
            let out = &mut out[w * queries * self.width + head.column..];
            let p = |from: usize, keys| View::rows(&probabilities[from..], queries, keys, width);
            product(p(0, tokens), head.part(own, 2, tokens), 1.0, Target::overwrite(out, self.width));
            if keys > tokens {
                product(
                    p(tokens, keys - tokens),
                    head.part(prompts, 2, keys - tokens),
                    1.0,
                    Target::accumulate(out, self.width),
                );
            }
        }
    }

    /// Adds to `gradients` the gradients at the inputs of [`MultiHeadAttention::forward`], given that at its output.
    pub(super) fn backward(
        &self,
        group: WindowGroup,
        forward: Forward<'_>,
        gradient: &[f32],
        gradients: AttentionGradients<'_>,
        scratch: &mut Vec<f32>,
    ) {
        let Forward { projected, prompts, probabilities } = forward;
        let (keys, width) = self.keys(group, prompts);
        let (tokens, queries) = (group.tokens, group.queries);
        scratch.resize(queries * width, 0.0);
        let score_gradients = &mut scratch[..];
        for ((w, _, head), probabilities) in self.each(group).zip(probabilities.chunks_exact(queries * width)) {
            let own = &projected[w * tokens * head.stride..];
            let own_gradients = &mut gradients.projected[w * tokens * head.stride..][..tokens * head.stride];
            let g = View::rows(&gradient[w * queries * self.width + head.column..], queries, head.width, self.width);
            score_gradients.fill(0.0);
            product(g, head.part(own, 2, tokens).t(), 1.0, Target::overwrite(score_gradients, width));
            let p = |from: usize, keys| View::rows(&probabilities[from..], queries, keys, width);
            product(p(0, tokens).t(), g, 1.0, head.part_mut(own_gradients, 2));
            if keys > tokens {
                let values = head.part(prompts, 2, keys - tokens);
                product(g, values.t(), 1.0, Target::overwrite(&mut score_gradients[tokens..], width));
                product(p(tokens, keys - tokens).t(), g, 1.0, head.part_mut(gradients.prompts, 2));
            }
            softmax_backward(Isa::current(), probabilities, width, score_gradients);
            let s = |from: usize, keys| View::rows(&score_gradients[from..], queries, keys, width);
            let q = head.part(own, 0, queries);
            product(s(0, tokens), head.part(own, 1, tokens), self.scale(), head.part_mut(own_gradients, 0));
            product(s(0, tokens).t(), q, self.scale(), head.part_mut(own_gradients, 1));
            if keys > tokens {
                let k = head.part(prompts, 1, keys - tokens);
                product(s(tokens, keys - tokens), k, self.scale(), head.part_mut(own_gradients, 0));
                product(s(tokens, keys - tokens).t(), q, self.scale(), head.part_mut(gradients.prompts, 1));
            }
        }
    }
}

/// The inputs of a forward pass, and the probabilities that it kept.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) projected: &'a [f32],
    pub(super) prompts: &'a [f32],
    pub(super) probabilities: &'a [f32],
}

/// Gradients at the inputs of a forward pass, of the same shapes.
pub(super) struct AttentionGradients<'a> {
    pub(super) projected: &'a mut [f32],
    pub(super) prompts: &'a mut [f32],
}
