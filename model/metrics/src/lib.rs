//! Classic image quality metrics in double precision: full-reference ones (PSNR, SSIM, MS-SSIM, GMSD, CIEDE2000, VIFp,
//! FSIMc), blind ones (NIQE, BRISQUE, FADE, PIQE, entropy) and the contrast indicators of dehazing (`e`, `r`, `sigma`).
//!
//! The crate is pure: it takes 8-bit pictures and returns numbers. It reads no files and starts no threads. Each sum has
//! a fixed order and each transcendental function comes from `libm` or is a polynomial, so a value has the same bits on
//! every CPU, with every [`InstructionSet`].
//!
//! | Metric | Compares with | Better |
//! |---|---|---|
//! | `psnr_rgb`, `psnr_gray`, `ssim`, `ssim_full`, `ms_ssim`, `vifp`, `fsimc` | clear picture | higher |
//! | `gmsd`, `ciede2000` | clear picture | lower |
//! | `niqe`, `brisque`, `fade`, `piqe` | nothing | lower |
//! | `entropy` | nothing | higher |
//! | `e`, `r` | hazy picture | higher |
//! | `sigma`, `sigma255` | hazy picture | lower |
//!
//! ```
//! use dqa_metrics::{Evaluator, Inputs, Metric, RgbView};
//!
//! let clear: Vec<u8> = (0..64 * 64 * 3).map(|sample| (sample % 251) as u8).collect();
//! let dehazed: Vec<u8> = clear.iter().map(|sample| sample / 2 + 60).collect();
//!
//! let inputs = Inputs {
//!     picture: RgbView::new(&dehazed, 64, 64),
//!     clear: Some(RgbView::new(&clear, 64, 64)),
//!     hazy: None,
//! };
//! let measured = Evaluator::default().evaluate(&[Metric::PsnrRgb, Metric::Entropy], &inputs);
//! assert!(measured[0].value.as_ref().unwrap() > &10.0);
//! ```

#[cfg(test)]
mod aids;
mod brisque;
mod cholesky;
mod ciede2000;
mod contrast_indicators;
mod direction;
mod downsample;
mod elementary;
mod entropy;
mod evaluate;
mod fade;
mod fourier;
mod fsimc;
mod generalized_gaussian;
mod gmsd;
mod gray;
mod half;
mod instruction_set;
mod lab;
mod metric;
mod ms_ssim;
mod mscn;
mod neighbour_products;
mod niqe;
mod parameters;
mod phase_congruency;
mod piqe;
mod plane;
mod pseudo_inverse;
mod psnr;
mod reference_kind;
mod rgb_view;
mod ssim;
mod undefined;
mod vifp;
mod visible_edges;
mod window;

pub use direction::Direction;
pub use evaluate::{Evaluator, Inputs, Measurement};
pub use instruction_set::InstructionSet;
pub use metric::Metric;
pub use parameters::{ParameterError, Parameters};
pub use reference_kind::ReferenceKind;
pub use rgb_view::RgbView;
pub use undefined::Undefined;
