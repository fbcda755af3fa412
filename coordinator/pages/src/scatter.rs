//! Scores against labels, prepared for a chart: points, or bins of many points, with the fitted curves.

use dqa_stats::{LogisticFit, fit_logistics};

use crate::hex_bins::HexBins;
use crate::picture::ScorePoint;

/// More points than this are drawn as bins.
pub const POINTS_MAX: usize = 5000;

/// Scores against labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// What is drawn.
    pub marks: Marks,
    /// The curves of four and five parameters.
    pub fits: [LogisticFit; 2],
}

/// What a scatter draws.
#[derive(Clone, Debug, PartialEq)]
pub enum Marks {
    /// Each picture.
    Points(Vec<ScorePoint>),
    /// How many pictures are where.
    Bins {
        /// Scores (x) against labels (y).
        labels: HexBins,
        /// Scores (x) against residuals (y): label minus curve. None if no curve was fitted.
        residuals: Option<HexBins>,
    },
}

impl Scatter {
    /// Fits the curves, and makes bins of more than [`POINTS_MAX`] points. None if there are no points.
    ///
    /// # Panics
    /// If a score or label is NaN.
    pub fn from_points(points: Vec<ScorePoint>) -> Option<Scatter> {
        let (scores, labels): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point.score, point.mos)).unzip();
        if points.is_empty() || points.len() > POINTS_MAX {
            return Scatter::from_columns(&scores, &labels);
        }
        Some(Scatter { marks: Marks::Points(points), fits: fit_logistics(&scores, &labels) })
    }

    /// Fits the curves to columns of scores and labels and makes bins of them, however few they are: for more pictures than
    /// [`POINTS_MAX`], whose names need not be read. None if there are none.
    ///
    /// # Panics
    /// If the columns have unequal lengths, or a value is NaN.
    pub fn from_columns(scores: &[f64], labels: &[f64]) -> Option<Scatter> {
        if scores.is_empty() {
            return None;
        }
        let fits = fit_logistics(scores, labels);
        let residuals = curve(&fits).map(|fit| {
            let residual = |(score, label): (&f64, &f64)| label - fit.predict(*score).unwrap_or(*label);
            scores.iter().zip(labels).map(residual).collect::<Vec<f64>>()
        });
        let marks = Marks::Bins {
            labels: HexBins::from_columns(scores, labels),
            residuals: residuals.map(|residuals| HexBins::from_columns(scores, &residuals)),
        };
        Some(Scatter { marks, fits })
    }

    /// Returns the curve that residuals are of: five parameters, or four if those were not fitted.
    pub(crate) fn curve(&self) -> Option<&LogisticFit> {
        curve(&self.fits)
    }

    /// Returns the number of pictures.
    pub(crate) fn len(&self) -> u64 {
        match &self.marks {
            Marks::Points(points) => points.len() as u64,
            Marks::Bins { labels, .. } => labels.total(),
        }
    }
}

fn curve(fits: &[LogisticFit; 2]) -> Option<&LogisticFit> {
    fits.iter().rev().find(|fit| !fit.parameters.is_empty())
}
