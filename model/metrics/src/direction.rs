//! Which values of a metric are better, and how values are turned so that higher is better.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether high or low values are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// High values are good.
    #[default]
    Higher,
    /// Low values are good.
    Lower,
}

impl Direction {
    /// Returns the name, as in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Higher => "higher",
            Direction::Lower => "lower",
        }
    }

    /// Turns a value so that higher is better, and turns it back: a value of which low is good becomes its negative.
    pub fn orient(self, value: f64) -> f64 {
        match self {
            Direction::Higher => value,
            // Not `-value`, so that 0 does not become -0.
            Direction::Lower => 0.0 - value,
        }
    }

    /// Turns back the bounds of an interval of oriented values. The bounds change places if the sign does.
    pub fn orient_bounds(self, (low, high): (Option<f64>, Option<f64>)) -> (Option<f64>, Option<f64>) {
        match self {
            Direction::Higher => (low, high),
            Direction::Lower => (high.map(|value| self.orient(value)), low.map(|value| self.orient(value))),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_change_places_with_the_sign() {
        assert_eq!(Direction::Lower.orient_bounds((Some(-3.0), Some(-2.0))), (Some(2.0), Some(3.0)));
        assert_eq!(Direction::Higher.orient_bounds((Some(-3.0), None)), (Some(-3.0), None));
        assert!(Direction::Lower.orient(0.0).is_sign_positive());
    }
}
