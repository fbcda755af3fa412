//! The pages of a store: `browser` checks them in Chromium, `access` and `numbers` by requests alone. This file owns the store
//! that they look at, and the process that serves it.

#![allow(clippy::unwrap_used)] // helpers too

mod access;
mod browser;
mod guarded;
mod markup;
mod numbers;
mod requests;

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, Weak};

use dqa_tests::cluster::{Programs, TIMEOUT, free_port};
use dqa_tests::{TestDir, wait_until};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// A file of the demo data set that is no picture, so that each run has failed rows.
const BROKEN: &str = "cast/s00003.png";

/// A demo data set with two runs (`metrics` and `model`), a training and a study.
struct Demo {
    dir: TestDir,
}

/// Makes the demo, unless another test has it at hand: it only reads it.
fn demo() -> Arc<Demo> {
    static DEMO: Mutex<Weak<Demo>> = Mutex::new(Weak::new());
    let mut shared = DEMO.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let demo = Arc::new(Demo::make());
        *shared = Arc::downgrade(&demo);
        demo
    })
}

impl Demo {
    fn make() -> Demo {
        let dir = TestDir::new(PROGRAMS.coordinator);
        make_pictures(&dir);
        let train =
            ["train", "--dataset", "demo/demo.toml", "--model", "model", "--test-share", "0.34", "--only-splits", "1"];
        dir.run(&[&train[..], &["--epochs", "2", "--lr", "1e-3"]].concat()).exits_with(0);
        let study = "title = \"Which weights?\"\ndatasets = [\"demo/demo.toml\"]\n[base]\nviews = \"sees=global\"\n\
                     [[variant]]\nname = \"handcrafted\"\ntrain = false\n";
        dir.file("weights.toml", study.as_bytes());
        dir.run(&["study", "weights.toml", "--model", "model", "--new-splits", "1"]).exits_with(0);
        dir.file(&format!("demo/{BROKEN}"), b"no picture");
        let metrics = ["submit", "--datasets", "demo/demo.toml", "--metrics", "niqe,entropy,psnr", "--name", "metrics"];
        dir.run(&[&metrics[..], &["--with-hazy"]].concat()).exits_with(1);
        let model = ["submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--prompts", "dqa:small"];
        dir.run(&[&model[..], &["--name", "model"]].concat()).exits_with(1);
        Demo { dir }
    }
}

/// Makes a data set of 12 algorithms and 6 scenes.
fn make_pictures(dir: &TestDir) {
    dir.run(&["demo", "make", "demo", "--scenes", "6", "--width", "256", "--height", "224"]).exits_with(0);
}

/// `dqa-coord view`. It is killed when it is dropped.
struct View {
    process: Child,
    port: u16,
}

impl View {
    fn start(dir: &TestDir, more: &[&str]) -> View {
        let port = free_port();
        let mut command = dir.command(&["view", "--port", &port.to_string()]);
        let process = command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let view = View { process, port };
        wait_for_port(port);
        view
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a port of this machine takes connections.
fn wait_for_port(port: u16) {
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until(TIMEOUT, || format!("nothing listens on port {port}"), listens);
}
