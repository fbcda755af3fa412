//! `--detach`: the same command in the background.

use std::fs::{File, create_dir_all};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use dqa_worker::program::{Done, note};
use jiff::Timestamp;

use super::StoreArgs;

/// Starts this process's command again without `--detach`, in a process group of its own, which the terminal's signals do
/// not reach. What it says goes to a file: in the store's folder, or here where the store is not a local one.
pub(super) async fn detach(store: &StoreArgs) -> anyhow::Result<Done> {
    use std::os::unix::process::CommandExt;
    let place = store.create().await?;
    let folder = if place.is_local() {
        place.url().to_file_path().map_or_else(|()| PathBuf::new(), |path| path.join("logs"))
    } else {
        PathBuf::new()
    };
    let log = folder.join(format!("submit-{}-{}.log", Timestamp::now().as_second(), std::process::id()));
    let shown = log.display().to_string();
    if folder.components().next().is_some() {
        create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let file = File::create(&log).with_context(|| format!("cannot write {shown}"))?;
    let child = Command::new(std::env::current_exe().context("cannot find this program")?)
        .args(std::env::args_os().skip(1).filter(|argument| argument != "--detach"))
        .stdin(Stdio::null())
        .stdout(file.try_clone().with_context(|| format!("cannot write {shown}"))?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .context("cannot start the command again")?;
    note(format_args!("process {} goes on in the background; it writes to {shown}", child.id()));
    Ok(Done::All)
}
