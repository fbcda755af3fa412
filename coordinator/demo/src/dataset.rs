//! The files of a data set: pictures, pseudo-labels and a definition. A file is written completely or not at all. A
//! file that exists with the same bytes is left as it is, so that its scores stay valid.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use rayon::prelude::*;

use crate::dehaze::Algorithm;
use crate::options::DatasetOptions;
use crate::pixels::Rgb;
use crate::quality::{SIDE_MAX, SIDE_MIN};
use crate::scene_pictures::{ScenePictures, generate_scene_pictures};

/// Why a data set could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The size of the pictures is out of range.
    #[error("pictures of {width}x{height} cannot be made: each side must be {SIDE_MIN} to {SIDE_MAX} pixels")]
    Size {
        /// The width in pixels.
        width: usize,
        /// The height in pixels.
        height: usize,
    },
    /// The folder contains a file that would become part of the data set.
    #[error("{path} is not a picture of these {scenes} scenes: use another folder, or remove the file")]
    Foreign {
        /// The file.
        path: String,
        /// The number of scenes of the data set.
        scenes: u64,
    },
    /// A folder cannot be created or listed.
    #[error("cannot use the folder {path}")]
    Folder {
        /// The folder.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

/// The files of a generated data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedDataset {
    /// The path of the definition, for `--datasets`.
    pub definition: PathBuf,
    /// The number of pictures, including the hazy and the clear ones.
    pub pictures: u64,
    /// The number of files that were missing or different, and so were written.
    pub written: u64,
}

/// The folders of pictures that are not the output of an algorithm.
const INPUTS: [&str; 2] = ["hazy", "clear"];

/// The file of the labels.
const LABELS: &str = "pseudo-mos.csv";

/// Generates the data set in a folder. `scene_done` is called after each scene, from any thread.
///
/// # Errors
/// If the size is out of range, the folder contains other pictures, or a file cannot be written.
pub fn generate_dataset(
    folder: &Path,
    options: &DatasetOptions,
    scene_done: &(dyn Fn() + Sync),
) -> Result<GeneratedDataset, DemoError> {
    let (width, height) = (options.width, options.height);
    if [width, height].iter().any(|side| !(SIDE_MIN..=SIDE_MAX).contains(side)) {
        return Err(DemoError::Size { width, height });
    }
    prepare_folders(folder, options.scenes)?;
    let written = AtomicU64::new(0);
    let write = |name: &str, bytes: &[u8]| -> Result<(), DemoError> {
        written.fetch_add(u64::from(write_if_changed(&folder.join(name), bytes)?), Ordering::Relaxed);
        Ok(())
    };
    let rows: Vec<(String, String)> = (0..options.scenes)
        .into_par_iter()
        .map(|number| {
            let scene = generate_scene_pictures(options, number);
            for (name, picture) in scene.pictures() {
                write(&format!("{name}/{}.png", scene_name(number)), &encode_png(picture))?;
            }
            scene_done();
            Ok((label_rows(number, &scene), scene_row(number, &scene)))
        })
        .collect::<Result<_, DemoError>>()?;
    let (labels, scenes): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
    write(LABELS, (LABEL_COLUMNS.to_owned() + &labels.concat()).as_bytes())?;
    write("scenes.csv", (SCENE_COLUMNS.to_owned() + &scenes.concat()).as_bytes())?;
    write("README.md", readme(options).as_bytes())?;
    let definition = format!("{}.toml", options.name);
    write(&definition, definition_toml(options).as_bytes())?;
    let pictures = options.scenes * (Algorithm::ALL.len() + INPUTS.len()) as u64;
    Ok(GeneratedDataset { definition: folder.join(definition), pictures, written: written.into_inner() })
}

fn scene_name(number: u64) -> String {
    format!("s{number:05}")
}

/// Creates the folders, and checks that they only contain files of this data set: others would be scored with it.
fn prepare_folders(folder: &Path, scenes: u64) -> Result<(), DemoError> {
    let expected: BTreeSet<String> = (0..scenes).map(|number| scene_name(number) + ".png").collect();
    for name in Algorithm::ALL.map(Algorithm::name).into_iter().chain(INPUTS) {
        let folder = folder.join(name);
        let folder_error = |source| DemoError::Folder { path: folder.display().to_string(), source };
        fs::create_dir_all(&folder).map_err(folder_error)?;
        for entry in fs::read_dir(&folder).map_err(folder_error)? {
            let entry = entry.map_err(folder_error)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !expected.contains(&name) && !name.ends_with(PARTIAL) {
                return Err(DemoError::Foreign { path: entry.path().display().to_string(), scenes });
            }
        }
    }
    Ok(())
}

/// The suffix of files that are being written.
const PARTIAL: &str = ".partial";

/// Writes a file unless it has these bytes already. Returns whether it was written.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, DemoError> {
    if fs::read(path).is_ok_and(|existing| existing == bytes) {
        return Ok(false);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|source| DemoError::Write { path: path.display().to_string(), source })?;
    Ok(true)
}

fn encode_png(picture: &Rgb) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let written = encoder.write_image(&picture.to_bytes(), width, height, image::ExtendedColorType::Rgb8);
    written.expect("writing to memory succeeds");
    file
}

const LABEL_COLUMNS: &str = "image,pseudo_mos,scene,algorithm,strength,ms_ssim,gmsd,ciede2000\n";

fn label_rows(number: u64, pictures: &ScenePictures) -> String {
    let scene = scene_name(number);
    let mut rows = String::new();
    for output in &pictures.outputs {
        let (name, quality) = (output.algorithm.name(), output.quality);
        let strength = output.strength.map_or_else(String::new, |strength| format!("{strength:.4}"));
        let mos = quality.pseudo_mos();
        let (ssim, gmsd, colour) = (quality.ms_ssim, quality.gmsd, quality.ciede2000);
        writeln!(rows, "{name}/{scene}.png,{mos:.3},{scene},{name},{strength},{ssim:.5},{gmsd:.5},{colour:.3}")
            .expect("writing to a string succeeds");
    }
    rows
}

const SCENE_COLUMNS: &str = "scene,kind,beta,airlight_red,airlight_green,airlight_blue,noise,hazy_pseudo_mos\n";

fn scene_row(number: u64, pictures: &ScenePictures) -> String {
    let ([red, green, blue], haze) = (pictures.haze.airlight, pictures.haze);
    format!(
        "{},{},{:.4},{red:.4},{green:.4},{blue:.4},{:.5},{:.3}\n",
        scene_name(number),
        pictures.kind,
        haze.beta,
        haze.noise,
        pictures.hazy_quality.pseudo_mos()
    )
}

fn definition_toml(options: &DatasetOptions) -> String {
    format!(
        "# Synthetic pictures; labels are pseudo: computed from the clear pictures, nobody's opinion. README.md says how.\n\
         name = \"{}\"\nroot = \".\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n\n\
         [hazy]\nlayout = \"hazy/{{scene}}.png\"\n\n[clear]\nlayout = \"clear/{{scene}}.png\"\n\n\
         [labels]\nfile = \"{LABELS}\"\nmos = \"pseudo_mos\"\nrange = [0, 100]\n",
        options.name
    )
}

fn readme(options: &DatasetOptions) -> String {
    let DatasetOptions { name, scenes, width, height, seed } = options;
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

    fn options(scenes: u64) -> DatasetOptions {
        DatasetOptions { name: "demo".to_owned(), scenes, width: 192, height: SIDE_MIN, seed: 7 }
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

    fn generate(folder: &Path, scenes: u64, threads: usize) -> GeneratedDataset {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let count = AtomicU64::new(0);
        let generated = pool.install(|| {
            generate_dataset(folder, &options(scenes), &|| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), scenes);
        generated.unwrap()
    }

    #[test]
    fn a_scene_depends_on_its_seed_and_size_only() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let first = generate(one.path(), 2, 1);
        assert_eq!((first.pictures, first.written), (2 * 14, 2 * 14 + 4));
        generate(other.path(), 3, 3);
        for (path, bytes) in files(one.path()).into_iter().filter(|(path, _)| path.extension().unwrap() == "png") {
            let same = other.path().join(path.strip_prefix(one.path()).unwrap());
            assert!(fs::read(&same).unwrap() == bytes, "{}", same.display());
        }
        assert_eq!(generate(one.path(), 2, 2).written, 0);
        // One more scene adds its pictures, and changes both tables and the README.
        assert_eq!(generate(one.path(), 3, 2).written, 14 + 3);
        assert_eq!(files(one.path()).len(), files(other.path()).len());
        let labels = fs::read_to_string(one.path().join(LABELS)).unwrap();
        assert_eq!(labels.lines().count(), 1 + 3 * 12);
    }

    #[test]
    fn foreign_files_and_invalid_sizes_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dcp")).unwrap();
        fs::write(folder.path().join("dcp/s00001.png"), b"").unwrap();
        let error = generate_dataset(folder.path(), &options(1), &|| ()).unwrap_err().to_string();
        assert!(error.contains("dcp/s00001.png is not a picture of these 1 scenes"), "{error}");
        let small = DatasetOptions { height: SIDE_MIN - 1, ..options(1) };
        let error = generate_dataset(folder.path(), &small, &|| ()).unwrap_err().to_string();
        assert_eq!(error, "pictures of 192x175 cannot be made: each side must be 176 to 4096 pixels");
    }
}
