//! The files of `parameters/`, which are part of the program: little-endian doubles without a header.

/// Doubles that are taken from the front.
pub(super) struct Numbers(&'static [[u8; 8]]);

impl Numbers {
    pub(super) fn new(bytes: &'static [u8]) -> Self {
        let (numbers, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "an embedded file holds whole doubles");
        Self(numbers)
    }

    /// Takes the next `N` doubles.
    pub(super) fn row<const N: usize>(&mut self) -> [f64; N] {
        let (row, rest) = self.0.split_first_chunk().expect("an embedded file holds whole rows");
        self.0 = rest;
        row.map(f64::from_le_bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
