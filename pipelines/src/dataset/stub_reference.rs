//! STUB until the branch `clear` is merged.
use super::{DataSet, Picture};
/// A picture that metrics compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// Hazy.
    Hazy,
    /// Clear.
    Clear,
}
impl DataSet {
    /// Returns the reference.
    pub fn reference(&self, picture: &Picture, kind: ReferenceKind) -> Option<&Picture> {
        (kind == ReferenceKind::Hazy).then(|| picture.hazy.map(|index| &self.inputs[index as usize]))?
    }
}
