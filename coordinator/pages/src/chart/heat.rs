//! Colours of a table's cells by correlation.

/// Returns the class of a correlation's tint: `p1` to `p5` above 0, `n1` to `n5` below.
pub(crate) fn tint(correlation: Option<f64>) -> String {
    let Some(correlation) = correlation else { return String::new() };
    let step = ((correlation.abs() * 5.0).ceil() as u32).min(5);
    let sign = if correlation < 0.0 { 'n' } else { 'p' };
    if step == 0 { String::new() } else { format!("{sign}{step}") }
}
