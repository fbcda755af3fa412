//! The side of the model's input, and places in a picture.

/// Side of the model's input, in pixels.
pub const INPUT_SIDE: u32 = 224;

/// Upper left corner of a window or of a piece of one, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
}
