//! Transforms of columns of any length (Bluestein): `jk = (j^2 + k^2 - (j - k)^2) / 2` makes of a transform a convolution
//! with a chirp, which is done with transforms of a power of two.

use super::complex::{Scalar, root_of_unity};
use super::mixed_radix::MixedRadix;
use super::products::RowProducts;
use super::strip::{Rows, RowsView};
use crate::instruction_set::InstructionSet;

pub(super) struct Chirp {
    /// `exp(-pi i k^2 / length)`.
    chirp: Vec<Scalar>,
    /// The transform of the conjugate chirp around 0, divided by the padded length.
    response: Vec<Scalar>,
    padded: MixedRadix,
}

impl Chirp {
    pub(super) fn new(instructions: InstructionSet, length: usize) -> Self {
        let padded_length = (2 * length - 1).next_power_of_two();
        let padded = MixedRadix::new(padded_length).expect("a power of two has no large factor");
        let chirp: Vec<Scalar> = (0..length).map(|k| root_of_unity(k * k, 2 * length)).collect();
        let mut strip = Rows::zeros(padded_length);
        for (k, [cosine, sine]) in chirp.iter().enumerate() {
            for row in [k, (padded_length - k) % padded_length] {
                strip.re[row].0[0] = *cosine;
                strip.im[row].0[0] = -sine;
            }
        }
        let mut buffers = [Rows::default(), Rows::default()];
        padded.run(instructions, strip.view(), &mut buffers);
        let share = 1.0 / padded_length as f64;
        let spectrum = buffers[0].view();
        let response = (0..padded_length).map(|k| [spectrum.re[k].0[0] * share, spectrum.im[k].0[0] * share]).collect();
        Self { chirp, response, padded }
    }

    /// Writes the transform into the first buffer.
    pub(super) fn run(&self, instructions: InstructionSet, from: RowsView<'_>, buffers: &mut [Rows; 2]) {
        let mut strip = Rows::zeros(self.response.len());
        instructions.dispatch(RowProducts { from, factors: &self.chirp, products: &mut strip });
        self.padded.run(instructions, strip.view(), buffers);
        let from = buffers[0].view();
        instructions.dispatch(RowProducts { from, factors: &self.response, products: &mut strip });
        self.padded.run(instructions, strip.view().exchange_parts(), buffers);
        let [result, scratch] = buffers;
        scratch.resize(self.chirp.len());
        let from = result.view().exchange_parts();
        instructions.dispatch(RowProducts { from, factors: &self.chirp, products: scratch });
        std::mem::swap(result, scratch);
    }
}
