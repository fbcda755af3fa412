//! The energy of one orientation in a strip of columns, from the responses of all scales.

use pulp::{Simd, WithSimd};

use super::frequencies::SCALES;
use crate::fourier::{LANES, Lanes, RowsView};

/// Added to the length of the mean response.
const EPSILON: f64 = 1e-4;

/// What the responses of a strip make.
pub(super) struct StripEnergy<'a> {
    /// Even responses are real, odd ones imaginary.
    pub(super) responses: [RowsView<'a>; SCALES],
    /// Receives the energy with its noise.
    pub(super) congruent: &'a mut [Lanes],
    /// The sum of amplitudes is added to it.
    pub(super) amplitude: &'a mut [Lanes],
    /// Receives the squared amplitude of the finest scale.
    pub(super) squares: &'a mut [Lanes],
}

impl WithSimd for StripEnergy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.congruent.iter_mut().zip(self.amplitude).zip(self.squares).enumerate();
        for (y, ((congruent, amplitude), squares)) in rows {
            let congruent = S::as_mut_simd_f64s(&mut congruent.0).0;
            let amplitude = S::as_mut_simd_f64s(&mut amplitude.0).0;
            let squares = S::as_mut_simd_f64s(&mut squares.0).0;
            for vector in 0..LANES / S::F64_LANES {
                let mut even = [simd.splat_f64s(0.0); SCALES];
                let mut odd = even;
                for (scale, response) in self.responses.iter().enumerate() {
                    even[scale] = S::as_simd_f64s(&response.re[y].0).0[vector];
                    odd[scale] = S::as_simd_f64s(&response.im[y].0).0[vector];
                }
                let (amplitudes, finest) = sum_amplitudes(simd, &even, &odd);
                congruent[vector] = congruence(simd, &even, &odd);
                amplitude[vector] = simd.add_f64s(amplitude[vector], amplitudes);
                squares[vector] = finest;
            }
        }
    }
}

/// Returns the sum of amplitudes, and the square of the finest one.
#[inline(always)]
fn sum_amplitudes<S: Simd>(simd: S, even: &[S::f64s; SCALES], odd: &[S::f64s; SCALES]) -> (S::f64s, S::f64s) {
    let finest = square_of_length(simd, even[0], odd[0]);
    let mut sum = simd.sqrt_f64s(finest);
    for scale in 1..SCALES {
        sum = simd.add_f64s(sum, simd.sqrt_f64s(square_of_length(simd, even[scale], odd[scale])));
    }
    (sum, finest)
}

/// Returns the sum over the scales of what lies along the mean response, less what lies across it.
#[inline(always)]
fn congruence<S: Simd>(simd: S, even: &[S::f64s; SCALES], odd: &[S::f64s; SCALES]) -> S::f64s {
    let (mut even_sum, mut odd_sum) = (even[0], odd[0]);
    for scale in 1..SCALES {
        even_sum = simd.add_f64s(even_sum, even[scale]);
        odd_sum = simd.add_f64s(odd_sum, odd[scale]);
    }
    let length = simd.sqrt_f64s(square_of_length(simd, even_sum, odd_sum));
    let length = simd.add_f64s(length, simd.splat_f64s(EPSILON));
    let (mean_even, mean_odd) = (simd.div_f64s(even_sum, length), simd.div_f64s(odd_sum, length));
    let mut congruent = simd.splat_f64s(0.0);
    for scale in 0..SCALES {
        let (even, odd) = (even[scale], odd[scale]);
        let along = simd.add_f64s(simd.mul_f64s(even, mean_even), simd.mul_f64s(odd, mean_odd));
        let across = simd.sub_f64s(simd.mul_f64s(even, mean_odd), simd.mul_f64s(odd, mean_even));
        congruent = simd.add_f64s(congruent, simd.sub_f64s(along, simd.abs_f64s(across)));
    }
    congruent
}

#[inline(always)]
fn square_of_length<S: Simd>(simd: S, even: S::f64s, odd: S::f64s) -> S::f64s {
    simd.add_f64s(simd.mul_f64s(even, even), simd.mul_f64s(odd, odd))
}
