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
        let of_logit = 2.0 * error / self.batch as f64 * score * (1.0 - score);
        sums.scale += of_logit * logit;
        let of_unit: Vec<f64> =
            good.iter().zip(bad).map(|(g, b)| of_logit * scale * (f64::from(*g) - f64::from(*b))).collect();
        let (of_bad, of_good) = sums.text.split_at_mut(features.len());
        for ((of_bad, of_good), unit) in of_bad.iter_mut().zip(of_good).zip(&unit) {
            let gradient = (of_logit * scale * unit) as f32;
            *of_bad -= gradient;
            *of_good += gradient;
        }
        let along = unit.iter().zip(&of_unit).map(|(u, g)| u * g).sum::<f64>();
        for ((feature, unit), gradient) in features.iter_mut().zip(&unit).zip(&of_unit) {
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
