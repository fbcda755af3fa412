//! Turns features into scores and loss, and runs back from the loss to the features.

/// The constants of a batch's loss.
#[derive(Clone, Copy)]
pub(super) struct ScoreLoss<'a> {
    /// (2, embed): the features of "bad photo" and "good photo", each of length 1.
    pub(super) text: &'a [f32],
    /// exp(logit_scale)
    pub(super) scale: f32,
    /// Windows of the whole batch, over which the loss is a mean.
    pub(super) batch: usize,
}

/// Sums over windows: what the backward passes need, and the step's result.
#[derive(Default)]
pub(super) struct LossSums {
    /// Sum of squared errors.
    pub(super) errors: f64,
    /// In the windows' order.
    pub(super) scores: Vec<f32>,
    /// (2, embed): gradient at the sentences' features.
    pub(super) text: Vec<f32>,
    /// Gradient at logit_scale.
    pub(super) scale: f64,
}

impl ScoreLoss<'_> {
    /// Turns a window's features before normalisation into the gradient there, and adds its loss.
    pub(super) fn window(&self, features: &mut [f32], target: f32, sums: &mut LossSums) {
        let (bad, good) = self.text.split_at(features.len());
        let length = features.iter().map(|f| f64::from(*f).powi(2)).sum::<f64>().sqrt();
        let unit: Vec<f64> = features.iter().map(|f| f64::from(*f) / length).collect();
        let cosine = |text: &[f32]| unit.iter().zip(text).map(|(u, t)| u * f64::from(*t)).sum::<f64>();
        let scale = f64::from(self.scale);
        let logit = scale * (cosine(good) - cosine(bad));
        let score = 1.0 / (1.0 + (-logit).exp());
        let error = score - f64::from(target);
        sums.errors += error * error;
        sums.scores.push(score as f32);
        let logit_gradient = 2.0 * error / self.batch as f64 * score * (1.0 - score);
        sums.scale += logit_gradient * logit;
        let unit_gradient: Vec<f64> =
            good.iter().zip(bad).map(|(g, b)| logit_gradient * scale * (f64::from(*g) - f64::from(*b))).collect();
        let (bad_gradient, good_gradient) = sums.text.split_at_mut(features.len());
        for ((bad_gradient, good_gradient), unit) in bad_gradient.iter_mut().zip(good_gradient).zip(&unit) {
            let gradient = (logit_gradient * scale * unit) as f32;
            *bad_gradient -= gradient;
            *good_gradient += gradient;
        }
        let along = unit.iter().zip(&unit_gradient).map(|(u, g)| u * g).sum::<f64>();
        for ((feature, unit), gradient) in features.iter_mut().zip(&unit).zip(&unit_gradient) {
            *feature = ((gradient - unit * along) / length) as f32;
        }
    }
}

/// Scales a row to length 1; returns its length before.
pub(super) fn to_unit(row: &mut [f32]) -> f32 {
    let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    row.iter_mut().for_each(|x| *x /= length);
    length
}

/// Turns the gradient at a row of length 1 into that at the row before scaling.
pub(super) fn to_unit_backward(unit: &[f32], length: f32, gradient: &mut [f32]) {
    let along: f32 = unit.iter().zip(&*gradient).map(|(u, g)| u * g).sum();
    for (gradient, unit) in gradient.iter_mut().zip(unit) {
        *gradient = (*gradient - unit * along) / length;
    }
}
