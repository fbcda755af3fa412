//! CLIP-DQA in Candle.

mod picture;
mod resize;

pub use picture::Rgb8;
pub use resize::whole_view;
