//! Folders and buckets with other files among the pictures: the program reports them and scores the six pictures.

#[cfg(unix)]
mod forbidden;
mod odd_bucket;

use dqa_tests::TestDir;

/// `haze` of two algorithms and three scenes, with what people's disks have beside it.
fn littered() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    std::fs::remove_file(dir.path("haze/labels.csv")).unwrap();
    for name in ["dcp/._s0.png", ".DS_Store", "@eaDir/dcp/s0.png/X.jpg", "dcp/.ipynb_checkpoints/s0-checkpoint.png"] {
        dir.file(&format!("haze/{name}"), b"\0\x05\x16\x07");
    }
    dir.file("haze/teaser.png", b"no picture either");
    dir.file("haze/readme.txt", b"text");
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let odd = dir.path("haze").join(OsStr::from_bytes(b"\xcb\xb5\xc3\xf7.txt"));
        std::fs::write(odd, "text").unwrap();
        std::os::unix::fs::symlink("..", dir.path("haze/dcp/all")).unwrap();
    }
    dir
}

#[test]
fn a_littered_folder_is_checked_and_scored() {
    let dir = littered();
    let output = dir.run(&["dataset", "check", "haze"]).exits_with(0);
    assert!(output.stdout.contains("6 of 6 pictures"), "{}", output.stdout);
    assert!(
        output.stdout.contains("1 picture is outside the algorithms' folders and is left out: teaser.png"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("skipped: 3 hidden (.DS_Store, ...), 1 of systems and tools (@eaDir/)"),
        "{}",
        output.stdout
    );
    let json = dir.run(&["dataset", "check", "haze", "--format", "json"]).exits_with(0).stdout;
    let check: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(check["left_out"][0]["kind"], "stray");
    let csv = dir.run(&["dataset", "check", "haze", "--format", "csv"]).exits_with(0);
    assert!(csv.stderr.contains("skipped: 3 hidden"), "{}", csv.stderr);

    let output = dir.run(&dir.submit("haze", &["--name", "r"])).exits_with(0);
    assert!(output.stderr.contains("data set haze: skipped: 3 hidden"), "{}", output.stderr);
    assert_eq!(dir.scores().len(), 6);
}
