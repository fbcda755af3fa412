//! The `dqa-worker` program.
fn main() {}
