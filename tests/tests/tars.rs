//! `dqa-coord submit` of a data set in tars: scored as the same pictures in files are, and what is damaged is said.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;

use dqa_tests::TestDir;
use serde_json::Value;

const ALGORITHMS: [&str; 2] = ["aod", "dcp"];

/// `haze` in files, and the same pictures in tars: `packed` has a tar for each algorithm, `mixed` all in one.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&ALGORITHMS);
    let picture =
        |algorithm: &str, scene: u32| std::fs::read(place.path(&format!("haze/{algorithm}/s{scene}.png"))).unwrap();
    for algorithm in ALGORITHMS {
        let members: Vec<_> = (0..3).map(|scene| (format!("s{scene}.png"), picture(algorithm, scene))).collect();
        place.file(&format!("packed/{algorithm}.tar"), &tar_of(&members));
    }
    let all = (0..3)
        .flat_map(|scene| ALGORITHMS.map(|algorithm| (format!("{algorithm}/s{scene}.png"), picture(algorithm, scene))));
    place.file("mixed/shard-000000.tar", &tar_of(&all.collect::<Vec<_>>()));
    let labels = std::fs::read(place.path("haze/labels.csv")).unwrap();
    place.file("mixed/labels.csv", &labels);
    let by_scene =
        String::from_utf8(labels).unwrap().replace("image,", "algorithm,scene,").replace('/', ",").replace(".png", "");
    place.file("packed/labels.csv", by_scene.as_bytes());
    for (name, layout) in [("packed", "{algorithm}.tar/{scene}.png"), ("mixed", "shard-{}.tar/{algorithm}/{scene}.png")]
    {
        let toml =
            format!("name = \"{name}\"\nroot = \"{name}\"\nlayout = \"{layout}\"\n[labels]\nfile = \"labels.csv\"\n");
        place.file(&format!("{name}.toml"), toml.as_bytes());
    }
    place
}

fn tar_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Score, label and digest of each picture of a data set, by algorithm and scene.
fn rows(place: &TestDir, dataset: &str) -> BTreeMap<(String, String), [Value; 3]> {
    let sql = format!("SELECT algorithm, scene, score, mos, digest FROM scores WHERE dataset = '{dataset}'");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: Value| {
        ((text(&row["algorithm"]), text(&row["scene"])), ["score", "mos", "digest"].map(|of| row[of].clone()))
    };
    let said = place.run(&["query", &sql, "--all-runs", "--format", "json"]).ends_with(0);
    said.out.lines().map(|line| row(serde_json::from_str(line).unwrap())).collect()
}

#[test]
fn pictures_in_tars_are_scored_as_those_in_files() {
    let place = place();
    for name in ["haze", "packed", "mixed"] {
        let said = place.run(&place.submit(&format!("{name}.toml"), &[])).ends_with(0);
        assert!(said.err.contains("scored 6 pictures (0 failed)"), "{}", said.err);
        let again = place.run(&place.submit(&format!("{name}.toml"), &[])).ends_with(0);
        assert!(again.err.contains("nothing to score"), "{}", again.err);
        place.run(&["dataset", "check", &format!("{name}.toml")]).ends_with(0);
    }
    let loose = rows(&place, "haze");
    assert_eq!(loose.len(), 6);
    assert!(loose.values().flatten().all(|value| !value.is_null()));
    assert_eq!(rows(&place, "packed"), loose, "equal to the bit");
    assert_eq!(rows(&place, "mixed"), loose, "equal to the bit");
    let sql = "SELECT uri FROM scores WHERE image = 'packed/dcp.tar/s1.png' OR image = 'dcp.tar/s1.png'";
    let uris = place.run(&["query", sql, "packed", "--format", "csv"]).ends_with(0);
    assert!(uris.out.contains("/packed/dcp.tar#offset="), "{}", uris.out);
}

#[test]
fn a_tar_more_is_scored_alone_and_a_changed_one_again() {
    let place = place();
    place.run(&place.submit("packed.toml", &["--name", "r"])).ends_with(0);
    let before = rows(&place, "packed");
    let dcp = std::fs::read(place.path("packed/dcp.tar")).unwrap();
    place.file("packed/new.tar", &dcp);
    let said = place.run(&place.submit("packed.toml", &["--name", "r", "--allow-missing"])).ends_with(0);
    assert!(said.err.contains("scored 3 pictures"), "{}", said.err);
    let after = rows(&place, "packed");
    assert!(before.iter().all(|(picture, row)| after[picture] == *row));

    let other = std::fs::read(place.path("packed/aod.tar")).unwrap();
    place.file("packed/new.tar", &other);
    let said = place.run(&place.submit("packed.toml", &["--name", "r", "--allow-missing"])).ends_with(0);
    assert!(said.err.contains("scored 3 pictures"), "{}", said.err);
    let score = |algorithm: &str| rows(&place, "packed")[&(algorithm.to_owned(), "s1".to_owned())][0].clone();
    assert_eq!(score("new"), score("aod"));
}

#[test]
fn what_is_damaged_says_where_and_what_to_do() {
    let place = place();
    let whole = std::fs::read(place.path("packed/dcp.tar")).unwrap();
    place.file("packed/dcp.tar", &whole[..whole.len() / 2]);
    let said = place.run(&place.submit("packed.toml", &[])).ends_with(2);
    assert!(said.err.contains("packed/dcp.tar") && said.err.contains("it is truncated"), "{}", said.err);

    std::fs::remove_file(place.path("packed/dcp.tar")).unwrap();
    place.file("packed/dcp.tar.gz", b"\x1f\x8b");
    let said = place.run(&place.submit("packed.toml", &[])).ends_with(2);
    assert!(said.err.contains("compressed with gzip") && said.err.contains("unpack it"), "{}", said.err);

    // A member that is no picture is a row with its code, as a file is.
    std::fs::remove_file(place.path("packed/dcp.tar.gz")).unwrap();
    let bad = tar_of(&[("s0.png".to_owned(), b"no picture".to_vec()), ("s1.png".to_owned(), Vec::new())]);
    place.file("packed/bad.tar", &bad);
    let said = place.run(&place.submit("packed.toml", &["--allow-missing"])).ends_with(1);
    assert!(said.err.contains("scored 5 pictures (2 failed)"), "{}", said.err);
}
