//! The algorithms of the data set: classical dehazing algorithms, an oracle that nearly knows the truth, and deliberate
//! failures. Each computes a picture from the hazy one; the strength of a failure is drawn for each scene.

mod contrast;
mod jpeg;
mod priors;

use priors::DarkChannel;

use crate::filters::{gaussian, wide_gaussian};
use crate::haze::{Haze, add_haze, remove_haze};
use crate::pixels::{Plane, Rgb};
use crate::rng::SceneRng;

/// An algorithm of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Inverts the haze with nearly the true transmission and airlight.
    Oracle,
    /// Dark channel prior with a guided filter.
    Dcp,
    /// Colour attenuation prior.
    Cap,
    /// Contrast-limited adaptive histogram equalisation of luma.
    Clahe,
    /// Multi-scale retinex with gamma correction.
    Retinex,
    /// Removes only a part of the haze.
    Under,
    /// Exaggerates contrast and colour, and darkens.
    Over,
    /// Dark channel prior without refinement, then sharpened, which leaves bright halos along edges.
    Halo,
    /// Adds a colour cast.
    Cast,
    /// Adds noise, most of all where the haze was dense.
    Noise,
    /// Blurs the picture.
    Blur,
    /// Adds the block artefacts of strong compression.
    Blocky,
}

impl Algorithm {
    /// All algorithms, in the order of the tables.
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

    /// Returns the name in folders and tables.
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

    /// Returns whether the algorithm has a deliberate error with a strength.
    fn is_graded(self) -> bool {
        !matches!(self, Algorithm::Dcp | Algorithm::Cap | Algorithm::Clahe | Algorithm::Retinex)
    }
}

/// A hazy picture with its true haze and distances.
pub(crate) struct HazyPicture {
    pub(crate) picture: Rgb,
    pub(crate) haze: Haze,
    pub(crate) distance: Plane,
}

/// Returns the algorithm's picture, rounded to bytes, and the strength of its deliberate error, 0 to 1; `None` if it has
/// none.
pub(crate) fn dehaze(algorithm: Algorithm, hazy: &HazyPicture, rng: &mut SceneRng) -> (Rgb, Option<f32>) {
    let strength = algorithm.is_graded().then(|| rng.unit());
    (dehaze_with_strength(algorithm, hazy, strength.unwrap_or(0.0), rng), strength)
}

/// Dehazes at a given strength of the error; all other parameters are drawn.
fn dehaze_with_strength(algorithm: Algorithm, hazy: &HazyPicture, strength: f32, rng: &mut SceneRng) -> Rgb {
    let picture = &hazy.picture;
    let output = match algorithm {
        Algorithm::Oracle => oracle(hazy, strength, rng),
        Algorithm::Dcp => DarkChannel::PUBLISHED.dehaze(picture),
        Algorithm::Cap => priors::colour_attenuation(picture),
        Algorithm::Clahe => contrast::clahe(picture, rng.uniform(1.5, 5.0)),
        Algorithm::Retinex => contrast::retinex(picture, rng.uniform(0.75, 1.3)),
        Algorithm::Under => {
            let haze = Haze { beta: hazy.haze.beta * (0.3 + 0.7 * strength), ..hazy.haze };
            add_haze(&base(hazy, rng), &haze.transmission(&hazy.distance), haze.airlight)
        }
        Algorithm::Over => {
            let transmission_min = 0.1 - 0.06 * strength;
            let strong = DarkChannel { omega: 1.0, transmission_min, ..DarkChannel::PUBLISHED }.dehaze(picture);
            contrast::exaggerate(&strong, 0.3 + 1.0 * strength, 1.2 + 1.3 * strength)
        }
        Algorithm::Halo => {
            let side = picture.width().min(picture.height()) as f32;
            let radius = (side * rng.uniform(0.03, 0.07)) as usize;
            let blocky = DarkChannel { radius, refined: false, ..DarkChannel::PUBLISHED }.dehaze(picture);
            contrast::sharpen(&blocky, side * 0.03, 0.1 + 0.9 * strength)
        }
        Algorithm::Cast => cast(&base(hazy, rng), strength, rng),
        Algorithm::Noise => noise(hazy, strength, rng),
        Algorithm::Blur => {
            let sigma = picture.width() as f32 / 320.0 * (0.5 + 2.5 * strength);
            base(hazy, rng).map_channels(|_, plane| gaussian(plane, sigma))
        }
        Algorithm::Blocky => {
            jpeg::compress(&base(hazy, rng), libm::expf(libm::logf(22.0) - strength * libm::logf(7.0)))
        }
    };
    output.quantised()
}

/// Returns the picture to which an error is added: a good one, dehazed in one of three ways.
fn base(hazy: &HazyPicture, rng: &mut SceneRng) -> Rgb {
    match rng.index(5) {
        0 => DarkChannel::PUBLISHED.dehaze(&hazy.picture),
        1 => priors::colour_attenuation(&hazy.picture),
        _ => oracle(hazy, 0.3, rng),
    }
}

/// Removes the haze with the true transmission and airlight up to an error of some percent, which is smooth over the
/// picture.
fn oracle(hazy: &HazyPicture, strength: f32, rng: &mut SceneRng) -> Rgb {
    let (width, height) = (hazy.picture.width(), hazy.picture.height());
    let error = wide_gaussian(&rng.gaussian_noise(width, height, 1.0), width as f32 * 0.1);
    let most = error.data.iter().fold(1e-6_f32, |most, value| most.max(value.abs()));
    let share = (0.03 + 0.25 * strength) / most;
    let t = hazy.haze.transmission(&hazy.distance).zip(&error, |t, error| t * (1.0 + share * error));
    let bias = (0.005 + 0.03 * strength) * rng.uniform(-1.0, 1.0);
    let airlight = hazy.haze.airlight.map(|light| light + bias + 0.01 * strength * rng.uniform(-1.0, 1.0));
    remove_haze(&hazy.picture, &t, airlight, 0.06)
}

/// Adds a colour cast: amplifies one hue and attenuates its opposite.
fn cast(picture: &Rgb, strength: f32, rng: &mut SceneRng) -> Rgb {
    let hue = rng.uniform(0.0, std::f32::consts::TAU);
    let most = 0.06 + 0.4 * strength;
    let shift = [0.0, 2.1, 4.2].map(|offset| most * libm::cosf(hue + offset));
    picture
        .map_channels(|channel, plane| plane.map(|value| value * (1.0 + 0.8 * shift[channel]) + 0.2 * shift[channel]))
}

/// Adds the noise that dehazing a noisy picture leaves, which grows as 1/t.
fn noise(hazy: &HazyPicture, strength: f32, rng: &mut SceneRng) -> Rgb {
    let (width, height) = (hazy.picture.width(), hazy.picture.height());
    let deviation = 0.012 + 0.075 * strength;
    let shared = rng.gaussian_noise(width, height, deviation);
    let grains = [0, 1, 2].map(|_| rng.gaussian_noise(width, height, deviation * 0.7));
    let t = hazy.haze.transmission(&hazy.distance).map(|t| 1.0 / t.max(0.35));
    let clean = base(hazy, rng);
    clean.map_channels(|channel, plane| {
        let grain = shared.zip(&grains[channel], |shared, own| 0.7 * shared + own).zip(&t, |grain, gain| grain * gain);
        plane.zip(&grain, |value, noise| value + noise)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::{QualityFeatures, SIDE_MIN};
    use crate::scene::generate_scene;

    fn hazy(number: u64) -> (QualityFeatures, HazyPicture) {
        let scene = generate_scene(3, number, SIDE_MIN + 16, SIDE_MIN);
        let mut rng = SceneRng::new(3, number, "haze");
        let haze = Haze::draw(&mut rng);
        let picture = haze.apply(&scene.clear, &scene.distance, &mut rng);
        (QualityFeatures::new(&scene.clear), HazyPicture { picture, haze, distance: scene.distance })
    }

    #[test]
    fn a_stronger_failure_has_a_lower_label() {
        for number in 0..4 {
            let (truth, hazy) = hazy(number);
            for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_graded()) {
                let labels = [0.0, 0.35, 0.7, 1.0].map(|strength| {
                    let rng = &mut SceneRng::new(3, number, algorithm.name());
                    truth
                        .quality(&QualityFeatures::new(&dehaze_with_strength(algorithm, &hazy, strength, rng)))
                        .pseudo_mos()
                });
                assert!(labels.is_sorted_by(|a, b| a > b), "scene {number}, {}: {labels:?}", algorithm.name());
            }
        }
    }

    #[test]
    fn the_oracle_is_best_and_dehazing_improves_the_input() {
        let mut means = [0.0; 4];
        for number in 0..12 {
            let (truth, hazy) = hazy(number);
            let label = |picture: &Rgb| truth.quality(&QualityFeatures::new(picture)).pseudo_mos();
            let output =
                |algorithm: Algorithm| dehaze(algorithm, &hazy, &mut SceneRng::new(3, number, algorithm.name())).0;
            let [oracle, dcp, cap] =
                [Algorithm::Oracle, Algorithm::Dcp, Algorithm::Cap].map(|algorithm| label(&output(algorithm)));
            for (mean, label) in means.iter_mut().zip([oracle, dcp, cap, label(&hazy.picture)]) {
                *mean += label / 12.0;
            }
        }
        let [oracle, dcp, cap, none] = means;
        assert!(oracle > dcp.max(cap) + 10.0 && dcp.min(cap) > none + 5.0, "{means:?}");
    }
}
