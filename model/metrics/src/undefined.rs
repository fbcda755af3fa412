//! Why a metric has no value for a picture.

use crate::reference_kind::ReferenceKind;

/// Why a metric has no value for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// The picture is smaller than the metric allows.
    #[error("the picture is too small: the metric needs {0}")]
    TooSmall(&'static str),
    /// The metric needs a reference and none was given.
    #[error("the metric compares with the {} picture, which is missing", .0.name())]
    ReferenceMissing(ReferenceKind),
    /// The reference has another size than the picture.
    #[error("the {} picture is {}x{} pixels, expected {}x{} as the picture", .reference.name(), .found.0, .found.1, .expected.0, .expected.1)]
    ReferenceSize {
        /// Which picture.
        reference: ReferenceKind,
        /// Width and height of the reference.
        found: (usize, usize),
        /// Width and height of the picture.
        expected: (usize, usize),
    },
    /// The pictures are equal, and the ratio is infinite.
    #[error("the pictures are equal, so that the ratio is infinite")]
    Infinite,
    /// The picture lacks what the metric measures, for example because it has one colour.
    #[error("the metric is not defined for this picture: {0}")]
    Degenerate(&'static str),
}
