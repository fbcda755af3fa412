//! Elementary functions by polynomials of plain operations: the same bits on every CPU, as `libm`'s, but without a call or
//! a branch, so that a loop over pixels becomes vector instructions. Near enough for measures of pictures, not to the last
//! bit.

/// Adding this rounds to an integer, which then lies in the lowest bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// Returns `e^x` for `x` of -700 to 700, within 1e-14 of its size: the series for the part below a power of two, whose
/// exponent is put in as bits.
#[inline(always)]
pub(crate) fn exponential(x: f64) -> f64 {
    const TERMS: [f64; 13] = inverse_factorials();
    let shifted = x * std::f64::consts::LOG2_E + ROUNDING;
    let exponent = shifted - ROUNDING;
    let rest = x - exponent * std::f64::consts::LN_2;
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    polynomial(&TERMS, rest) * scale
}

/// `1 / n!` for `n` from 0.
const fn inverse_factorials() -> [f64; 13] {
    let mut terms = [1.0; 13];
    let mut n = 1;
    while n < 13 {
        terms[n] = terms[n - 1] / n as f64;
        n += 1;
    }
    terms
}

/// Returns the natural logarithm of a normal positive number, within 1e-14 or that part of its size. The number is
/// `2^exponent m` with `m` from `sqrt(1/2)` to `sqrt(2)`, and `ln m = 2 artanh((m - 1) / (m + 1))`.
#[inline(always)]
pub(crate) fn natural_logarithm(x: f64) -> f64 {
    const TERMS: [f64; 10] = artanh_terms();
    // Bits of 1.5 * 2^52 with an integer in the lowest: subtracting 1.5 * 2^52 leaves the integer as a number.
    const INTEGER: u64 = 0x4338_0000_0000_0000;
    let bits = x.to_bits();
    let half_root_bits = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let from_half_root = bits.wrapping_sub(half_root_bits);
    // An arithmetic shift of a difference that may be negative, in unsigned steps that each vector width has.
    let exponent = (from_half_root.wrapping_add(1024 << 52) >> 52).wrapping_sub(1024);
    let mantissa = f64::from_bits(bits.wrapping_sub(exponent << 52));
    let exponent = f64::from_bits(INTEGER.wrapping_add(exponent)) - ROUNDING;
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    exponent * std::f64::consts::LN_2 + ratio * polynomial(&TERMS, ratio * ratio)
}

/// `2 / (2n + 1)` for `n` from 0.
const fn artanh_terms() -> [f64; 10] {
    let mut terms = [2.0; 10];
    let mut n = 0;
    while n < 10 {
        terms[n] = 2.0 / (2 * n + 1) as f64;
        n += 1;
    }
    terms
}

/// Returns the polynomial with these coefficients, the constant one first.
#[inline(always)]
pub(crate) fn polynomial<const TERMS: usize>(terms: &[f64; TERMS], x: f64) -> f64 {
    let mut value = terms[TERMS - 1];
    for term in terms[..TERMS - 1].iter().rev() {
        value = value * x + term;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_near_those_of_libm() {
        for step in -70_000..70_000 {
            let x = f64::from(step) * 0.00999;
            let expected = libm::exp(x);
            assert!((exponential(x) - expected).abs() < 2e-13 * expected, "{x}: {} {expected}", exponential(x));
        }
        assert_eq!(exponential(0.0), 1.0);
    }

    #[test]
    fn logarithms_are_near_those_of_libm() {
        for step in -70_000..70_000 {
            let x = libm::exp(f64::from(step) * 0.00999) * 1.37;
            let expected = libm::log(x);
            assert!((natural_logarithm(x) - expected).abs() < 1e-14 * expected.abs().max(1.0), "{x}");
        }
        assert_eq!(natural_logarithm(1.0), 0.0);
    }
}
