//! The kinds of pictures that a dehazed picture is compared with.

/// A kind of references: other pictures of a scene that a picture of it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// The inputs of the algorithms.
    Hazy,
    /// The same scenes without haze.
    Clear,
}

impl ReferenceKind {
    /// Both kinds.
    pub const ALL: [ReferenceKind; 2] = [ReferenceKind::Hazy, ReferenceKind::Clear];

    /// Returns the name of the section that names such pictures in a definition, which is also their algorithm's name.
    pub fn name(self) -> &'static str {
        match self {
            ReferenceKind::Hazy => "hazy",
            ReferenceKind::Clear => "clear",
        }
    }
}
