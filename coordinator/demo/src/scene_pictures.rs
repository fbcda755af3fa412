//! All pictures of one scene with their quality.

use crate::dehaze::{Algorithm, HazyPicture, dehaze};
use crate::haze::Haze;
use crate::options::DatasetOptions;
use crate::pixels::Rgb;
use crate::quality::{Quality, QualityFeatures};
use crate::rng::SceneRng;
use crate::scene::generate_scene;

/// All pictures of a scene, rounded to bytes.
pub(crate) struct ScenePictures {
    pub(crate) kind: &'static str,
    pub(crate) haze: Haze,
    clear: Rgb,
    hazy: Rgb,
    pub(crate) hazy_quality: Quality,
    pub(crate) outputs: Vec<Output>,
}

/// The picture of one algorithm.
pub(crate) struct Output {
    pub(crate) algorithm: Algorithm,
    /// The strength of the deliberate failure, 0 to 1; `None` for an algorithm without one.
    pub(crate) strength: Option<f32>,
    pub(crate) quality: Quality,
    picture: Rgb,
}

impl ScenePictures {
    /// Returns the pictures with the names of their folders.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = (&'static str, &Rgb)> {
        let outputs = self.outputs.iter().map(|output| (output.algorithm.name(), &output.picture));
        [("clear", &self.clear), ("hazy", &self.hazy)].into_iter().chain(outputs)
    }
}

/// Generates the pictures of a scene. They depend on the seed and the size of the pictures, and not on the number of
/// scenes.
pub(crate) fn generate_scene_pictures(options: &DatasetOptions, number: u64) -> ScenePictures {
    let scene = generate_scene(options.seed, number, options.width, options.height);
    let clear = scene.clear.quantised();
    let truth = QualityFeatures::new(&clear);
    let mut rng = SceneRng::new(options.seed, number, "haze");
    let haze = Haze::draw(&mut rng);
    let picture = haze.apply(&clear, &scene.distance, &mut rng);
    let hazy = HazyPicture { picture, haze, distance: scene.distance };
    let outputs = Algorithm::ALL.map(|algorithm| {
        let (picture, strength) = dehaze(algorithm, &hazy, &mut SceneRng::new(options.seed, number, algorithm.name()));
        Output { algorithm, strength, quality: truth.quality(&QualityFeatures::new(&picture)), picture }
    });
    let hazy_quality = truth.quality(&QualityFeatures::new(&hazy.picture));
    ScenePictures { kind: scene.kind, haze, clear, hazy: hazy.picture, hazy_quality, outputs: outputs.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models have been trained on these pictures, and their cards name the command that generates them.
    #[test]
    fn pictures_and_labels_stay_as_they_are() {
        let options = DatasetOptions { name: "demo".to_owned(), scenes: 1, width: 192, height: 176, seed: 1 };
        let found: Vec<(u64, i32)> = [0, 5, 17]
            .map(|number| {
                let scene = generate_scene_pictures(&options, number);
                let bytes = scene.pictures().flat_map(|(_, picture)| picture.to_bytes());
                let labels: f32 = scene.outputs.iter().map(|output| output.quality.pseudo_mos()).sum();
                (
                    bytes.fold(0, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
                    (labels * 100.0) as i32,
                )
            })
            .into();
        let expected = [
            (14_763_146_354_777_701_600, 69_424),
            (1_539_516_783_437_702_644, 72_122),
            (6_427_468_173_682_911_116, 61_578),
        ];
        assert_eq!(found, expected);
    }
}
