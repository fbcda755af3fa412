//! The data set as files: pictures, pseudo-labels, a definition. A file is written whole or not at all; one that is there
//! with the same bytes stays as it is, so that what was scored stays scored.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use rayon::prelude::*;

use crate::plane::Rgb;
use crate::quality::{SIDE_MAX, SIDE_MIN};
use crate::scene_set::{SceneSet, scene_set};
use crate::{Algorithm, Demo};

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A size that cannot be made.
    #[error("pictures of {width}x{height} cannot be made: each side must be {SIDE_MIN} to {SIDE_MAX} pixels")]
    Size {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
    },
    /// A file that would be part of the data set and is not.
    #[error("{path} is not a picture of these {scenes} scenes: give another folder, or take it away")]
    Foreign {
        /// The file.
        path: String,
        /// How many were asked for.
        scenes: u64,
    },
    /// A folder cannot be made or listed.
    #[error("cannot use the folder {path}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What is in the folder now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The definition, for `--datasets`.
    pub definition: PathBuf,
    /// Pictures, with the hazy and the clear ones.
    pub pictures: u64,
    /// Files that were not there, or different.
    pub written: u64,
}

/// Folders of what is not an algorithm's.
const INPUTS: [&str; 2] = ["hazy", "clear"];

/// What the labels are called, as a file and as a column.
const LABELS: &str = "pseudo-mos.csv";

/// Makes the data set in a folder; `scene_done` is called after each scene, from any thread.
///
/// # Errors
/// A size that cannot be made; other pictures in the folder; what cannot be written.
pub fn make(folder: &Path, demo: &Demo, scene_done: &(dyn Fn() + Sync)) -> Result<Made, DemoError> {
    let (width, height) = (demo.width, demo.height);
    if [width, height].iter().any(|side| !(SIDE_MIN..=SIDE_MAX).contains(side)) {
        return Err(DemoError::Size { width, height });
    }
    prepare(folder, demo.scenes)?;
    let written = AtomicU64::new(0);
    let put = |name: &str, bytes: &[u8]| -> Result<(), DemoError> {
        written.fetch_add(u64::from(put(&folder.join(name), bytes)?), Ordering::Relaxed);
        Ok(())
    };
    let rows: Vec<(String, String)> = (0..demo.scenes)
        .into_par_iter()
        .map(|number| {
            let set = scene_set(demo, number);
            for (name, picture) in set.pictures() {
                put(&format!("{name}/{}.png", scene_name(number)), &png(picture))?;
            }
            scene_done();
            Ok((label_rows(number, &set), scene_row(number, &set)))
        })
        .collect::<Result<_, DemoError>>()?;
    let (labels, scenes): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
    put(LABELS, (LABEL_COLUMNS.to_owned() + &labels.concat()).as_bytes())?;
    put("scenes.csv", (SCENE_COLUMNS.to_owned() + &scenes.concat()).as_bytes())?;
    put("README.md", readme(demo).as_bytes())?;
    let definition = format!("{}.toml", demo.name);
    put(&definition, definition_toml(demo).as_bytes())?;
    let pictures = demo.scenes * (Algorithm::ALL.len() + INPUTS.len()) as u64;
    Ok(Made { definition: folder.join(definition), pictures, written: written.into_inner() })
}

fn scene_name(number: u64) -> String {
    format!("s{number:05}")
}

/// Makes the folders; what is in them must be of this data set, or it would be scored with it.
fn prepare(folder: &Path, scenes: u64) -> Result<(), DemoError> {
    let expected: BTreeSet<String> = (0..scenes).map(|number| scene_name(number) + ".png").collect();
    for name in Algorithm::ALL.map(Algorithm::name).into_iter().chain(INPUTS) {
        let folder = folder.join(name);
        let failed = |source| DemoError::Folder { path: folder.display().to_string(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !expected.contains(&name) && !name.ends_with(PARTIAL) {
                return Err(DemoError::Foreign { path: entry.path().display().to_string(), scenes });
            }
        }
    }
    Ok(())
}

/// Ends the names of files that are being written.
const PARTIAL: &str = ".partial";

/// Whether the file had to be written.
fn put(path: &Path, bytes: &[u8]) -> Result<bool, DemoError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|source| DemoError::Write { path: path.display().to_string(), source })?;
    Ok(true)
}

fn png(picture: &Rgb) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let written = encoder.write_image(&picture.to_bytes(), width, height, image::ExtendedColorType::Rgb8);
    written.expect("memory takes any picture");
    file
}

const LABEL_COLUMNS: &str = "image,pseudo_mos,scene,algorithm,strength,ms_ssim,gmsd,ciede2000\n";

fn label_rows(number: u64, set: &SceneSet) -> String {
    let scene = scene_name(number);
    let mut rows = String::new();
    for output in &set.outputs {
        let (name, quality) = (output.algorithm.name(), output.quality);
        let strength = output.strength.map_or_else(String::new, |strength| format!("{strength:.4}"));
        let mos = quality.pseudo_mos();
        let (ssim, gmsd, colour) = (quality.ms_ssim, quality.gmsd, quality.ciede2000);
        writeln!(rows, "{name}/{scene}.png,{mos:.3},{scene},{name},{strength},{ssim:.5},{gmsd:.5},{colour:.3}")
            .expect("text grows");
    }
    rows
}

const SCENE_COLUMNS: &str = "scene,kind,beta,airlight_red,airlight_green,airlight_blue,noise,hazy_pseudo_mos\n";

fn scene_row(number: u64, set: &SceneSet) -> String {
    let ([red, green, blue], haze) = (set.haze.airlight, set.haze);
    format!(
        "{},{},{:.4},{red:.4},{green:.4},{blue:.4},{:.5},{:.3}\n",
        scene_name(number),
        set.kind,
        haze.beta,
        haze.noise,
        set.hazy_quality.pseudo_mos()
    )
}

fn definition_toml(demo: &Demo) -> String {
    format!(
        "# Synthetic pictures; labels are pseudo: computed from the clear pictures, nobody's opinion. README.md says how.\n\
         name = \"{}\"\nroot = \".\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n\n\
         [hazy]\nlayout = \"hazy/{{scene}}.png\"\n\n[clear]\nlayout = \"clear/{{scene}}.png\"\n\n\
         [labels]\nfile = \"{LABELS}\"\nmos = \"pseudo_mos\"\nrange = [0, 100]\n",
        demo.name
    )
}

fn readme(demo: &Demo) -> String {
    let Demo { name, scenes, width, height, seed } = demo;
    format!(
        "# {name}: a synthetic data set of dehazed pictures\n\n\
         Made with dqa, a benchmark of image dehazing, by\n\n    \
         dqa-coord demo make DIR --scenes {scenes} --width {width} --height {height} --seed {seed} --name {name}\n\n\
         No photograph and nobody's work is in it; use it as you like. Scenes are rendered by a program, haze is\n\
         I = J t + A (1 - t) with t = exp(-beta d), dehazed pictures are those of {} programs, some of which fail on\n\
         purpose.\n\n\
         - `ALGORITHM/SCENE.png` dehazed, `hazy/SCENE.png` what was given, `clear/SCENE.png` the truth\n\
         - `{LABELS}`: `pseudo_mos`, 0 to 100, higher is better: computed from MS-SSIM, GMSD and CIEDE2000 between a\n  \
           picture and the clear one. It is a pseudo-label: nobody has rated these pictures. `strength`: how much a\n  \
           picture's algorithm was made to fail.\n\
         - `scenes.csv`: the kind of each scene and its haze\n\
         - `{name}.toml`: the definition, for `dqa-coord submit --datasets`\n",
        Algorithm::ALL.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(scenes: u64) -> Demo {
        Demo { name: "demo".to_owned(), scenes, width: 192, height: SIDE_MIN, seed: 7 }
    }

    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.extend(self::files(&path));
            } else {
                files.push((path.clone(), fs::read(path).unwrap()));
            }
        }
        files.sort();
        files
    }

    fn made(folder: &Path, scenes: u64, threads: usize) -> Made {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let count = AtomicU64::new(0);
        let made = pool.install(|| {
            make(folder, &demo(scenes), &|| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), scenes);
        made.unwrap()
    }

    #[test]
    fn a_scene_depends_on_nothing_but_its_seed_and_size() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let first = made(one.path(), 2, 1);
        assert_eq!((first.pictures, first.written), (2 * 14, 2 * 14 + 4));
        made(other.path(), 3, 3);
        for (path, bytes) in files(one.path()).into_iter().filter(|(path, _)| path.extension().unwrap() == "png") {
            let same = other.path().join(path.strip_prefix(one.path()).unwrap());
            assert!(fs::read(&same).unwrap() == bytes, "{}", same.display());
        }
        assert_eq!(made(one.path(), 2, 2).written, 0);
        // One more scene: its pictures, both tables, the README.
        assert_eq!(made(one.path(), 3, 2).written, 14 + 3);
        assert_eq!(files(one.path()).len(), files(other.path()).len());
        let left = fs::read_to_string(one.path().join(LABELS)).unwrap();
        assert_eq!(left.lines().count(), 1 + 3 * 12);
    }

    #[test]
    fn other_pictures_and_bad_sizes_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dcp")).unwrap();
        fs::write(folder.path().join("dcp/s00001.png"), b"").unwrap();
        let error = make(folder.path(), &demo(1), &|| ()).unwrap_err().to_string();
        assert!(error.contains("dcp/s00001.png is not a picture of these 1 scenes"), "{error}");
        let small = Demo { height: SIDE_MIN - 1, ..demo(1) };
        let error = make(folder.path(), &small, &|| ()).unwrap_err().to_string();
        assert_eq!(error, "pictures of 192x175 cannot be made: each side must be 176 to 4096 pixels");
    }
}
