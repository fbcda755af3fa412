//! `dqa-coord submit` of a data set in tar files: scores equal those of the same pictures in files, and damaged tars are
//! reported.

use std::collections::BTreeMap;

use dqa_tests::TestDir;
use serde_json::Value;

const ALGORITHMS: [&str; 2] = ["aod", "dcp"];

/// `haze` in files, and the same pictures in tars: `packed` has a tar for each algorithm, `mixed` all in one.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&ALGORITHMS);
    let picture =
        |algorithm: &str, scene: u32| std::fs::read(dir.path(&format!("haze/{algorithm}/s{scene}.png"))).unwrap();
    for algorithm in ALGORITHMS {
        let members: Vec<_> = (0..3).map(|scene| (format!("s{scene}.png"), picture(algorithm, scene))).collect();
        dir.file(&format!("packed/{algorithm}.tar"), &build_tar(&members));
    }
    let all = (0..3)
        .flat_map(|scene| ALGORITHMS.map(|algorithm| (format!("{algorithm}/s{scene}.png"), picture(algorithm, scene))));
    dir.file("mixed/shard-000000.tar", &build_tar(&all.collect::<Vec<_>>()));
    let labels = std::fs::read(dir.path("haze/labels.csv")).unwrap();
    dir.file("mixed/labels.csv", &labels);
    let by_scene =
        String::from_utf8(labels).unwrap().replace("image,", "algorithm,scene,").replace('/', ",").replace(".png", "");
    dir.file("packed/labels.csv", by_scene.as_bytes());
    for (name, layout) in [("packed", "{algorithm}.tar/{scene}.png"), ("mixed", "shard-{}.tar/{algorithm}/{scene}.png")]
    {
        let toml =
            format!("name = \"{name}\"\nroot = \"{name}\"\nlayout = \"{layout}\"\n[labels]\nfile = \"labels.csv\"\n");
        dir.file(&format!("{name}.toml"), toml.as_bytes());
    }
    dir
}

fn build_tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Score, label and digest of each picture of a data set, by algorithm and scene.
fn rows(dir: &TestDir, dataset: &str) -> BTreeMap<(String, String), [Value; 3]> {
    let sql = format!("SELECT algorithm, scene, score, mos, digest FROM scores WHERE dataset = '{dataset}'");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: Value| {
        ((text(&row["algorithm"]), text(&row["scene"])), ["score", "mos", "digest"].map(|of| row[of].clone()))
    };
    let output = dir.run(&["query", &sql, "--all-runs", "--format", "json"]).exits_with(0);
    output.stdout.lines().map(|line| row(serde_json::from_str(line).unwrap())).collect()
}

#[test]
fn pictures_in_tars_are_scored_as_those_in_files() {
    let dir = setup();
    for name in ["haze", "packed", "mixed"] {
        let output = dir.run(&dir.submit(&format!("{name}.toml"), &[])).exits_with(0);
        assert!(output.stderr.contains("scored 6 pictures (0 failed)"), "{}", output.stderr);
        let again = dir.run(&dir.submit(&format!("{name}.toml"), &[])).exits_with(0);
        assert!(again.stderr.contains("nothing to score"), "{}", again.stderr);
        dir.run(&["dataset", "check", &format!("{name}.toml")]).exits_with(0);
    }
    let loose = rows(&dir, "haze");
    assert_eq!(loose.len(), 6);
    assert!(loose.values().flatten().all(|value| !value.is_null()));
    assert_eq!(rows(&dir, "packed"), loose, "equal to the bit");
    assert_eq!(rows(&dir, "mixed"), loose, "equal to the bit");
    let sql = "SELECT uri FROM scores WHERE image = 'packed/dcp.tar/s1.png' OR image = 'dcp.tar/s1.png'";
    let uris = dir.run(&["query", sql, "packed", "--format", "csv"]).exits_with(0);
    assert!(uris.stdout.contains("/packed/dcp.tar#offset="), "{}", uris.stdout);
}

#[test]
fn added_and_changed_tars_are_scored_alone() {
    let dir = setup();
    dir.run(&dir.submit("packed.toml", &["--name", "r"])).exits_with(0);
    let before = rows(&dir, "packed");
    let dcp = std::fs::read(dir.path("packed/dcp.tar")).unwrap();
    dir.file("packed/new.tar", &dcp);
    let output = dir.run(&dir.submit("packed.toml", &["--name", "r", "--allow-missing"])).exits_with(0);
    assert!(output.stderr.contains("scored 3 pictures"), "{}", output.stderr);
    let after = rows(&dir, "packed");
    assert!(before.iter().all(|(picture, row)| after[picture] == *row));

    let other = std::fs::read(dir.path("packed/aod.tar")).unwrap();
    dir.file("packed/new.tar", &other);
    let output = dir.run(&dir.submit("packed.toml", &["--name", "r", "--allow-missing"])).exits_with(0);
    assert!(output.stderr.contains("scored 3 pictures"), "{}", output.stderr);
    let score = |algorithm: &str| rows(&dir, "packed")[&(algorithm.to_owned(), "s1".to_owned())][0].clone();
    assert_eq!(score("new"), score("aod"));
}

#[test]
fn damaged_tars_are_reported_with_a_hint() {
    let dir = setup();
    let whole = std::fs::read(dir.path("packed/dcp.tar")).unwrap();
    dir.file("packed/dcp.tar", &whole[..whole.len() / 2]);
    let output = dir.run(&dir.submit("packed.toml", &[])).exits_with(2);
    assert!(output.stderr.contains("packed/dcp.tar") && output.stderr.contains("it is truncated"), "{}", output.stderr);

    std::fs::remove_file(dir.path("packed/dcp.tar")).unwrap();
    dir.file("packed/dcp.tar.gz", b"\x1f\x8b");
    let output = dir.run(&dir.submit("packed.toml", &[])).exits_with(2);
    assert!(output.stderr.contains("compressed with gzip") && output.stderr.contains("unpack it"), "{}", output.stderr);

    // A member that is no picture is a row with its code, as a file is.
    std::fs::remove_file(dir.path("packed/dcp.tar.gz")).unwrap();
    let bad = build_tar(&[("s0.png".to_owned(), b"no picture".to_vec()), ("s1.png".to_owned(), Vec::new())]);
    dir.file("packed/bad.tar", &bad);
    let output = dir.run(&dir.submit("packed.toml", &["--allow-missing"])).exits_with(1);
    assert!(output.stderr.contains("scored 5 pictures (2 failed)"), "{}", output.stderr);
}
