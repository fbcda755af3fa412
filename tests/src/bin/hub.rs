//! A mock of the Hugging Face hub for manual tests: prints the variable that clients need, and serves folders as models
//! until SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use clap::Parser;
use dqa_tests::hub::{Hub, Model};
use tokio::signal::unix::{SignalKind, signal};

/// Serves folders as models of a hub.
#[derive(Parser)]
#[command(name = "hub")]
struct Arguments {
    /// Models: OWNER/NAME=FOLDER, with the folder's files on main.
    #[arg(required = true)]
    models: Vec<String>,
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { models, listen } = Arguments::parse();
    let hub = Hub::listen(listen);
    for model in &models {
        let (name, folder) = model.split_once('=').context("a model is OWNER/NAME=FOLDER")?;
        hub.add_model(name, Model::new(files(Path::new(folder))?));
    }
    println!("export HF_ENDPOINT={}", hub.endpoint());
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn files(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((name, std::fs::read(&path)?));
        }
    }
    Ok(files)
}
