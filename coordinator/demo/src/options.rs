//! The parameters of a data set.

/// The parameters of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetOptions {
    /// The name of the data set: letters, digits and `. _ + -`.
    pub name: String,
    /// The number of scenes; each has 14 pictures.
    pub scenes: u64,
    /// The width of the pictures in pixels.
    pub width: usize,
    /// The height of the pictures in pixels.
    pub height: usize,
    /// The seed of all scenes.
    pub seed: u64,
}
