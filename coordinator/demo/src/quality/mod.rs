//! Pseudo-labels: how near a picture is to the clear one. They stand for no one's opinion.

mod colour;
mod gradient;
mod ssim;

pub(crate) use ssim::SIDE_MIN;
use ssim::Scales;

use crate::plane::{Plane, Rgb};

/// The greatest side: some twenty pictures are in memory for each thread.
pub(crate) const SIDE_MAX: usize = 4096;

/// Distances of a picture from the clear one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quality {
    /// Multi-scale structural similarity of luma; 1 for equal pictures.
    pub(crate) ms_ssim: f32,
    /// Gradient magnitude similarity deviation of luma; 0 for equal pictures.
    pub(crate) gmsd: f32,
    /// Mean CIEDE2000; 0 for equal pictures.
    pub(crate) ciede2000: f32,
}

/// A picture, made ready to be compared.
pub(crate) struct Compared {
    luma: Plane,
    scales: Scales,
    colours: Vec<[f32; 3]>,
}

impl Compared {
    pub(crate) fn new(picture: &Rgb) -> Compared {
        let luma = picture.luma();
        Compared { scales: Scales::new(&luma), colours: colour::seen(picture), luma }
    }

    /// How far another is from this one.
    pub(crate) fn quality(&self, other: &Compared) -> Quality {
        Quality {
            ms_ssim: self.scales.compare(&other.scales),
            gmsd: gradient::gmsd(&self.luma, &other.luma),
            ciede2000: colour::difference(&self.colours, &other.colours),
        }
    }
}

impl Quality {
    /// 0 to 100, higher is better; 100 for equal pictures. The worst defect counts most.
    pub(crate) fn pseudo_mos(&self) -> f32 {
        // Each is 1 where a picture is about as bad as haze of medium density.
        let defects = [(1.0 - self.ms_ssim) / 0.25, self.gmsd / 0.065, self.ciede2000 / 16.0];
        let loss = defects.iter().map(|defect| defect * defect).sum::<f32>().sqrt();
        100.0 / (1.0 + libm::powf(loss / 1.9, 1.9))
    }
}
