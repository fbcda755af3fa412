//! A growable buffer whose first element lies on a cache line, so that no vector load of a panel crosses one.

use bytemuck::{Pod, Zeroable};

/// 64 bytes: a cache line, and one AVX-512 register.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed when it grows; keeps its memory between uses.
#[derive(Default)]
pub(super) struct AlignedBuffer {
    lines: Vec<Line>,
}

impl AlignedBuffer {
    pub(super) fn zeroed<T: Pod>(len: usize) -> AlignedBuffer {
        let mut buffer = AlignedBuffer::default();
        buffer.slice_mut::<T>(len);
        buffer
    }

    /// Returns the whole buffer. The size of `T` must divide 64 bytes.
    pub(super) fn as_slice<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.lines)
    }

    /// Returns the first `len` values. The buffer grows to hold them and keeps its content.
    pub(super) fn slice_mut<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }
}
