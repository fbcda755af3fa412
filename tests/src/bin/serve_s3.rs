//! An S3 server over a folder for manual tests of a cluster: prints the variables that clients need, and serves until SIGINT
//! or SIGTERM. Its keys are in the source, so it is for tests only.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use dqa_tests::s3::S3Server;
use tokio::signal::unix::{SignalKind, signal};

/// Serves a folder as S3. Buckets are the folders in it.
#[derive(Parser)]
#[command(name = "s3")]
struct Arguments {
    /// Folder to serve; it is created if it is missing.
    folder: PathBuf,
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { folder, listen } = Arguments::parse();
    let mut server =
        S3Server::listen(&folder, listen).with_context(|| format!("cannot serve {} on {listen}", folder.display()))?;
    for (name, value) in server.env() {
        println!("export {name}={value}");
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.stop();
    Ok(())
}
