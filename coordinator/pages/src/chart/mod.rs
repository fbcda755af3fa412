//! Charts as SVG, each by a small function. Positions are percentages of the chart's area, so that a chart takes any width
//! while its text and marks keep their size; there are no `style` attributes, which the policy refuses.

pub(crate) mod axis;
pub(crate) mod differences;
pub(crate) mod frame;
pub(crate) mod heat;
pub(crate) mod intervals;
pub(crate) mod lines;
pub(crate) mod palette;
pub(crate) mod progress;
pub(crate) mod scatter;
