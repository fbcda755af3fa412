//! The pages in Chromium. Each test runs one group of `tests/browser/pages.mjs`. A test prints that it is skipped if playwright
//! or Chromium is not installed; `.ci/run` installs both.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use dqa_tests::cluster::Cluster;
use dqa_tests::{CommandOutput, TestDir};
use serde_json::{Value, json};

use crate::guarded::{DONE, SECRETS, USERS, WAITING, WORKERS, guarded};
use crate::{PROGRAMS, View, demo, wait_for_port};

/// Kinds of pages that belong to one run.
const OF_A_RUN: [&str; 12] = [
    "home",
    "run",
    "leaderboard",
    "comparison",
    "metrics",
    "agreement",
    "scenes",
    "scene",
    "picture",
    "failures",
    "progress",
    "provenance",
];

/// What runs the script.
struct Browser {
    chromium: PathBuf,
}

impl Browser {
    /// Finds what the script needs, or prints that the test is skipped, and why.
    fn find() -> Option<Browser> {
        let skip = |why: &str| eprintln!("skipped: {why}");
        let modules = std::env::var_os("DQA_PLAYWRIGHT").map(PathBuf::from);
        let has = |name: &str| modules.as_ref().is_some_and(|folder| folder.join("node_modules").join(name).is_dir());
        if !has("playwright-core") || !has("axe-core") {
            skip("DQA_PLAYWRIGHT names no folder whose node_modules has playwright-core and axe-core");
            return None;
        }
        if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
            skip("node is not installed");
            return None;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = || std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.is_file());
        let chromium = std::env::var_os("DQA_CHROMIUM").map(PathBuf::from).or_else(found);
        if chromium.is_none() {
            skip("DQA_CHROMIUM is not set, and there is no chromium in PATH");
        }
        Some(Browser { chromium: chromium? })
    }

    fn start(&self, group: &str, base: &str, mut values: Value) -> Child {
        values["base"] = base.into();
        values["screenshots"] = concat!(env!("CARGO_TARGET_TMPDIR"), "/screenshots").into();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/pages.mjs");
        let mut command = Command::new("node");
        command.args([script, group, &values.to_string()]).env("DQA_CHROMIUM", &self.chromium);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a group to its end.
    #[track_caller]
    fn check(&self, group: &str, base: &str, values: Value) {
        let output = self.start(group, base, values).wait_with_output().unwrap();
        CommandOutput::new(&output).exits_with(0);
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/")
}

fn all_kinds() -> Vec<&'static str> {
    [&OF_A_RUN[..], &["studies", "study", "trial"]].concat()
}

#[test]
fn each_kind_of_page_loads_without_an_error() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    browser.check("eachKind", &url(view.port), json!({ "kinds": all_kinds() }));
}

#[test]
fn pages_are_accessible_and_fit_a_phone() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    browser.check("accessible", &url(view.port), json!({ "kinds": all_kinds() }));
}

#[test]
fn a_leaderboard_is_sorted_searched_saved_and_compared() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    for (metric, other) in [("niqe", "entropy"), ("psnr_rgb", "niqe")] {
        let values = json!({ "run": "metrics", "dataset": "demo", "metric": metric, "other": other });
        browser.check("leaderboard", &url(view.port), values);
    }
}

#[test]
fn a_point_of_a_scatter_leads_to_its_picture() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    let values = json!({ "run": "model", "dataset": "demo", "metric": "clip-dqa" });
    browser.check("agreement", &url(view.port), values);
}

#[test]
fn two_pictures_of_a_scene_are_compared_by_keyboard_and_pointer() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    let values = json!({ "run": "model", "dataset": "demo", "scenes": ["s00000", "s00001", "s00002"] });
    browser.check("scene", &url(view.port), values);
}

#[test]
fn an_exported_site_opens_from_a_disk() {
    let Some(browser) = Browser::find() else { return };
    let demo = demo();
    for pictures in ["thumbnails", "full"] {
        let out = format!("site-{pictures}");
        demo.dir.run(&["site", &out, "--run", "model", "--pictures", pictures]).exits_with(0);
        let base = format!("file://{}/", demo.dir.path(&out).display());
        browser.check("exported", &base, json!({ "kinds": OF_A_RUN, "run": "model", "dataset": "demo" }));
    }
}

/// Names of algorithms are plain, but their folders' are whatever the definition gives a name to.
#[test]
fn names_that_look_like_html_are_text() {
    let Some(browser) = Browser::find() else { return };
    let dir = TestDir::new(PROGRAMS.coordinator);
    let folders = ["<script>alert(1)", "\" onmouseover=\"alert(2)", "<b>&amp;"];
    let algorithms = ["script", "quote", "bold"];
    let scenes = ["<img src=x onerror=alert(3)>", "' onerror='alert(4)", "&lt;marquee&gt;"];
    dir.haze_with_scenes(1, &["dcp"]);
    let picture = std::fs::read(dir.path("haze/dcp/s0.png")).unwrap();
    for (row, folder) in folders.iter().enumerate() {
        for (column, scene) in scenes.iter().enumerate() {
            // The last is no picture: its name is then among the failures too.
            let is_broken = row == 2 && column == 2;
            dir.file(&format!("odd/{folder}/{scene}.png"), if is_broken { b"none" } else { &picture });
        }
    }
    let aliases = folders.iter().zip(algorithms).map(|(folder, name)| format!("'{folder}' = \"{name}\"\n"));
    let definition = "name = \"odd\"\nroot = \"odd\"\nlayout = \"{algorithm}/{scene}.png\"\n[algorithms]\n".to_owned();
    dir.file("odd.toml", (definition + &aliases.collect::<String>()).as_bytes());
    dir.run(&["submit", "--datasets", "odd.toml", "--metrics", "entropy,niqe", "--name", "odd"]).exits_with(1);
    let kinds: Vec<&str> = OF_A_RUN.into_iter().filter(|kind| *kind != "comparison").collect();
    let names = [folders, scenes].concat();
    let mut values = json!({
        "kinds": kinds, "names": names, "algorithms": algorithms, "run": "odd", "dataset": "odd",
        "metric": "entropy",
    });
    dir.run(&["site", "out", "--run", "odd", "--pictures", "full"]).exits_with(0);
    browser.check("names", &format!("file://{}/", dir.path("out").display()), values.clone());
    let view = View::start(&dir, &[]);
    values["kinds"] = json!([&kinds[..], &["studies"]].concat());
    browser.check("names", &url(view.port), values);
}

#[test]
fn a_run_is_followed_from_nothing_to_its_end() {
    let Some(browser) = Browser::find() else { return };
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    wait_for_port(cluster.port());
    let submit = cluster.submit("haze.toml", &["--name", "r", "--shard-windows", "1", "--detach"]);
    cluster.run(&submit).exits_with(0);
    cluster.wait_for_run("r", |run| run["state"] == "running");
    let mut script = browser.start("live", &url(cluster.port()), json!({ "run": "r", "pictures": 6 }));
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let first = lines.next().map(Result::unwrap);
    if first.as_deref() == Some("ready") {
        cluster.start_worker(&[("FAULT_SLOW_MILLIS", "300")]);
    }
    let output = CommandOutput::new(&script.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{}\n{}", output.stderr, cluster.logs());
}

#[test]
fn a_run_is_paused_resumed_and_cancelled_with_a_confirmation() {
    let Some(browser) = Browser::find() else { return };
    let cluster = guarded();
    browser.check("actions", &url(cluster.port()), json!({ "run": WAITING, "token": USERS }));
    assert_eq!(cluster.run_status(WAITING).unwrap()["state"], "cancelled");
}

#[test]
fn a_browser_signs_in_and_out() {
    let Some(browser) = Browser::find() else { return };
    let cluster = guarded();
    let values = json!({
        "run": DONE, "dataset": "demo", "token": USERS, "wrong": WORKERS, "secrets": SECRETS,
    });
    browser.check("signIn", &url(cluster.port()), values);
}
