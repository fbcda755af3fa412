//! The algorithms of the data set: classical dehazers, one that knows the truth almost, and graded failures. Each makes a
//! picture from what a camera saw; how much a failure fails is drawn for each scene.

mod enhance;
mod jpeg;
mod priors;

use priors::DarkChannel;

use crate::filters::{gaussian, wide_gaussian};
use crate::haze::{Haze, cleared, scattered};
use crate::plane::{Plane, Rgb};
use crate::random::Stream;

/// What makes a picture of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Inverts the haze with nearly the true transmission and airlight.
    Oracle,
    /// Dark channel prior, with a guided filter.
    Dcp,
    /// Colour attenuation prior.
    Cap,
    /// Contrast-limited adaptive histogram equalisation of luma.
    Clahe,
    /// Multi-scale retinex and a gamma.
    Retinex,
    /// Leaves a part of the haze.
    Under,
    /// Too much contrast and colour, dark.
    Over,
    /// Dark channel prior without refinement, and then sharpened: bright seams along edges.
    Halo,
    /// A colour over everything.
    Cast,
    /// Noise, most where the haze was.
    Noise,
    /// Out of focus.
    Blur,
    /// The blocks of a strongly compressed file.
    Blocky,
}

impl Algorithm {
    /// All, in the order of the tables.
    pub const ALL: [Algorithm; 12] = [
        Algorithm::Oracle,
        Algorithm::Dcp,
        Algorithm::Cap,
        Algorithm::Clahe,
        Algorithm::Retinex,
        Algorithm::Under,
        Algorithm::Over,
        Algorithm::Halo,
        Algorithm::Cast,
        Algorithm::Noise,
        Algorithm::Blur,
        Algorithm::Blocky,
    ];

    /// As folders and tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Oracle => "oracle",
            Algorithm::Dcp => "dcp",
            Algorithm::Cap => "cap",
            Algorithm::Clahe => "clahe",
            Algorithm::Retinex => "retinex",
            Algorithm::Under => "under",
            Algorithm::Over => "over",
            Algorithm::Halo => "halo",
            Algorithm::Cast => "cast",
            Algorithm::Noise => "noise",
            Algorithm::Blur => "blur",
            Algorithm::Blocky => "blocky",
        }
    }

    /// Whether it errs on purpose, by some strength.
    fn is_graded(self) -> bool {
        !matches!(self, Algorithm::Dcp | Algorithm::Cap | Algorithm::Clahe | Algorithm::Retinex)
    }
}

/// A picture as the camera saw it, with what only its maker knows.
pub(crate) struct Hazy {
    pub(crate) picture: Rgb,
    pub(crate) haze: Haze,
    pub(crate) distance: Plane,
}

/// The algorithm's picture, as bytes hold it, and the strength of what is wrong with it (0 to 1; none where it is not
/// graded).
pub(crate) fn dehaze(algorithm: Algorithm, hazy: &Hazy, random: &mut Stream) -> (Rgb, Option<f32>) {
    let strength = algorithm.is_graded().then(|| random.unit());
    (graded(algorithm, hazy, strength.unwrap_or(0.0), random), strength)
}

/// At a given strength; everything else is drawn.
pub(crate) fn graded(algorithm: Algorithm, hazy: &Hazy, strength: f32, random: &mut Stream) -> Rgb {
    let picture = &hazy.picture;
    let made = match algorithm {
        Algorithm::Oracle => oracle(hazy, strength, random),
        Algorithm::Dcp => DarkChannel::PUBLISHED.dehaze(picture),
        Algorithm::Cap => priors::colour_attenuation(picture),
        Algorithm::Clahe => enhance::clahe(picture, random.between(1.5, 5.0)),
        Algorithm::Retinex => enhance::retinex(picture, random.between(0.75, 1.3)),
        Algorithm::Under => {
            let haze = Haze { beta: hazy.haze.beta * (0.3 + 0.7 * strength), ..hazy.haze };
            scattered(&base(hazy, random), &haze.transmission(&hazy.distance), haze.airlight)
        }
        Algorithm::Over => {
            let least = 0.1 - 0.06 * strength;
            let strong = DarkChannel { omega: 1.0, least, ..DarkChannel::PUBLISHED }.dehaze(picture);
            enhance::exaggerated(&strong, 0.3 + 1.0 * strength, 1.2 + 1.3 * strength)
        }
        Algorithm::Halo => {
            let side = picture.width().min(picture.height()) as f32;
            let radius = (side * random.between(0.03, 0.07)) as usize;
            let blocky = DarkChannel { radius, refined: false, ..DarkChannel::PUBLISHED }.dehaze(picture);
            enhance::sharpened(&blocky, side * 0.03, 0.1 + 0.9 * strength)
        }
        Algorithm::Cast => cast(&base(hazy, random), strength, random),
        Algorithm::Noise => noise(hazy, strength, random),
        Algorithm::Blur => {
            let sigma = picture.width() as f32 / 320.0 * (0.5 + 2.5 * strength);
            base(hazy, random).channels(|_, plane| gaussian(plane, sigma))
        }
        Algorithm::Blocky => jpeg::jpeg(&base(hazy, random), libm::expf(libm::logf(22.0) - strength * libm::logf(7.0))),
    };
    made.quantised()
}

/// What a failure starts from: a good picture in one of three ways.
fn base(hazy: &Hazy, random: &mut Stream) -> Rgb {
    match random.below(5) {
        0 => DarkChannel::PUBLISHED.dehaze(&hazy.picture),
        1 => priors::colour_attenuation(&hazy.picture),
        _ => oracle(hazy, 0.3, random),
    }
}

/// Transmission off by some percent, smoothly over the picture, airlight too.
fn oracle(hazy: &Hazy, strength: f32, random: &mut Stream) -> Rgb {
    let (width, height) = (hazy.picture.width(), hazy.picture.height());
    let error = wide_gaussian(&random.grain(width, height, 1.0), width as f32 * 0.1);
    let most = error.data.iter().fold(1e-6_f32, |most, value| most.max(value.abs()));
    let share = (0.03 + 0.25 * strength) / most;
    let t = hazy.haze.transmission(&hazy.distance).zip(&error, |t, error| t * (1.0 + share * error));
    let bias = (0.005 + 0.03 * strength) * random.between(-1.0, 1.0);
    let airlight = hazy.haze.airlight.map(|light| light + bias + 0.01 * strength * random.between(-1.0, 1.0));
    cleared(&hazy.picture, &t, airlight, 0.06)
}

/// Gains of a hue and its opposite.
fn cast(picture: &Rgb, strength: f32, random: &mut Stream) -> Rgb {
    let hue = random.between(0.0, std::f32::consts::TAU);
    let most = 0.06 + 0.4 * strength;
    let shift = [0.0, 2.1, 4.2].map(|turn| most * libm::cosf(hue + turn));
    picture.channels(|channel, plane| plane.map(|value| value * (1.0 + 0.8 * shift[channel]) + 0.2 * shift[channel]))
}

/// A noisy camera's picture, cleared: noise grows as 1/t.
fn noise(hazy: &Hazy, strength: f32, random: &mut Stream) -> Rgb {
    let (width, height) = (hazy.picture.width(), hazy.picture.height());
    let deviation = 0.012 + 0.075 * strength;
    let shared = random.grain(width, height, deviation);
    let grains = [0, 1, 2].map(|_| random.grain(width, height, deviation * 0.7));
    let t = hazy.haze.transmission(&hazy.distance).map(|t| 1.0 / t.max(0.35));
    let clean = base(hazy, random);
    clean.channels(|channel, plane| {
        let grain = shared.zip(&grains[channel], |shared, own| 0.7 * shared + own).zip(&t, |grain, gain| grain * gain);
        plane.zip(&grain, |value, noise| value + noise)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::{Compared, SIDE_MIN};
    use crate::scene::scene;

    fn hazy(number: u64) -> (Compared, Hazy) {
        let scene = scene(3, number, SIDE_MIN + 16, SIDE_MIN);
        let mut random = Stream::new(3, number, "haze");
        let haze = Haze::draw(&mut random);
        let picture = haze.over(&scene.clear, &scene.distance, &mut random);
        (Compared::new(&scene.clear), Hazy { picture, haze, distance: scene.distance })
    }

    #[test]
    fn a_stronger_failure_has_a_lower_label() {
        for number in 0..4 {
            let (truth, hazy) = hazy(number);
            for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_graded()) {
                let labels = [0.0, 0.35, 0.7, 1.0].map(|strength| {
                    let random = &mut Stream::new(3, number, algorithm.name());
                    truth.quality(&Compared::new(&graded(algorithm, &hazy, strength, random))).pseudo_mos()
                });
                assert!(labels.is_sorted_by(|a, b| a > b), "scene {number}, {}: {labels:?}", algorithm.name());
            }
        }
    }

    #[test]
    fn who_knows_the_truth_wins_and_dehazing_helps() {
        let mut means = [0.0; 4];
        for number in 0..12 {
            let (truth, hazy) = hazy(number);
            let label = |picture: &Rgb| truth.quality(&Compared::new(picture)).pseudo_mos();
            let made = |algorithm: Algorithm| dehaze(algorithm, &hazy, &mut Stream::new(3, number, algorithm.name())).0;
            let [oracle, dcp, cap] = [Algorithm::Oracle, Algorithm::Dcp, Algorithm::Cap].map(|name| label(&made(name)));
            for (mean, label) in means.iter_mut().zip([oracle, dcp, cap, label(&hazy.picture)]) {
                *mean += label / 12.0;
            }
        }
        let [oracle, dcp, cap, none] = means;
        assert!(oracle > dcp.max(cap) + 10.0 && dcp.min(cap) > none + 5.0, "{means:?}");
    }
}
