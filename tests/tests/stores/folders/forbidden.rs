//! Folders and files without read permission. Root may read everything, so as root the program runs as another user if
//! possible.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use dqa_tests::{CommandOutput, TestDir};

/// Nobody's.
const USER: u32 = 65_534;

fn set_mode(dir: &TestDir, name: &str, mode: u32) {
    std::fs::set_permissions(dir.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a command as somebody who may not read what has no mode; None, with a message, where that cannot be.
fn run(dir: &TestDir, arguments: &[&str]) -> Option<CommandOutput> {
    let blocked = dir.path("blocked");
    std::fs::write(&blocked, "x").unwrap();
    set_mode(dir, "blocked", 0);
    let mut command = dir.command(arguments);
    if std::fs::read(&blocked).is_ok() {
        let mut probe = Command::new(env!("CARGO_BIN_EXE_coord"));
        let probed = probe.uid(USER).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !probed.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this user may read everything, and no other can run the program");
            return None;
        }
        command.uid(USER);
    }
    Some(CommandOutput::new(&command.output().unwrap()))
}

#[test]
fn an_unreadable_folder_does_not_affect_others() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    set_mode(&dir, "", 0o755);
    dir.file("haze/lost+found/x", b"");
    set_mode(&dir, "haze/lost+found", 0);
    let check = ["dataset", "check", "haze.toml", "--no-headers"];
    let Some(output) = run(&dir, &check) else { return };
    let output = output.exits_with(0);
    assert!(output.stdout.contains("6 of 6 pictures"), "{}", output.stdout);
    assert!(output.stdout.contains("skipped: 1 of systems and tools (lost+found/)"), "{}", output.stdout);

    // Of another it is not known what it holds.
    dir.file("haze/ffa/s0.png", b"");
    set_mode(&dir, "haze/ffa", 0);
    let output = run(&dir, &check).unwrap().exits_with(1);
    assert!(output.stdout.contains("6 of 6 pictures"), "{}", output.stdout);
    assert!(output.stdout.contains("1 folders or files cannot be read: ffa: Permission denied"), "{}", output.stdout);
    ["haze/ffa", "haze/lost+found"].iter().for_each(|name| set_mode(&dir, name, 0o755));
}

/// The model where everybody may read it: as the tests keep it, only its owner may.
fn make_model_readable(dir: &TestDir) {
    let kept = dir.path("model").canonicalize().unwrap();
    std::fs::remove_file(dir.path("model")).unwrap();
    for entry in kept.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = format!("model/{}", entry.file_name().to_str().unwrap());
        dir.file(&name, &std::fs::read(entry.path()).unwrap());
        set_mode(dir, &name, 0o644);
    }
}

#[test]
fn an_unreadable_picture_is_a_failed_row() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    make_model_readable(&dir);
    std::fs::create_dir(dir.path("store")).unwrap();
    ["", "store"].iter().for_each(|name| set_mode(&dir, name, 0o777));
    set_mode(&dir, "haze/dcp/s1.png", 0);
    let Some(output) = run(&dir, &["dataset", "check", "haze.toml"]) else { return };
    let output = output.exits_with(1);
    assert!(
        output.stdout.contains("6 of 6 pictures") && output.stdout.contains("dcp/s1.png: io: "),
        "{}{}",
        output.stdout,
        output.stderr
    );
    run(&dir, &dir.submit("haze.toml", &["--name", "r"])).unwrap().exits_with(1);
    set_mode(&dir, "haze/dcp/s1.png", 0o644);
    let failed = dir.query("SELECT image, error_code FROM scores WHERE error_code IS NOT NULL");
    assert_eq!((failed.len(), &failed[0]["image"], &failed[0]["error_code"]), (1, &"dcp/s1.png".into(), &"io".into()));
    assert_eq!(dir.scores().len(), 6);
}
