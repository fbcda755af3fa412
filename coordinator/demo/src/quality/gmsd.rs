//! Gradient magnitude similarity deviation (Xue, Zhang, Mou, Bovik 2014), of luma 0 to 1.

use crate::pixels::Plane;

/// The authors' constant, 170 for values up to 255.
const C: f32 = 170.0 / (255.0 * 255.0);

/// Returns the deviation: 0 for equal pictures, about 0.3 for unrelated ones.
pub(crate) fn gmsd(a: &Plane, b: &Plane) -> f32 {
    let (a, b) = (gradient(&a.halved()), gradient(&b.halved()));
    let similarity = a.zip(&b, |a, b| (2.0 * a * b + C) / (a * a + b * b + C));
    let mean = f64::from(similarity.mean());
    let spread =
        similarity.data.iter().map(|&value| (f64::from(value) - mean) * (f64::from(value) - mean)).sum::<f64>();
    (spread / similarity.data.len() as f64).sqrt() as f32
}

/// Returns the gradient magnitude by Prewitt's operator divided by 3, without the border.
fn gradient(plane: &Plane) -> Plane {
    let value = |x: usize, y: usize| plane.data[y * plane.width + x];
    Plane::from_fn(plane.width - 2, plane.height - 2, |x, y| {
        let column = |x: usize| value(x, y) + value(x, y + 1) + value(x, y + 2);
        let row = |y: usize| value(x, y) + value(x + 1, y) + value(x + 2, y);
        let (dx, dy) = ((column(x) - column(x + 2)) / 3.0, (row(y) - row(y + 2)) / 3.0);
        (dx * dx + dy * dy).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::waves;
    use super::*;

    #[test]
    fn gmsd_agrees_with_numpy() {
        let (a, b) = waves();
        assert!((gmsd(&a, &b) - 0.155_627).abs() < 1e-5, "{}", gmsd(&a, &b));
    }
}
