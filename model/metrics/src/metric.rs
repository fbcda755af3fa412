//! The registry: the name, direction and inputs of each metric.

use std::fmt;
use std::str::FromStr;

use crate::direction::Direction;
use crate::reference_kind::ReferenceKind;

/// A metric that this crate computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Peak signal-to-noise ratio over the three channels, in dB.
    PsnrRgb,
    /// Peak signal-to-noise ratio of the gray levels, in dB.
    PsnrGray,
    /// Structural similarity after the authors' downsampling (Wang 2004).
    Ssim,
    /// Structural similarity at full size (Wang 2004).
    SsimFull,
    /// Structural similarity over five scales (Wang 2003).
    MsSsim,
    /// Gradient magnitude similarity deviation (Xue 2014).
    Gmsd,
    /// Mean colour difference CIEDE2000 (Sharma 2005).
    Ciede2000,
    /// Visual information fidelity in the pixel domain (Sheikh 2006).
    Vifp,
    /// Feature similarity with colour (Zhang 2011).
    Fsimc,
    /// Naturalness image quality evaluator (Mittal 2013).
    Niqe,
    /// Blind/referenceless image spatial quality evaluator (Mittal 2012).
    Brisque,
    /// Fog aware density evaluator (Choi 2015).
    Fade,
    /// Perception based image quality evaluator (Venkatanath 2015).
    Piqe,
    /// Entropy of the gray levels, in bits.
    Entropy,
    /// Rate of newly visible edges (Hautière 2008).
    E,
    /// Geometric mean ratio of gradients at visible edges (Hautière 2008).
    R,
    /// Share of saturated pixels as published, which counts black ones only (Hautière 2008).
    Sigma,
    /// Share of saturated pixels, black or white.
    Sigma255,
}

/// What is known of a metric without computing it.
struct Definition {
    name: &'static str,
    direction: Direction,
    reference: Option<ReferenceKind>,
    /// Fewest pixels of the shorter side.
    smallest_side: usize,
    /// Changes when a value may change.
    version: u32,
    title: &'static str,
}

impl Metric {
    /// All metrics, in the order of tables.
    pub const ALL: [Self; 18] = [
        Self::PsnrRgb,
        Self::PsnrGray,
        Self::Ssim,
        Self::SsimFull,
        Self::MsSsim,
        Self::Gmsd,
        Self::Ciede2000,
        Self::Vifp,
        Self::Fsimc,
        Self::Niqe,
        Self::Brisque,
        Self::Fade,
        Self::Piqe,
        Self::Entropy,
        Self::E,
        Self::R,
        Self::Sigma,
        Self::Sigma255,
    ];

    /// Returns the name in tables, flags and files, for example `psnr_rgb`.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// Returns which values are better.
    pub fn direction(self) -> Direction {
        self.definition().direction
    }

    /// Returns the second picture that the metric needs, if it needs one.
    pub fn reference(self) -> Option<ReferenceKind> {
        self.definition().reference
    }

    /// Returns the fewest pixels that the shorter side of a picture may have.
    pub fn smallest_side(self) -> usize {
        self.definition().smallest_side
    }

    /// Returns the version of the definition. It changes when a value may change, and enters the fingerprint.
    pub fn version(self) -> u32 {
        self.definition().version
    }

    /// Returns the full name in a few words.
    pub fn title(self) -> &'static str {
        self.definition().title
    }

    fn definition(self) -> Definition {
        use Direction::{Higher, Lower};
        use ReferenceKind::{Clear, Hazy};
        let (name, direction, reference, smallest_side, title) = match self {
            Self::PsnrRgb => ("psnr_rgb", Higher, Some(Clear), 1, "peak signal-to-noise ratio over RGB, dB"),
            Self::PsnrGray => ("psnr_gray", Higher, Some(Clear), 1, "peak signal-to-noise ratio of gray, dB"),
            Self::Ssim => ("ssim", Higher, Some(Clear), 11, "structural similarity, downsampled as by its authors"),
            Self::SsimFull => ("ssim_full", Higher, Some(Clear), 11, "structural similarity at full size"),
            Self::MsSsim => ("ms_ssim", Higher, Some(Clear), 176, "multi-scale structural similarity"),
            Self::Gmsd => ("gmsd", Lower, Some(Clear), 1, "gradient magnitude similarity deviation"),
            Self::Ciede2000 => ("ciede2000", Lower, Some(Clear), 1, "mean CIEDE2000 colour difference"),
            Self::Vifp => ("vifp", Higher, Some(Clear), 41, "visual information fidelity in the pixel domain"),
            Self::Fsimc => ("fsimc", Higher, Some(Clear), 1, "feature similarity with colour"),
            Self::Niqe => ("niqe", Lower, None, 96, "naturalness image quality evaluator"),
            Self::Brisque => ("brisque", Lower, None, 1, "blind/referenceless image spatial quality evaluator"),
            Self::Fade => ("fade", Lower, None, 16, "fog aware density evaluator"),
            Self::Piqe => ("piqe", Lower, None, 1, "perception based image quality evaluator"),
            Self::Entropy => ("entropy", Higher, None, 1, "entropy of the gray levels, bits"),
            Self::E => ("e", Higher, Some(Hazy), 1, "rate of newly visible edges"),
            Self::R => ("r", Higher, Some(Hazy), 1, "gradient ratio at visible edges"),
            Self::Sigma => ("sigma", Lower, Some(Hazy), 1, "share of saturated pixels as published (black)"),
            Self::Sigma255 => ("sigma255", Lower, Some(Hazy), 1, "share of saturated pixels (black or white)"),
        };
        let version = match self {
            // The order of sums changed with the transform in strips.
            Self::Fsimc => 2,
            _ => 1,
        };
        Definition { name, direction, reference, smallest_side, version, title }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no metric of this crate has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric `{0}`")]
pub struct UnknownMetric(pub String);

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        Self::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| UnknownMetric(name.to_owned()))
    }
}
