//! The backward passes of the elementwise arithmetic, compiled for each instruction set like [`super::elementwise`].

use super::elementwise::{
    LANES, Norm, exp, gelu as gelu_of, lane_sum, load_lanes, madd, multiversion, normal_cdf, reduce,
};
use super::isa::Isa;

/// Quick-GELU's factor.
const QUICK_GELU: f32 = 1.702;

#[inline(always)]
fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Computes out = f(x, out) for each number.
#[inline(always)]
fn each(x: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    let (x_whole, x_rest) = x.as_chunks::<LANES>();
    let (out_whole, out_rest) = out.as_chunks_mut::<LANES>();
    for (x, out) in x_whole.iter().zip(out_whole) {
        for i in 0..LANES {
            out[i] = f(x[i], out[i]);
        }
    }
    for (x, out) in x_rest.iter().zip(out_rest) {
        *out = f(*x, *out);
    }
}

#[inline(always)]
fn quick_gelu_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    each(x, out, |x, _| x * sigmoid::<FMA>(QUICK_GELU * x));
}

multiversion! {
    /// Computes out = x sigmoid(1.702 x).
    pub(crate) fn quick_gelu(x: &[f32], out: &mut [f32]) = quick_gelu_body
}

/// Returns the derivative of quick-GELU: s + 1.702 x s (1 - s).
#[inline(always)]
fn quick_gelu_slope<const FMA: bool>(x: f32) -> f32 {
    let s = sigmoid::<FMA>(QUICK_GELU * x);
    madd::<FMA>(QUICK_GELU * x * s, 1.0 - s, s)
}

#[inline(always)]
fn quick_gelu_backward_body<const FMA: bool>(x: &[f32], gradient: &mut [f32]) {
    each(x, gradient, |x, gradient| gradient * quick_gelu_slope::<FMA>(x));
}

multiversion! {
    /// Turns the gradient at the output into that at the input, `x`.
    pub(crate) fn quick_gelu_backward(x: &[f32], gradient: &mut [f32]) = quick_gelu_backward_body
}

#[inline(always)]
fn gelu_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    each(x, out, |x, _| gelu_of::<FMA>(x));
}

multiversion! {
    /// Computes out = x times the cumulative normal distribution at x.
    pub(crate) fn gelu(x: &[f32], out: &mut [f32]) = gelu_body
}

/// Returns the derivative of GELU: the cumulative distribution at x, plus x times the density.
#[inline(always)]
fn gelu_slope<const FMA: bool>(x: f32) -> f32 {
    /// 1 / sqrt(2 pi)
    const DENSITY: f32 = 0.398_942_3;
    madd::<FMA>(x * DENSITY, exp::<FMA>(-0.5 * x * x), normal_cdf::<FMA>(x))
}

#[inline(always)]
fn gelu_backward_body<const FMA: bool>(x: &[f32], gradient: &mut [f32]) {
    each(x, gradient, |x, gradient| gradient * gelu_slope::<FMA>(x));
}

multiversion! {
    /// Turns the gradient at the output into that at the input, `x`.
    pub(crate) fn gelu_backward(x: &[f32], gradient: &mut [f32]) = gelu_backward_body
}

/// Returns mean and 1 / deviation of a row.
#[inline(always)]
fn moments<const FMA: bool>(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = lane_sum::<FMA>(x, |v| v) / n;
    let variance = lane_sum::<FMA>(x, |v| (v - mean) * (v - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Sums term(i) over a row.
#[inline(always)]
fn indexed_sum(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = len / LANES * LANES;
    for offset in (0..whole).step_by(LANES) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += term(offset + i);
        }
    }
    reduce(lanes, |a, b| a + b) + (whole..len).map(term).sum::<f32>()
}

#[inline(always)]
fn layer_norm_backward_body<const FMA: bool>(x: &[f32], norm: Norm<'_>, gradient: &[f32], out: &mut [f32]) {
    let d = norm.weight.len();
    let weight = norm.weight;
    let rows = x.chunks_exact(d).zip(gradient.chunks_exact(d)).zip(out.chunks_exact_mut(d));
    for ((x, g), out) in rows {
        let (g, out) = (&g[..d], &mut out[..d]);
        let (mean, scale) = moments::<FMA>(x, norm.eps);
        let g_mean = indexed_sum(d, |i| g[i] * weight[i]) / d as f32;
        let gx_mean = indexed_sum(d, |i| g[i] * weight[i] * (x[i] - mean)) * scale / d as f32;
        for i in 0..d {
            let normed = (x[i] - mean) * scale;
            out[i] += scale * (g[i] * weight[i] - g_mean - normed * gx_mean);
        }
    }
}

multiversion! {
    /// Adds to `out` the gradient at a layer norm's input x (rows, d), given that at its output.
    pub(crate) fn layer_norm_backward(x: &[f32], norm: Norm<'_>, gradient: &[f32], out: &mut [f32]) = layer_norm_backward_body
}

/// Gradients of a layer norm's parameters (d).
pub(crate) struct NormGradients<'a> {
    pub(crate) weight: &'a mut [f32],
    pub(crate) bias: &'a mut [f32],
}

#[inline(always)]
fn layer_norm_gradients_body<const FMA: bool>(x: &[f32], norm: Norm<'_>, gradient: &[f32], sums: NormGradients<'_>) {
    let d = norm.weight.len();
    let (weight, bias) = (&mut sums.weight[..d], &mut sums.bias[..d]);
    for (x, g) in x.chunks_exact(d).zip(gradient.chunks_exact(d)) {
        let (mean, scale) = moments::<FMA>(x, norm.eps);
        for i in 0..d {
            weight[i] += g[i] * (x[i] - mean) * scale;
            bias[i] += g[i];
        }
    }
}

multiversion! {
    /// Adds to `sums` the gradients of the norm's parameters.
    pub(crate) fn layer_norm_gradients(x: &[f32], norm: Norm<'_>, gradient: &[f32], sums: NormGradients<'_>) = layer_norm_gradients_body
}

#[inline(always)]
fn softmax_backward_body<const FMA: bool>(probabilities: &[f32], width: usize, gradient: &mut [f32]) {
    for (p, g) in probabilities.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
        let mut lanes = [0.0; LANES];
        for offset in (0..width).step_by(LANES) {
            let (p, g) = (load_lanes(p, offset), load_lanes(g, offset));
            for i in 0..LANES {
                lanes[i] = madd::<FMA>(p[i], g[i], lanes[i]);
            }
        }
        let mean = reduce(lanes, |a, b| a + b);
        for (p, g) in p.iter().zip(g) {
            *g = p * (*g - mean);
        }
    }
}

multiversion! {
    /// Turns the gradient at softmax's output (`probabilities`) into that at its input, for rows of `width`, a multiple
    /// of 16.
    pub(crate) fn softmax_backward(probabilities: &[f32], width: usize, gradient: &mut [f32]) = softmax_backward_body
}

#[inline(always)]
fn column_sums_body<const FMA: bool>(x: &[f32], stride: usize, sums: &mut [f32]) {
    for row in x.chunks(stride) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

multiversion! {
    /// Adds the first columns of rows `stride` apart to `sums`, which is a bias's gradient.
    pub(crate) fn column_sums(x: &[f32], stride: usize, sums: &mut [f32]) = column_sums_body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::elementwise::layer_norm_rows;
    use super::*;

    fn values(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Estimates d (weights . f(x)) / d x[at] by differences.
    fn slope(x: &[f32], weights: &[f32], offset: usize, f: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
        let step = 1e-2;
        let sum = |by: f32| {
            let mut x = x.to_vec();
            x[offset] += by;
            f(&x).iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum::<f64>()
        };
        (sum(step) - sum(-step)) / (2.0 * f64::from(step))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn backward_passes_are_slopes(seed: u64, d in 17usize..70) {
            let (x, g) = (values(seed, d), values(!seed, d));
            let (weight, bias) = (values(seed ^ 1, d), values(seed ^ 2, d));
            let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5 };
            for isa in Isa::available() {
                let mut norm_out = vec![0.0; d];
                layer_norm_backward(isa, &x, norm, &g, &mut norm_out);
                let (mut quick_out, mut gelu_out) = (g.clone(), g.clone());
                quick_gelu_backward(isa, &x, &mut quick_out);
                gelu_backward(isa, &x, &mut gelu_out);
                for offset in [0, d / 2, d - 1] {
                    let want = slope(&x, &g, offset, |x| {
                        let mut out = vec![0.0; d];
                        layer_norm_rows(isa, x, norm, &mut out);
                        out
                    });
                    prop_assert!((f64::from(norm_out[offset]) - want).abs() < 5e-3, "{isa} norm {} {want}", norm_out[offset]);
                    let want = slope(&x, &g, offset, |x| {
                        let mut out = vec![0.0; d];
                        quick_gelu(isa, x, &mut out);
                        out
                    });
                    prop_assert!((f64::from(quick_out[offset]) - want).abs() < 1e-3, "{isa} quick {} {want}", quick_out[offset]);
                    let want = slope(&x, &g, offset, |x| {
                        let mut out = vec![0.0; d];
                        gelu(isa, x, &mut out);
                        out
                    });
                    prop_assert!((f64::from(gelu_out[offset]) - want).abs() < 1e-3, "{isa} gelu {} {want}", gelu_out[offset]);
                }
            }
        }

        #[test]
        fn softmax_backward_is_a_slope(seed: u64) {
            let (width, keys) = (32, 27);
            let (x, g) = (values(seed, width), values(!seed, width));
            for isa in Isa::available() {
                let softmax = |x: &[f32]| {
                    let mut out = x.to_vec();
                    super::super::elementwise::softmax_rows(isa, &mut out, width, keys);
                    out
                };
                let mut out = g.clone();
                softmax_backward(isa, &softmax(&x), width, &mut out);
                for offset in [0, 5, keys - 1] {
                    let want = slope(&x, &g, offset, softmax);
                    prop_assert!((f64::from(out[offset]) - want).abs() < 1e-4, "{isa} {} {want}", out[offset]);
                }
                prop_assert!(out[keys..].iter().all(|g| *g == 0.0));
            }
        }
    }
}
