//! Folders and files that may not be read. Root may read everything: for it the program runs as another user, where that can be.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use dqa_tests::{Said, TestDir};

/// Nobody's.
const USER: u32 = 65_534;

fn mode(place: &TestDir, name: &str, mode: u32) {
    std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a command as somebody who may not read what has no mode; None, with a message, where that cannot be.
fn run(place: &TestDir, arguments: &[&str]) -> Option<Said> {
    let blocked = place.path("blocked");
    std::fs::write(&blocked, "x").unwrap();
    mode(place, "blocked", 0);
    let mut command = place.command(arguments);
    if std::fs::read(&blocked).is_ok() {
        let mut probe = Command::new(env!("CARGO_BIN_EXE_coord"));
        let probed = probe.uid(USER).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !probed.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this user may read everything, and no other can run the program");
            return None;
        }
        command.uid(USER);
    }
    Some(Said::of(&command.output().unwrap()))
}

#[test]
fn a_folder_that_may_not_be_read_takes_nothing_with_it() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    mode(&place, "", 0o755);
    place.file("haze/lost+found/x", b"");
    mode(&place, "haze/lost+found", 0);
    let check = ["dataset", "check", "haze.toml", "--no-headers"];
    let Some(said) = run(&place, &check) else { return };
    let said = said.ends_with(0);
    assert!(said.out.contains("6 of 6 pictures"), "{}", said.out);
    assert!(said.out.contains("skipped: 1 of systems and tools (lost+found/)"), "{}", said.out);

    // Of another it is not known what it holds.
    place.file("haze/ffa/s0.png", b"");
    mode(&place, "haze/ffa", 0);
    let said = run(&place, &check).unwrap().ends_with(1);
    assert!(said.out.contains("6 of 6 pictures"), "{}", said.out);
    assert!(said.out.contains("1 folders or files cannot be read: ffa: Permission denied"), "{}", said.out);
    ["haze/ffa", "haze/lost+found"].iter().for_each(|name| mode(&place, name, 0o755));
}

/// The model where everybody may read it: as the tests keep it, only its owner may.
fn open_model(place: &TestDir) {
    let kept = place.path("model").canonicalize().unwrap();
    std::fs::remove_file(place.path("model")).unwrap();
    for entry in kept.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = format!("model/{}", entry.file_name().to_str().unwrap());
        place.file(&name, &std::fs::read(entry.path()).unwrap());
        mode(place, &name, 0o644);
    }
}

#[test]
fn a_picture_that_may_not_be_read_is_a_row() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    open_model(&place);
    std::fs::create_dir(place.path("store")).unwrap();
    ["", "store"].iter().for_each(|name| mode(&place, name, 0o777));
    mode(&place, "haze/dcp/s1.png", 0);
    let Some(said) = run(&place, &["dataset", "check", "haze.toml"]) else { return };
    let said = said.ends_with(1);
    assert!(said.out.contains("6 of 6 pictures") && said.out.contains("dcp/s1.png: io: "), "{}{}", said.out, said.err);
    run(&place, &place.submit("haze.toml", &["--name", "r"])).unwrap().ends_with(1);
    mode(&place, "haze/dcp/s1.png", 0o644);
    let failed = place.query("SELECT image, error_code FROM scores WHERE error_code IS NOT NULL");
    assert_eq!((failed.len(), &failed[0]["image"], &failed[0]["error_code"]), (1, &"dcp/s1.png".into(), &"io".into()));
    assert_eq!(place.scores().len(), 6);
}
