//! Columns in memory: strips of `LANES` neighbouring columns, each strip row by row.

/// Number of columns that are transformed at once: one register of AVX-512.
pub(crate) const LANES: usize = 8;

/// Values of neighbouring columns in one row. A vector that crosses cache lines would take twice as long to load.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f64; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// Complex numbers in rows of `LANES`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) re: Vec<Lanes>,
    pub(crate) im: Vec<Lanes>,
}

/// Rows that are borrowed.
#[derive(Clone, Copy)]
pub(crate) struct RowsView<'a> {
    pub(crate) re: &'a [Lanes],
    pub(crate) im: &'a [Lanes],
}

impl Rows {
    pub(crate) fn zeros(count: usize) -> Self {
        Self { re: vec![Lanes::ZERO; count], im: vec![Lanes::ZERO; count] }
    }

    pub(super) fn with_capacity(count: usize) -> Self {
        Self { re: Vec::with_capacity(count), im: Vec::with_capacity(count) }
    }

    pub(super) fn resize(&mut self, count: usize) {
        self.re.resize(count, Lanes::ZERO);
        self.im.resize(count, Lanes::ZERO);
    }

    pub(crate) fn view(&self) -> RowsView<'_> {
        RowsView { re: &self.re, im: &self.im }
    }

    /// Returns strip `index` of those of `height` rows.
    pub(crate) fn strip(&self, index: usize, height: usize) -> RowsView<'_> {
        let rows = index * height..(index + 1) * height;
        RowsView { re: &self.re[rows.clone()], im: &self.im[rows] }
    }

    #[inline(always)]
    pub(super) fn rows_mut(&mut self, first: usize, count: usize) -> [&mut [Lanes]; 2] {
        [&mut self.re[first..][..count], &mut self.im[first..][..count]]
    }
}

impl<'a> RowsView<'a> {
    /// Exchanges the parts: a transform between two exchanges is the inverse one, but for its factor.
    pub(crate) fn exchange_parts(self) -> Self {
        Self { re: self.im, im: self.re }
    }

    #[inline(always)]
    pub(super) fn rows(self, first: usize, count: usize) -> Self {
        Self { re: &self.re[first..][..count], im: &self.im[first..][..count] }
    }

    pub(super) fn len(self) -> usize {
        self.re.len()
    }
}
