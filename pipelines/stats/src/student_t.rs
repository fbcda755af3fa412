//! Student's t distribution: two-sided p-values, quantiles and the distribution function. Degrees of freedom need not
//! be whole numbers (Satterthwaite's are not).

use std::f64::consts::SQRT_2;

/// Above this many degrees of freedom the series around the normal distribution has more correct digits than the
/// continued fraction: the first term that it omits is of the order of the inverse of their cube.
const SERIES_DEGREES_OF_FREEDOM_MIN: f64 = 30_000.0;

/// Returns the probability that a t variable exceeds `t` in absolute value.
///
/// # Panics
/// If `degrees_of_freedom` is not positive.
pub fn two_sided_p(t: f64, degrees_of_freedom: f64) -> f64 {
    assert!(degrees_of_freedom > 0.0, "degrees of freedom must be positive");
    if degrees_of_freedom > SERIES_DEGREES_OF_FREEDOM_MIN {
        return libm::erfc(normal_deviate(t * t, degrees_of_freedom) / SQRT_2);
    }
    incomplete_beta(degrees_of_freedom / (degrees_of_freedom + t * t), degrees_of_freedom / 2.0, 0.5)
}

/// Returns the standard normal deviate with nearly the same tail as the t whose square is given (Wallace 1959).
pub(crate) fn normal_deviate(t_squared: f64, degrees_of_freedom: f64) -> f64 {
    let factor = (8.0 * degrees_of_freedom + 1.0) / (8.0 * degrees_of_freedom + 3.0);
    factor * (degrees_of_freedom * (t_squared / degrees_of_freedom).ln_1p()).sqrt()
}

/// Returns the t whose tail is nearly that of the standard normal `deviate`: the inverse of [`normal_deviate`].
pub(crate) fn t_from_normal_deviate(deviate: f64, degrees_of_freedom: f64) -> f64 {
    let scaled = deviate * (8.0 * degrees_of_freedom + 3.0) / (8.0 * degrees_of_freedom + 1.0);
    (degrees_of_freedom * (scaled * scaled / degrees_of_freedom).exp_m1()).sqrt()
}

/// Returns the value that a t variable stays below in absolute value with probability `level`.
///
/// # Panics
/// If `degrees_of_freedom` is not positive or `level` is not between 0 and 1.
pub fn two_sided_quantile(level: f64, degrees_of_freedom: f64) -> f64 {
    assert!(level > 0.0 && level < 1.0, "a level must lie between 0 and 1");
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided_p(high, degrees_of_freedom) > 1.0 - level {
        (low, high) = (high, 2.0 * high);
    }
    // 80 bisections leave no bit of the mantissa undecided.
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if two_sided_p(middle, degrees_of_freedom) > 1.0 - level { low = middle } else { high = middle }
    }
    low
}

/// Returns the probability that a t variable is at most `t`.
///
/// # Panics
/// If `degrees_of_freedom` is not positive.
pub fn cdf(t: f64, degrees_of_freedom: f64) -> f64 {
    let tail = two_sided_p(t, degrees_of_freedom) / 2.0;
    if t < 0.0 { tail } else { 1.0 - tail }
}

/// Returns the value that a t variable stays below with probability `probability`.
///
/// # Panics
/// If `degrees_of_freedom` is not positive or `probability` is not between 0 and 1.
pub fn quantile(probability: f64, degrees_of_freedom: f64) -> f64 {
    assert!(probability > 0.0 && probability < 1.0, "a probability must lie between 0 and 1");
    if probability == 0.5 {
        return 0.0;
    }
    let distance = two_sided_quantile((2.0 * probability - 1.0).abs(), degrees_of_freedom);
    if probability < 0.5 { -distance } else { distance }
}

/// Returns the regularised incomplete beta function I_x(a, b), by Lentz's continued fraction.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly only below this point.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let log_beta_inverse = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    let front = (log_beta_inverse + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let step = |term: f64, value: f64| {
        let value = 1.0 + term * value;
        if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value }
    };
    let (mut c, mut d) = (1.0, 1.0 / step(-(a + b) * x / (a + 1.0), 1.0));
    let mut sum = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / step(term, d);
            c = step(term, 1.0 / c);
            sum *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Degrees of freedom, then SciPy's `t.ppf(.975, n)`, `t.ppf(.995, n)`, `2 * t.sf(2.3, n)`, `t.cdf(-1.2, n)`.
    const SCIPY: [[f64; 5]; 10] = [
        [1.0, 12.706204736174694, 63.656741162871526, 0.26109517417724554, 0.22114206162369554],
        [2.0, 4.302652729749462, 9.924843200918287, 0.14814814814814817, 0.17650168038968475],
        [2.5, 3.5746548420036817, 7.163728138948783, 0.12247966442415525, 0.1657194188329388],
        [4.0, 2.7764451051977934, 4.604094871349992, 0.08293903711238236, 0.14817569665617666],
        [9.0, 2.262157162798205, 3.249835541592126, 0.04699938892186315, 0.13038659869523075],
        [24.0, 2.0638985616280245, 2.796939504774456, 0.030449585389608923, 0.1209256765511705],
        [99.0, 1.9842169515864174, 2.626405457280827, 0.02354747321095707, 0.11650156383520129],
        [1e4, 1.960201239890626, 2.5763210466685282, 0.021468713374767197, 0.11508388425844956],
        [3e4, 1.9600430633839347, 2.5759931982857065, 0.02145505049417696, 0.115074408318952],
        [1e6, 1.959966356814107, 2.5758342201053344, 0.021448424947276088, 0.11506981236586235],
    ];

    #[test]
    fn the_distribution_is_scipys() {
        for [degrees_of_freedom, q95, q99, p, below] in SCIPY {
            for (value, wanted) in [
                (two_sided_quantile(0.95, degrees_of_freedom), q95),
                (quantile(0.995, degrees_of_freedom), q99),
                (quantile(0.005, degrees_of_freedom), -q99),
                (two_sided_p(2.3, degrees_of_freedom), p),
                (cdf(-1.2, degrees_of_freedom), below),
                (cdf(1.2, degrees_of_freedom), 1.0 - below),
            ] {
                assert!((value / wanted - 1.0).abs() < 1e-9, "{degrees_of_freedom}: {value}, expected {wanted}");
            }
        }
        // scipy.stats.t.ppf(.99999, 1): far out in the longest tails.
        assert!((quantile(0.99999, 1.0) / 31830.988608051957 - 1.0).abs() < 1e-8);
        assert_eq!((quantile(0.5, 3.0), two_sided_p(0.0, 4.0)), (0.0, 1.0));
    }
}
