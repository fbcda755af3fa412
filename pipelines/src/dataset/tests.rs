//! Data sets as they are found: folders of the structure that each has, with files that are only named as pictures (no
//! test here looks into one), and the tables of `tests/fixtures`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};

use super::*;
use crate::causes;
use crate::dataset::PictureHeader;
use crate::store::Store;
use crate::tables::parquet_file;
use std::collections::BTreeSet;

mod references;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const READY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/datasets");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/shrq-aerial");
const METHODS: [&str; 10] = ["FVR", "DCP", "BayD", "CAP", "NLD", "MSCNN", "DehazeNet", "AOD-Net", "DCPDN", "GFN"];

/// A working directory.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn pictures<T: AsRef<str>>(&self, names: impl IntoIterator<Item = T>) {
        names.into_iter().for_each(|name| self.file(name.as_ref(), "not looked at"));
    }

    /// Makes a folder with a bundled definition, and the fixture's tables where the definition expects its data.
    fn ready(name: &str, data: &str) -> Dir {
        let dir = Dir::new();
        dir.file(
            &format!("configs/datasets/{name}.toml"),
            std::fs::read(Path::new(READY).join(format!("{name}.toml"))).unwrap(),
        );
        std::fs::create_dir_all(dir.path(&format!("data/{data}"))).unwrap();
        dir
    }

    fn fixture(&self, from: &str, to: &str) {
        self.file(to, std::fs::read(Path::new(FIXTURES).join(from)).unwrap());
    }

    fn find(&self, text: &str) -> Result<Definition, DatasetError> {
        find_definition(text, self.0.path())
    }

    async fn load(&self, text: &str) -> Result<DataSet, DatasetError> {
        load(&self.find(text)?).await
    }

    /// Loads the data set of a definition, which is written to `d.toml`.
    async fn define(&self, toml: &str) -> Result<DataSet, DatasetError> {
        self.file("d.toml", toml);
        self.load("d.toml").await
    }
}

fn unlooked(data: &DataSet) -> CheckReport {
    check(data, &|_| None)
}

fn names(data: &DataSet) -> Vec<String> {
    data.algorithms().iter().map(ToString::to_string).collect()
}

fn picture<'d>(data: &'d DataSet, image: &str) -> &'d Picture {
    data.pictures.iter().find(|picture| &*picture.image == image).unwrap()
}

#[tokio::test]
async fn the_least_definition_is_enough() {
    let dir = Dir::new();
    dir.pictures(["set/park_He09.png", "set/park_Lai12.png", "set/rail_way_He09.png"]);
    dir.file("set/labels.csv", "image,mos\n");
    let data = dir.define("name = \"s\"\nroot = \"set\"\nlayout = \"{scene}_{algorithm}.png\"").await.unwrap();
    assert_eq!(names(&data), ["He09", "Lai12"]);
    assert_eq!(&*picture(&data, "rail_way_He09.png").scene, "rail_way");
    assert!(!data.is_labelled && data.faults.is_empty());
    assert!(unused_labels(&data).await.unwrap().ends_with("set/labels.csv"), "it is hinted at, not taken");
    let check = unlooked(&data);
    assert!(!check.is_complete());
    assert_eq!((check.counts.expected, check.counts.present, check.counts.missing), (4, 3, 1));
    assert_eq!((&*check.cells[0].scene, check.cells[0].algorithm.as_str()), ("rail_way", "Lai12"));
    assert_eq!(find_definition(&dir.path("d.toml").display().to_string(), Path::new("/")).unwrap().name, data.name);
    let again: Definition = toml::from_str(&data.definition).unwrap();
    assert_eq!(load(&again).await.unwrap().pictures, data.pictures, "the record's definition is the whole definition");
}

#[tokio::test]
async fn a_folder_is_enough_where_it_can_be_laid_out_in_one_way_only() {
    let cases: [(&[&str], Result<&str, &str>); 6] = [
        (&["dcp/1.png", "dcp/2.JPG", "aod/1.png", "notes.txt"], Ok("{algorithm}/{scene}.{ext}")),
        (&["a_b_dcp.png", "a_aod.webp"], Ok("{scene}_{algorithm}.{ext}")),
        (&["dcp/imgs/1.png", "aod/imgs/1.png"], Ok("{algorithm}/imgs/{image}.{ext}")),
        (
            &["dcp/1.png", "a_dcp.png"],
            Err("of 2 pictures 1 as {algorithm}/{scene}.{ext}, 1 as {scene}_{algorithm}.{ext}"),
        ),
        (&["dcp/x/1.png"], Err("none match a common layout, and there is dcp/x/1.png")),
        (&["notes.txt"], Err("no pictures")),
    ];
    for (files, expected) in cases {
        let dir = Dir::new();
        dir.pictures(files.iter().map(|file| format!("results/{file}")));
        match (dir.load("results").await, expected) {
            (Ok(data), Ok(layout)) => {
                assert_eq!(data.name.as_str(), "results");
                assert!(data.definition.contains(layout), "{}", data.definition);
            }
            (Err(error), Err(text)) => {
                assert!(causes(&error).to_string().contains(text), "{}", causes(&error))
            }
            (got, _) => panic!("{files:?}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_an_error_with_near_names() {
    let dir = Dir::ready("exbedde", "exBeDDE");
    dir.file("configs/datasets/dhq.toml", "name = \"other\"\nroot = \".\"");
    dir.file("bad.toml", "name = \"x\"\nroot = \".\"\nlayuot = \"y\"");
    dir.file("two.toml", "name = \"x\"\nroot = \".\"\nlayout = \"{algorithm}/{scene}.png\"\nimporter = \"dhq\"");
    let error = |text: &str| causes(&dir.find(text).unwrap_err()).to_string();
    assert!(error("exbede").ends_with("similar names: exbedde"), "{}", error("exbede"));
    assert!(error("nothing/of.toml").contains("nothing/of.toml"));
    assert!(error("bad.toml").contains("layuot"), "{}", error("bad.toml"));
    assert!(error("two.toml").contains("only one of layout"), "{}", error("two.toml"));
    assert!(error("dhq").contains("should define `dhq`"), "{}", error("dhq"));
    assert_eq!(super::definition_names(dir.0.path()), ["bedde", "dhq", "exbedde", "shrq-aerial", "shrq-regular"]);
    dir.pictures(["r/dehazeformer/1.png", "r/dcp/1.png"]);
    let select =
        async |name: &str| dir.load("r").await.unwrap().select(&AlgorithmSelection::Named(vec![name.to_owned()]));
    assert_eq!(names(&select("dcp").await.unwrap()), ["dcp"]);
    assert!(causes(&select("dehazefromer").await.unwrap_err()).to_string().ends_with("similar names: dehazeformer"));
    assert!(causes(&select("xyz").await.unwrap_err()).to_string().ends_with("it has dcp, dehazeformer"));
}

#[tokio::test]
async fn names_that_are_none_need_an_alias_and_have_it() {
    let dir = Dir::new();
    dir.pictures(["set/my net/1.png", "set/AOD/1.png"]);
    let toml = "name = \"s\"\nroot = \"set\"\nlayout = \"{algorithm}/{scene}.png\"\n";
    let error = causes(&dir.define(toml).await.unwrap_err()).to_string();
    assert!(error.contains("[algorithms] \"my net\" ="), "{error}");
    let data = dir.define(&format!("{toml}[algorithms]\n\"my net\" = \"my-net\"\nAOD = \"AOD-Net\"")).await.unwrap();
    assert_eq!(names(&data), ["AOD-Net", "my-net"]);
}

#[tokio::test]
async fn scenes_of_image_names_and_their_inputs() {
    let dir = Dir::new();
    dir.pictures(["out/dcp/imgs/0005_0.8_0.04.png", "out/dcp/imgs/0005_0.9_0.1.png", "out/aod/imgs/0005_0.8_0.04.png"]);
    dir.pictures(["out/dcp/imgs/odd.png", "hazy/0005_0.8_0.04.jpg", "hazy/0005_0.9_0.1.jpg"]);
    let data = dir
        .define(
            "name = \"out\"\nroot = \".\"\nlayout = \"{dataset}/{algorithm}/imgs/{image}.png\"\nscene = \"{scene}_{}_{}\"\n\
             [hazy]\nroot = \"hazy\"\nlayout = \"{image}.jpg\"",
        )
        .await
        .unwrap();
    assert_eq!(data.scenes, [Scene { key: SceneKey::ungrouped("0005"), pictures: 2 }]);
    let second = picture(&data, "out/dcp/imgs/0005_0.9_0.1.png");
    let hazy = &data.inputs[second.hazy.unwrap() as usize];
    assert!(data.uri(hazy).ends_with("/hazy/0005_0.9_0.1.jpg"), "{}", data.uri(hazy));
    let check = unlooked(&data);
    assert_eq!((check.counts.missing, check.counts.duplicate), (1, 0), "aod has one of the scene's two");
    let faults: Vec<String> = data.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["1 picture files match no layout: out/dcp/imgs/odd.png"]);
}

#[tokio::test]
async fn the_check_finds_every_kind_of_problem() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/a/1.jpg", "s/a/2.png", "s/b/1.png", "s/c/1.png", "s/c/2.png"]);
    dir.pictures(["s/hazy/1.png", "s/hazy/2.png", "s/x/y/z.png"]);
    dir.file("s/mos.csv", "scene,algorithm,mos\n1,b,0.5\n1,c,0.25\n2,c,1\n1,a,0.75\n3,a,0\n2,a,\n");
    let data = dir
        .define(
            "name = \"s\"\nroot = \"s\"\nlayout = \"{algorithm}/{scene}.{ext}\"\n\
             [hazy]\nlayout = \"hazy/{scene}.png\"\n[labels]\nfile = \"mos.csv\"\nrange = [0, 1]",
        )
        .await
        .unwrap();
    let header = |picture: &Picture| match &*picture.image {
        "c/1.png" => Some(PictureHeader::Unreadable { code: "corrupt".into(), message: "it ends early".into() }),
        "c/2.png" => Some(PictureHeader::Size { width: 10, height: 20 }),
        _ => Some(PictureHeader::Size { width: 20, height: 10 }),
    };
    let check = check(&data, &header);
    insta::assert_snapshot!(check, @"
    data set s: 3 algorithms x 2 scenes, 5 of 6 pictures

      algorithm  pictures  missing  duplicate  unlabelled  unlike input  unreadable
      a                 2        0          1           2             0           0
      b                 1        1          0           0             0           0
      c                 2        0          0           0             1           1

    scene  a   b   c
    1      d   .   x
    2      .   -   s
    . complete  - missing  d duplicate  u unlabelled  s other size  x unreadable

    a/1.jpg, a/1.png are one picture
    c/1.png: corrupt: it ends early
    c/2.png is 10x20, its hazy input 20x10

    1 picture files match no layout: x/y/z.png

    1 labels have no picture: 3 by a; `a` has no scene `3`; it has `1`

    1 labels fit more than one picture: 1 by a; they give no picture a label; a row must say which one it means, by the columns `scene` and `algorithm` or by more of its path

    1 rows have no label (an empty cell, N/A, NaN, -)
    ");
    assert_eq!(check.counts.missing + check.counts.duplicate + check.counts.unreadable, 3);
}

#[tokio::test]
async fn labels_are_turned_and_held_to_their_range() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/b/1.png", "s/b/2.png"]);
    let labels = |text: &str, more: &str| {
        dir.file("s/l.csv", text);
        let layout = "name = \"s\"\nroot = \"s\"\nlayout = \"{algorithm}/{scene}.png\"\n[labels]\nfile = \"l.csv\"\n";
        format!("{layout}{more}")
    };
    let mos = async |text: &str, more: &str| {
        let data = dir.define(&labels(text, more)).await.map_err(|error| causes(&error).to_string())?;
        Ok::<_, String>(data.pictures.iter().map(|picture| picture.mos).collect::<Vec<_>>())
    };
    let table = "\u{feff}image,mos\nx\\a\\1.png,1\nb/1.png,2\nb/2.png,nan\n";
    assert_eq!(mos(table, "").await.unwrap(), [Some(1.0), Some(2.0), None]);
    assert_eq!(mos(table, "direction = \"lower\"").await.unwrap(), [Some(-1.0), Some(-2.0), None]);
    assert_eq!(mos(table, "direction = \"lower\"\nrange = [0, 5]").await.unwrap(), [Some(4.0), Some(3.0), None]);
    for (table, more, part) in [
        (table, "range = [0, 1]", "the label 2 of `b/1.png` is outside 0 to 1"),
        (table, "mos = \"score\"", "no column `score`; it has image, mos"),
        (table, "image = \"image\"\nscene = \"s\"", "not both"),
        ("image,mos\na/1.png,good\n", "", "line 2: `good` in the column `mos` is not a number"),
        ("image,mos\na/1.png,1\na/1.png,2\n", "", "two labels: 1 and 2"),
        ("image,mos\n,1\n", "", "line 2 has no `image`"),
        ("x,mos\n1,1\n", "", "no column `image`, nor the columns `scene` and `algorithm`; it has x, mos"),
    ] {
        let error = mos(table, more).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let data = dir.define(&labels("image,mos\n1.png,1\nc/9.png,1\nb/2.png,1\n", "")).await.unwrap();
    let kinds: Vec<FaultKind> = data.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::LabelWithoutPicture, FaultKind::AmbiguousLabel]);
}

/// Makes sub-folders of benchmarks, each with scenes numbered from 01.
fn grouped() -> Dir {
    let dir = Dir::new();
    let mut labels = String::from("image,mos\n");
    for (number, group) in ["O-HAZE", "NH-HAZE"].iter().flat_map(|group| [group; 6]).enumerate() {
        let (algorithm, scene) = (["AOD-Net", "DCP"][number % 2], number % 6 / 2 + 1);
        dir.pictures([
            format!("results/{algorithm}/{group}/{scene:02}.png"),
            format!("results/hazy/{group}/{scene:02}.png"),
        ]);
        labels += &format!("{algorithm}/{group}/{scene:02}.png,{number}\n");
    }
    dir.file("results/mos.csv", labels);
    dir
}

const GROUPED: &str = "name = \"real-haze\"\nroot = \"results\"\nlayout = \"{algorithm}/{group}/{scene}.png\"\n\
                       [hazy]\nlayout = \"hazy/{group}/{scene}.png\"\n[labels]\n";

#[tokio::test]
async fn a_scene_belongs_to_its_group() {
    let dir = grouped();
    let data = dir.define(&format!("{GROUPED}file = \"mos.csv\"")).await.unwrap();
    let check = unlooked(&data);
    assert!(check.is_clean(), "{check}");
    assert!(
        check.to_string().starts_with("data set real-haze: 2 algorithms x 6 scenes, 12 of 12 pictures\n"),
        "{check}"
    );
    let scenes: Vec<String> = data.scenes.iter().map(|scene| scene.key.to_string()).collect();
    assert_eq!(scenes, ["NH-HAZE/01", "O-HAZE/01", "NH-HAZE/02", "O-HAZE/02", "NH-HAZE/03", "O-HAZE/03"]);
    let mos: BTreeSet<u64> = data.pictures.iter().map(|picture| picture.mos.unwrap() as u64).collect();
    assert_eq!((mos.len(), data.inputs.len()), (12, 6), "each has its own");
    for picture in &data.pictures {
        let hazy = &data.inputs[picture.hazy.unwrap() as usize].image;
        assert!(picture.image.ends_with(hazy.strip_prefix("hazy").unwrap()), "{} and {hazy}", picture.image);
    }
    std::fs::remove_file(dir.path("results/DCP/O-HAZE/01.png")).unwrap();
    let check = unlooked(&dir.load("d.toml").await.unwrap());
    assert_eq!((check.counts.missing, check.counts.duplicate, &*check.cells[0].scene), (1, 0, "O-HAZE/01"));
}

#[tokio::test]
async fn labels_of_scenes_in_groups_name_the_group() {
    let dir = grouped();
    let mos = async |table: &str, more: &str| {
        dir.file("results/l.csv", table);
        let data = dir
            .define(&format!("{GROUPED}file = \"l.csv\"\n{more}"))
            .await
            .map_err(|error| causes(&error).to_string())?;
        let labelled = data.pictures.iter().filter(|picture| picture.mos.is_some());
        Ok::<_, String>(labelled.map(|picture| picture.image.to_string()).collect::<Vec<_>>())
    };
    let expected = Ok(vec!["DCP/O-HAZE/02.png".to_owned()]);
    for (table, more) in [
        ("group,scene,algorithm,mos\nO-HAZE,02,DCP,1\n", ""),
        ("Benchmark,scene,algorithm,mos\nO-HAZE,02,DCP,1\n", "group = \"Benchmark\""),
        ("scene,algorithm,mos\nO-HAZE/02,DCP,1\n", ""),
        ("scene_group,scene,algorithm,mos\nO-HAZE,2,DCP,1\n", "ignore = \"zeros\""),
    ] {
        assert_eq!(mos(table, more).await, expected, "{table}");
    }
    let error = mos("scene,algorithm,mos\n02,DCP,1\n", "").await.unwrap_err();
    assert!(error.contains("1 of them fit more than one picture"), "{error}");
    dir.file(
        "results/r.csv",
        "algorithm,scene,scene_group,uri\nDCP,1,O,DCP/O-HAZE/01.png\nDCP,1,NH,DCP/NH-HAZE/01.png\nDCP,1,X,x.png\n",
    );
    let data = dir.load("results/r.csv").await.unwrap();
    let check = unlooked(&data);
    assert_eq!((check.scenes, check.counts.missing, check.counts.duplicate), (3, 1, 0));
    assert_eq!(check.cells[0].scene, "X/1");
}

#[tokio::test]
async fn dhq_is_imported_by_its_numbers() {
    let dir = Dir::ready("dhq", "DHQ");
    dir.fixture("dhq/MOS.mat", "data/DHQ/MOS.mat");
    dir.pictures((1..=21).map(|number| format!("data/DHQ/Dehaze/{number:04}.png")));
    dir.pictures((1..=3).map(|number| format!("data/DHQ/Haze/{number:04}.png")));
    let data = dir.load("dhq").await.unwrap();
    assert_eq!((data.pictures.len(), data.scenes.len(), names(&data).len(), data.inputs.len()), (21, 3, 7, 3));
    assert!(unlooked(&data).is_clean());
    // 1 + 7 * scene + algorithm, both from 0.
    let one = picture(&data, "Dehaze/0010.png");
    assert_eq!(
        (&*one.scene, one.algorithm.as_str(), one.mos),
        ("0002", "algorithm3", Some(f64::from(37 * 9 % 101) + 0.25))
    );
    assert_eq!(&*data.inputs[one.hazy.unwrap() as usize].image, "Haze/0002.png");
    std::fs::remove_file(dir.path("data/DHQ/Dehaze/0010.png")).unwrap();
    let data = dir.load("dhq").await.unwrap();
    let check = unlooked(&data);
    assert!(!check.is_complete());
    assert_eq!((check.counts.missing, &*check.cells[0].scene), (1, "0002"));
    assert_eq!(data.faults[0].to_string(), "1 files that a table names are missing: Dehaze/0010.png");
}

#[tokio::test]
async fn shrq_is_imported_by_its_names() {
    let dir = Dir::ready("shrq-aerial", "SHRQ/Aerial");
    dir.fixture("shrq/MOS.mat", "data/SHRQ/Aerial/MOS.mat");
    for scene in ["park", "rail_way"] {
        let algorithms = ["Berman16", "Cai16", "Fattal08", "He09", "Lai12", "Meng13", "Tarel09", "Xiao12"];
        dir.pictures(algorithms.map(|algorithm| format!("data/SHRQ/Aerial/dehazed/{scene}_{algorithm}.png")));
        dir.pictures([format!("data/SHRQ/Aerial/hazy/{scene}.png")]);
    }
    let data = dir.load("shrq-aerial").await.unwrap();
    assert!(unlooked(&data).is_clean());
    assert_eq!((data.scenes.len(), names(&data).len(), data.inputs.len()), (2, 8, 2));
    let last = picture(&data, "dehazed/rail_way_Xiao12.png");
    assert_eq!((&*last.scene, last.mos), ("rail_way", Some(1.0)));
}

#[tokio::test]
async fn exbedde_is_imported_with_its_labels_turned() {
    let dir = Dir::ready("exbedde", "exBeDDE");
    for group in ["beijing_1", "beijing_2", "wuhan_1"] {
        let city = group.split('_').next().unwrap();
        let table = format!("{city}/{group}/{group}_scores.mat");
        dir.fixture(&format!("exbedde/{table}"), &format!("data/exBeDDE/{table}"));
        dir.pictures(METHODS.map(|method| format!("data/exBeDDE/{city}/{group}/{group}_{method}.png")));
        dir.pictures([
            format!("data/exBeDDE/{city}/fog/{group}.png"),
            format!("data/exBeDDE/{city}/gt/{city}_clear.png"),
        ]);
        dir.pictures([format!("data/exBeDDE/{city}/mask/{group}_mask.png")]);
    }
    let data = dir.load("exbedde").await.unwrap();
    assert!(unlooked(&data).is_clean(), "{}", unlooked(&data));
    assert_eq!((data.pictures.len(), data.scenes.len(), data.inputs.len()), (30, 3, 3));
    // One clear picture serves each city.
    assert_eq!(data.clear_pictures.len(), 2);
    for picture in &data.pictures {
        let clear = data.reference(picture, ReferenceKind::Clear).unwrap();
        let city = picture.scene_group.as_deref().unwrap();
        assert_eq!(*clear.image, *format!("{city}/gt/{city}_clear.png"), "{}", picture.image);
    }
    assert_eq!(data.protocol, Some(Protocol::Exbedde));
    let one = picture(&data, "wuhan/wuhan_1/wuhan_1_FVR.png");
    assert_eq!((one.algorithm.as_str(), &*one.scene, one.scene_group.as_deref()), ("FVR", "wuhan_1", Some("wuhan")));
    assert!((one.mos.unwrap() - (1.0001 - 0.2616)).abs() < 1e-12);
}

#[tokio::test]
async fn bedde_has_what_was_made_of_it() {
    let dir = Dir::ready("bedde", "BeDDE");
    let files = [
        "fog/sian_1.png",
        "fog/sian_2.png",
        "gt/sian_clear.png",
        "mask/sian_1_mask.png",
        "my_net_3/sian_1_my_net_3.png",
    ];
    dir.pictures(files.map(|file| format!("data/BeDDE/sian/{file}")));
    dir.pictures(
        ["my_net_3/sian_2.png", "DCP/sian_1.png", "DCP/sian_2.png"].map(|file| format!("data/BeDDE/sian/{file}")),
    );
    let data = dir.load("bedde").await.unwrap();
    assert!(unlooked(&data).is_clean(), "{}", unlooked(&data));
    assert_eq!(names(&data), ["DCP", "my_net_3"]);
    assert_eq!(&*picture(&data, "sian/my_net_3/sian_1_my_net_3.png").scene, "sian_1");
    assert!(data.pictures.iter().all(|picture| picture.hazy.is_some() && picture.mos.is_none()));
    assert!(data.pictures.iter().all(|picture| picture.clear == Some(0)));
}

#[tokio::test]
async fn manifests_name_pictures_wherever_they_are() {
    type Row = (&'static str, &'static str, &'static str, String, f64, &'static str);
    let dir = Dir::new();
    dir.pictures(["set/a/1.png", "elsewhere/1.png", "set/hazy/1.png"]);
    let elsewhere = dir.path("elsewhere/1.png").canonicalize().unwrap().display().to_string();
    let rows: [Row; 4] = [
        ("set", "a", "1", "a\\1.png".to_owned(), 0.5, "hazy/1.png"),
        ("set", "b", "1", elsewhere, 0.25, "hazy/1.png"),
        ("set", "b", "2", "b/2.png".to_owned(), 0.75, ""),
        ("other", "c", "1", "c/1.png".to_owned(), 0.0, ""),
    ];
    let lines = rows.iter().map(|(dataset, algorithm, scene, uri, mos, hazy)| {
        format!("{dataset},{algorithm},{scene},{uri},{mos},{hazy}\n")
    });
    dir.file("set/set.csv", format!("dataset,algorithm,scene,uri,mos,hazy_uri\n{}", lines.collect::<String>()));
    let text =
        |of: fn(&Row) -> String| Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>()) as ArrayRef;
    let mos: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.4)).collect::<Float64Array>());
    let columns =
        [("dataset", text(|r| r.0.into())), ("algorithm", text(|r| r.1.into())), ("scene", text(|r| r.2.into()))];
    let more = [("uri", text(|r| r.3.clone())), ("mos", mos), ("hazy_uri", text(|r| r.5.into()))];
    let batch = RecordBatch::try_from_iter(columns.into_iter().chain(more)).unwrap();
    dir.file("set/set.parquet", parquet_file::write(&batch.schema(), std::slice::from_ref(&batch), &[]).unwrap());
    for file in ["set/set.csv", "set/set.parquet"] {
        let data = dir.load(file).await.unwrap();
        assert_eq!(data.pictures.len(), 2, "{file}");
        let (a, b) = (&data.pictures[0], &data.pictures[1]);
        assert_eq!((&*a.image, a.uri.as_deref(), a.mos, a.hazy), ("a/1.png", None, Some(0.5), Some(0)));
        assert_eq!(&*data.inputs[0].image, "hazy/1.png");
        assert!(data.uri(b).starts_with("file://") && data.uri(b).ends_with("elsewhere/1.png"), "{}", data.uri(b));
        assert!(!unlooked(&data).is_complete(), "scene 2 is named and not there");
        assert_eq!(data.scenes.len(), 2);
    }
    dir.file("set/odd.csv", "dataset,algorithm,uri\nset,a,a/1.png\n");
    assert!(
        causes(&dir.load("set/odd.csv").await.unwrap_err())
            .to_string()
            .contains("no rows of data set `odd`; it has set")
    );
    dir.file("set/set.csv", "algorithm,uri\na,a/1.png\na,a/1.png\n");
    assert!(causes(&dir.load("set/set.csv").await.unwrap_err()).to_string().contains("two rows name `a/1.png` by a"));
}

/// Uses the real data set: 48 of its pictures, and its labels in MATLAB files.
#[tokio::test]
async fn the_real_shrq_aerial_is_labelled_the_same_from_each_of_its_files() {
    if !Path::new(SHARED).is_dir() {
        eprintln!("skipped: {SHARED} is not there");
        return;
    }
    let load = async |labels: &str| {
        let dir = Dir::new();
        let root = Path::new(SHARED).canonicalize().unwrap();
        dir.define(&format!(
            "name = \"shrq-aerial\"\nroot = \"{}\"\nlayout = \"dehazed/{{scene}}_{{algorithm}}.png\"\n\
             [hazy]\nlayout = \"hazy/{{scene}}.png\"\n[labels]\n{labels}",
            root.display()
        ))
        .await
        .unwrap()
    };
    let csv = load("file = \"labels.csv\"").await;
    let by_scene = load("file = \"labels.csv\"\nscene = \"scene\"\nalgorithm = \"algorithm\"").await;
    let mat = "file = \"shrq_aerial_test_data.mat\"\nimage = \"test_img_name\"\nmos = \"test_img_mos\"\nrange = [0, 1]";
    let mat = load(mat).await;
    assert_eq!((csv.pictures.len(), names(&csv).len(), csv.inputs.len()), (48, 8, 6));
    assert!(csv.pictures.iter().all(|picture| picture.mos.is_some()) && csv.faults.is_empty());
    assert_eq!(csv.pictures, mat.pictures);
    assert_eq!(csv.pictures, by_scene.pictures);
    // Its other file has labels only, scaled to 0..1 in f32, in the order of the first.
    let scaled =
        load("file = \"result.mat\"\nimage_file = \"shrq_aerial_test_data.mat\"\nimage = \"test_img_name\"").await;
    let most = csv.pictures.iter().filter_map(|picture| picture.mos).fold(0.0, f64::max);
    for (one, other) in csv.pictures.iter().zip(&scaled.pictures) {
        assert!((one.mos.unwrap() / most - other.mos.unwrap()).abs() < 1e-7, "{}", one.image);
    }
    assert_eq!(unlooked(&csv).counts.missing, 8 * csv.scenes.len() as u64 - 48, "a part of it only");
}

#[tokio::test]
async fn a_large_listing_is_matched_and_checked() {
    // Algorithm 3 lacks every seventh scene.
    let picture = |algorithm: u32, scene: u32| Picture {
        algorithm: format!("a{algorithm}").parse().unwrap(),
        scene: format!("{scene:05}").into(),
        scene_group: None,
        image: format!("a{algorithm}/{scene:05}.png").into(),
        uri: None,
        bytes: 1,
        version: "v".into(),
        mos: None,
        raters: None,
        hazy: None,
        clear: None,
    };
    let all = (0..20).flat_map(|a| (0..5000).filter(move |s| a != 3 || s % 7 > 0).map(move |s| picture(a, s)));
    let data = DataSet::new("d".parse().unwrap(), Store::open("/", Path::new("")).unwrap(), all.collect());
    let check = unlooked(&data);
    assert_eq!((check.counts.expected, check.counts.missing), (100_000, 715));
    let text = check.to_string();
    assert!(text.lines().count() < 80 && text.contains("and 675 more scenes"), "{text}");
}

#[tokio::test]
async fn an_algorithm_without_labels_is_one_line_of_the_check() {
    let dir = Dir::new();
    for algorithm in ["dcp", "aod", "new"] {
        dir.pictures([1, 2, 3].map(|scene| format!("s/{algorithm}/{scene}.png")).iter().map(String::as_str));
    }
    let labels =
        ["dcp", "aod"].iter().flat_map(|algorithm| [1, 2, 3].map(|scene| format!("{scene},{algorithm},0.5\n")));
    dir.file("s/mos.csv", &("scene,algorithm,mos\n".to_owned() + &labels.collect::<String>()));
    let definition = "name = \"s\"\nroot = \"s\"\nlayout = \"{algorithm}/{scene}.png\"\n[labels]\nfile = \"mos.csv\"\n";
    let data = dir.define(definition).await.unwrap();
    insta::assert_snapshot!(check(&data, &|_| None), @"
    data set s: 3 algorithms x 3 scenes, 9 of 9 pictures
    2 algorithms are complete
    new: none of its 3 pictures has a label
    ");
}
