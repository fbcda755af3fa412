//! CLIP's two towers: the text tower, once per model, and the layers of the visual tower on one of two backends.

pub(crate) mod backend;
mod candle_layers;
pub(crate) mod folded_layers;
pub(crate) mod text;
pub(crate) mod visual;
