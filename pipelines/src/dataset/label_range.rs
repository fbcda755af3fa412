//! The range of the labels that were seen, and the scale that it suggests. A scale is only suggested to the user: which labels
//! are possible is not in the data.

use std::fmt;

use super::data_set::DataSet;
use super::definition::Definition;
use crate::metric::Direction;

/// Usual scales of ratings, the narrow ones first.
const SCALES: [[f64; 2]; 6] = [[0.0, 1.0], [1.0, 5.0], [0.0, 5.0], [1.0, 10.0], [0.0, 10.0], [0.0, 100.0]];

/// The lowest and the highest label that was seen, as the table has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenLabels {
    low: f64,
    high: f64,
}

impl SeenLabels {
    /// Finds the labels' ends. None if no picture has a label.
    pub fn of(data: &DataSet) -> Option<SeenLabels> {
        let labels = toml::from_str::<Definition>(&data.definition).ok().and_then(|definition| definition.labels);
        // Without a range, lower labels are turned by their sign.
        let is_turned = labels.is_some_and(|labels| labels.direction == Direction::Lower && labels.range.is_none());
        let stored =
            data.pictures.iter().filter_map(|picture| picture.mos).map(|mos| if is_turned { -mos } else { mos });
        stored.fold(None, |seen, mos| {
            let SeenLabels { low, high } = seen.unwrap_or(SeenLabels { low: mos, high: mos });
            Some(SeenLabels { low: low.min(mos), high: high.max(mos) })
        })
    }

    /// Returns the narrowest usual scale that has all labels, or whole numbers around them.
    pub fn suggested_range(&self) -> [f64; 2] {
        let has_all = |[low, high]: &[f64; 2]| *low <= self.low && self.high <= *high;
        let around = [self.low.floor(), self.high.ceil().max(self.low.floor() + 1.0)];
        SCALES.into_iter().find(has_all).unwrap_or(around)
    }

    /// Returns the line of a definition with the suggested scale.
    pub fn range_line(&self) -> String {
        let [low, high] = self.suggested_range();
        format!("range = [{low}, {high}]")
    }
}

impl fmt::Display for SeenLabels {
    /// Writes `0 to 0.975`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_usual_scale_is_suggested() {
        let line = |low, high| SeenLabels { low, high }.range_line();
        assert_eq!(line(0.0, 0.975), "range = [0, 1]");
        assert_eq!(line(1.5, 4.5), "range = [1, 5]");
        assert_eq!(line(0.5, 4.5), "range = [0, 5]");
        assert_eq!(line(12.0, 88.5), "range = [0, 100]");
        assert_eq!(line(-3.5, 800.0), "range = [-4, 800]");
        assert_eq!(line(-3.0, -3.0), "range = [-3, -2]");
    }
}
