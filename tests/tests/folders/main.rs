//! The programs on folders and buckets as they are found: what is beside the pictures is told, and the six pictures are taken.

#![allow(clippy::unwrap_used)] // helpers too

#[cfg(unix)]
mod forbidden;
mod odd_bucket;

use dqa_tests::TestDir;

/// `haze` of two algorithms and three scenes, with what people's disks have beside it.
fn littered() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    std::fs::remove_file(place.path("haze/labels.csv")).unwrap();
    for name in ["dcp/._s0.png", ".DS_Store", "@eaDir/dcp/s0.png/X.jpg", "dcp/.ipynb_checkpoints/s0-checkpoint.png"] {
        place.file(&format!("haze/{name}"), b"\0\x05\x16\x07");
    }
    place.file("haze/teaser.png", b"no picture either");
    place.file("haze/readme.txt", b"text");
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let odd = place.path("haze").join(OsStr::from_bytes(b"\xcb\xb5\xc3\xf7.txt"));
        std::fs::write(odd, "text").unwrap();
        std::os::unix::fs::symlink("..", place.path("haze/dcp/all")).unwrap();
    }
    place
}

#[test]
fn a_littered_folder_is_checked_and_scored() {
    let place = littered();
    let said = place.run(&["dataset", "check", "haze"]).ends_with(0);
    assert!(said.out.contains("6 of 6 pictures"), "{}", said.out);
    assert!(
        said.out.contains("1 picture lies outside of the algorithms' folders and is left out: teaser.png"),
        "{}",
        said.out
    );
    assert!(said.out.contains("skipped: 3 hidden (.DS_Store, ...), 1 of systems and tools (@eaDir/)"), "{}", said.out);
    let json = place.run(&["dataset", "check", "haze", "--format", "json"]).ends_with(0).out;
    let check: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(check["left_out"][0]["kind"], "stray");
    let csv = place.run(&["dataset", "check", "haze", "--format", "csv"]).ends_with(0);
    assert!(csv.err.contains("skipped: 3 hidden"), "{}", csv.err);

    let said = place.run(&place.submit("haze", &["--name", "r"])).ends_with(0);
    assert!(said.err.contains("data set haze: skipped: 3 hidden"), "{}", said.err);
    assert_eq!(place.scores().len(), 6);
}
