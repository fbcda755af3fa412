//! CLIP-DQA in Candle.
