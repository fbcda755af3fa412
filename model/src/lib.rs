//! CLIP-DQA in Candle.
mod cpu;
