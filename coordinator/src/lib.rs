//! Who scores what and when.
