//! The `dqa-coord` program.
fn main() {}
