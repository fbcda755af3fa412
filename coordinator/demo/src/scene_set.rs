//! All pictures of one scene, with what they are worth.

use crate::dehaze::{Hazy, dehaze};
use crate::haze::Haze;
use crate::plane::Rgb;
use crate::quality::{Compared, Quality};
use crate::random::Stream;
use crate::scene::scene;
use crate::{Algorithm, Demo};

/// A scene in all its pictures, as bytes hold them.
pub(crate) struct SceneSet {
    pub(crate) kind: &'static str,
    pub(crate) haze: Haze,
    clear: Rgb,
    hazy: Rgb,
    pub(crate) hazy_quality: Quality,
    pub(crate) outputs: Vec<Output>,
}

/// One algorithm's picture.
pub(crate) struct Output {
    pub(crate) algorithm: Algorithm,
    /// How much it was made to fail, 0 to 1.
    pub(crate) strength: Option<f32>,
    pub(crate) quality: Quality,
    picture: Rgb,
}

impl SceneSet {
    /// By folder.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = (&'static str, &Rgb)> {
        let outputs = self.outputs.iter().map(|output| (output.algorithm.name(), &output.picture));
        [("clear", &self.clear), ("hazy", &self.hazy)].into_iter().chain(outputs)
    }
}

/// The set of a scene's number; it depends on the demo's seed and size, and not on how many scenes there are.
pub(crate) fn scene_set(demo: &Demo, number: u64) -> SceneSet {
    let scene = scene(demo.seed, number, demo.width, demo.height);
    let clear = scene.clear.quantised();
    let truth = Compared::new(&clear);
    let mut random = Stream::new(demo.seed, number, "haze");
    let haze = Haze::draw(&mut random);
    let picture = haze.over(&clear, &scene.distance, &mut random);
    let hazy = Hazy { picture, haze, distance: scene.distance };
    let outputs = Algorithm::ALL.map(|algorithm| {
        let (picture, strength) = dehaze(algorithm, &hazy, &mut Stream::new(demo.seed, number, algorithm.name()));
        Output { algorithm, strength, quality: truth.quality(&Compared::new(&picture)), picture }
    });
    let hazy_quality = truth.quality(&Compared::new(&hazy.picture));
    SceneSet { kind: scene.kind, haze, clear, hazy: hazy.picture, hazy_quality, outputs: outputs.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models have been trained on these pictures, and their cards name the command that makes them.
    #[test]
    fn pictures_and_labels_stay_as_they_are() {
        let demo = Demo { name: "demo".to_owned(), scenes: 1, width: 192, height: 176, seed: 1 };
        let found: Vec<(u64, i32)> = [0, 5, 17]
            .map(|number| {
                let set = scene_set(&demo, number);
                let bytes = set.pictures().flat_map(|(_, picture)| picture.to_bytes());
                let labels: f32 = set.outputs.iter().map(|output| output.quality.pseudo_mos()).sum();
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
