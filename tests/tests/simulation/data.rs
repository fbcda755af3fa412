//! The data sets of a simulation: some pictures of some algorithms, in the simulated store.

use std::collections::BTreeSet;

use dqa_testkit::Picture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::world::World;

pub(super) const DATASETS: [&str; 3] = ["city", "coast", "hills"];
pub(super) const ALGORITHMS: [&str; 3] = ["aod", "dcp", "ffa"];

/// Writes the pictures of all data sets.
pub(super) fn write(world: &World, random: &mut ChaCha8Rng) {
    for dataset in DATASETS {
        let scenes = random.random_range(3..=12);
        for scene in 0..scenes {
            add_scene(world, dataset, scene);
        }
        label(world, dataset, random.random());
    }
}

/// Writes a scene's pictures by all algorithms.
pub(super) fn add_scene(world: &World, dataset: &str, scene: u32) {
    let png = Picture::synthetic(1, 24, 16).png();
    for algorithm in ALGORITHMS {
        put(world, &format!("data/{dataset}/{algorithm}/s{scene:03}.png"), png.clone());
    }
}

/// Writes labels of some scenes.
pub(super) fn label(world: &World, dataset: &str, seed: u8) {
    let mut text = "image,mos\n".to_owned();
    for algorithm in ALGORITHMS {
        for scene in 0..3_u8 {
            let mos = f64::from(blake3::hash(&[seed, scene]).as_bytes()[0]) / 256.0;
            text += &format!("{algorithm}/s{scene:03}.png,{mos}\n");
        }
    }
    put(world, &format!("data/{dataset}/labels.csv"), text.into_bytes());
}

/// Returns the addresses of the pictures of a data set.
pub(super) fn pictures(world: &World, dataset: &str) -> BTreeSet<String> {
    let prefix = Path::from(format!("data/{dataset}"));
    let listed = world.objects.plain().list(Some(&prefix)).collect::<Vec<_>>().now_or_never();
    let listed = listed.expect("memory answers at once").into_iter();
    let keys = listed.map(|object| object.expect("memory does not fail").location.to_string());
    keys.filter(|key| key.ends_with(".png")).map(|key| format!("{}{key}", world.origin)).collect()
}

/// Returns the definition of a data set.
pub(super) fn definition(world: &World, dataset: &str) -> String {
    let root = format!("{}data/{dataset}", world.origin);
    format!(
        "name = \"{dataset}\"\nroot = \"{root}\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n[labels]\nfile = \"labels.csv\"\nrange = [0, 1]\n"
    )
}

fn put(world: &World, key: &str, bytes: Vec<u8>) {
    let put = world.objects.plain().put(&Path::from(key), bytes.into()).now_or_never();
    put.expect("memory answers at once").expect("memory does not fail");
}
