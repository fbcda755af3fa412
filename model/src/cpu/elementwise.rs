//! Elementwise arithmetic, written once over arrays of lanes and compiled for each instruction set.

use super::isa::Isa;
use super::packed_layout::PANEL;

pub(super) const LANES: usize = 16;
pub(super) type Lanes = [f32; LANES];

/// Compiles `$body::<FMA>` for AVX-512, for AVX2 with FMA and for any CPU, and calls the version for `isa`.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis fn $name(isa: Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                if isa >= Isa::Avx512 {
                    // SAFETY: an `Isa` of this level exists only where the CPU has these features.
                    return unsafe { avx512($($arg),*) };
                }
                if isa >= Isa::Avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = isa;
            $body::<false>($($arg),*)
        }
    };
}
pub(super) use multiversion;

#[inline(always)]
pub(super) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Computes e^x within 2 ulp; x is clamped to [-87.3, 88.3], so that the result is a normal number.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let shifted = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = madd::<FMA>(n, -LN2_LOW, madd::<FMA>(n, -LN2_HIGH, x));
    // Cephes' polynomial for e^r on [-ln 2 / 2, ln 2 / 2].
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = madd::<FMA>(p, r, c);
    }
    let p = madd::<FMA>(p, r * r, r + 1.0);
    // `shifted` holds n in its low bits: 2^n is n moved into the exponent.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    p * scale
}

/// Computes x / (1 + e^-x). Quick-GELU is this function of a scaled argument, with the scales folded into the weights.
#[inline(always)]
fn silu<const FMA: bool>(x: f32) -> f32 {
    x / (1.0 + exp::<FMA>(-x))
}

/// Computes the error function within 5e-7: Eigen's quotient of polynomials, and 1 where f32 cannot tell the
/// difference.
#[inline(always)]
pub(super) fn erf<const FMA: bool>(x: f32) -> f32 {
    const ONE_FROM: f32 = 3.92;
    let end = f32::copysign(1.0, x);
    let is_one = x.abs() >= ONE_FROM;
    let x = x.clamp(-ONE_FROM, ONE_FROM);
    let square = x * x;
    let mut odd = -2.726_142_3e-10;
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        odd = madd::<FMA>(odd, square, c);
    }
    let mut even = -1.456_607_2e-5;
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        even = madd::<FMA>(even, square, c);
    }
    if is_one { end } else { (x * odd / even).clamp(-1.0, 1.0) }
}

/// Computes the cumulative normal distribution at x.
#[inline(always)]
pub(super) fn normal_cdf<const FMA: bool>(x: f32) -> f32 {
    0.5 + 0.5 * erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2)
}

#[inline(always)]
pub(super) fn gelu<const FMA: bool>(x: f32) -> f32 {
    x * normal_cdf::<FMA>(x)
}

#[inline(always)]
pub(super) fn load_lanes(values: &[f32], offset: usize) -> Lanes {
    values[offset..offset + LANES].try_into().expect("the slice has LANES values")
}

#[inline(always)]
pub(super) fn reduce(lanes: Lanes, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
pub(super) fn lane_sum<const FMA: bool>(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = values.len() / LANES * LANES;
    for offset in (0..whole).step_by(LANES) {
        let v = load_lanes(values, offset);
        for i in 0..LANES {
            lanes[i] += term(v[i]);
        }
    }
    reduce(lanes, |a, b| a + b) + values[whole..].iter().map(|v| term(*v)).sum::<f32>()
}

/// The parameters of a layer norm.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) eps: f32,
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    let d = norm.weight.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mean = lane_sum::<FMA>(x, |v| v) / d as f32;
        let variance = lane_sum::<FMA>(x, |v| (v - mean) * (v - mean)) / d as f32;
        let scale = 1.0 / (variance + norm.eps).sqrt();
        for i in 0..d {
            out[i] = madd::<FMA>((x[i] - mean) * scale, norm.weight[i], norm.bias[i]);
        }
    }
}

multiversion! {
    /// Normalises rows of `norm.weight.len()` values: x (rows, d) -> out (rows, d), with the biased variance, as
    /// PyTorch does.
    pub(crate) fn layer_norm_rows(x: &[f32], norm: Norm<'_>, out: &mut [f32]) = layer_norm_body
}

#[inline(always)]
fn softmax_body<const FMA: bool>(scores: &mut [f32], width: usize, keys: usize) {
    for row in scores.chunks_exact_mut(width) {
        row[keys..].fill(f32::NEG_INFINITY);
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for offset in (0..width).step_by(LANES) {
            let v = load_lanes(row, offset);
            for i in 0..LANES {
                lanes[i] = if v[i] > lanes[i] { v[i] } else { lanes[i] };
            }
        }
        let max = reduce(lanes, f32::max);
        for v in row.iter_mut() {
            *v = exp::<FMA>(*v - max);
        }
        row[keys..].fill(0.0);
        let scale = 1.0 / lane_sum::<FMA>(row, |v| v);
        for v in row.iter_mut() {
            *v *= scale;
        }
    }
}

multiversion! {
    /// Computes softmax in place over the first `keys` of each row of `width` (a multiple of 16); the rest becomes 0.
    pub(crate) fn softmax_rows(scores: &mut [f32], width: usize, keys: usize) = softmax_body
}

/// A finished tile of sums and its destination.
pub(super) struct Tile<'a> {
    /// (rows, PANEL)
    pub(super) sums: &'a [f32],
    /// PANEL values
    pub(super) bias: &'a [f32],
    /// Outputs of the tile that exist: PANEL, or fewer in the last panel.
    pub(super) columns: usize,
    /// Output values from the tile's first one; rows are `stride` apart.
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
}

#[inline(always)]
fn finish(tile: Tile<'_>, value: impl Fn(f32, f32) -> f32) {
    for (r, sums) in tile.sums.chunks_exact(PANEL).enumerate() {
        let out = &mut tile.out[r * tile.stride..][..tile.columns];
        if tile.columns < PANEL {
            for i in 0..tile.columns {
                out[i] = value(sums[i] + tile.bias[i], out[i]);
            }
            continue;
        }
        // Arrays show the compiler that the values read and written do not overlap.
        for offset in (0..PANEL).step_by(LANES) {
            let (sums, bias, before) =
                (load_lanes(sums, offset), load_lanes(tile.bias, offset), load_lanes(out, offset));
            let mut after = [0.0; LANES];
            for i in 0..LANES {
                after[i] = value(sums[i] + bias[i], before[i]);
            }
            out[offset..offset + LANES].copy_from_slice(&after);
        }
    }
}

#[inline(always)]
fn store_body<const FMA: bool>(tile: Tile<'_>) {
    finish(tile, |new, _| new)
}

#[inline(always)]
fn silu_body<const FMA: bool>(tile: Tile<'_>) {
    finish(tile, |new, _| silu::<FMA>(new))
}

#[inline(always)]
fn gelu_body<const FMA: bool>(tile: Tile<'_>) {
    finish(tile, |new, _| gelu::<FMA>(new))
}

#[inline(always)]
fn add_body<const FMA: bool>(tile: Tile<'_>) {
    finish(tile, |new, old| old + new)
}

multiversion! {
    /// Computes out = sums + bias.
    pub(super) fn finish_store(tile: Tile<'_>) = store_body
}
multiversion! {
    /// Computes out = silu(sums + bias).
    pub(super) fn finish_silu(tile: Tile<'_>) = silu_body
}
multiversion! {
    /// Computes out = gelu(sums + bias).
    pub(super) fn finish_gelu(tile: Tile<'_>) = gelu_body
}
multiversion! {
    /// Computes out += sums + bias.
    pub(super) fn finish_add(tile: Tile<'_>) = add_body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_of_f64() {
        for step in -8700..8830 {
            let x = step as f32 * 0.01;
            for got in [exp::<true>(x), exp::<false>(x)] {
                let want = f64::from(x).exp();
                assert!((f64::from(got) / want - 1.0).abs() < 2.4e-7, "exp({x}) = {got}, not {want}");
            }
        }
        assert!(exp::<true>(-1e30) > 0.0 && exp::<true>(-1e30) < 1.3e-38);
    }

    #[test]
    fn erf_and_gelu_equal_those_of_f64() {
        for step in -9000..9000 {
            let x = step as f32 * 1e-3;
            let share = 0.5 + 0.5 * candle_core::cpu::erf::erf_f64(f64::from(x) / 2f64.sqrt());
            for got in [gelu::<true>(x), gelu::<false>(x)] {
                let want = f64::from(x) * share;
                assert!((f64::from(got) - want).abs() < 1e-6, "gelu({x}) = {got}, not {want}");
            }
        }
        assert_eq!((erf::<true>(1e30), erf::<false>(-1e30)), (1.0, -1.0));
        assert_eq!((gelu::<true>(-100.0), gelu::<false>(100.0)), (0.0, 100.0));
        assert!(gelu::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn softmax_ignores_what_lies_past_the_keys() {
        for isa in Isa::available() {
            let mut row: Vec<f32> = (0..32).map(|i| if i < 19 { (i as f32 * 0.7).sin() } else { 1e9 }).collect();
            let exact: Vec<f64> = row[..19].iter().map(|v| f64::from(*v).exp()).collect();
            let sum: f64 = exact.iter().sum();
            softmax_rows(isa, &mut row, 32, 19);
            for (i, got) in row.iter().enumerate() {
                let want = exact.get(i).map_or(0.0, |e| e / sum);
                assert!((f64::from(*got) - want).abs() < 1e-7, "{isa} key {i}: {got} not {want}");
            }
        }
    }

    #[test]
    fn layer_norm_equals_its_definition() {
        let d = 100; // not a multiple of the lanes
        let x: Vec<f32> = (0..3 * d).map(|i| ((i * 37 % 101) as f32).sqrt() - 4.0).collect();
        let (weight, bias) = (vec![1.5; d], vec![-0.25; d]);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; x.len()];
            layer_norm_rows(isa, &x, Norm { weight: &weight, bias: &bias, eps: 1e-5 }, &mut out);
            for (x, out) in x.chunks(d).zip(out.chunks(d)) {
                let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / d as f64;
                let var = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / d as f64;
                for (x, got) in x.iter().zip(out) {
                    let want = (f64::from(*x) - mean) / (var + 1e-5).sqrt() * 1.5 - 0.25;
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{isa}: {got} not {want}");
                }
            }
        }
    }
}
