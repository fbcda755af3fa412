//! `--detach`: the same command in the background. The process that was called waits until the other has planned its run,
//! and shows what that says meanwhile; then it ends, with an error where there is no plan.

use std::fs::{File, create_dir_all};
use std::io::{self, Read, Write, stderr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use dqa_pipelines::names::RunName;
use dqa_service::program::{ExitStatus, note, with_hint};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;

use super::StoreArgs;
use super::told_to_end::Signal;

/// Set for the process in the background, whose standard input is the other end of its caller's socket.
const IN_BACKGROUND: &str = "DQA_IN_BACKGROUND";

/// How often what the other process says is shown here.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Whether this process is the one in the background.
pub(super) fn is_in_background() -> bool {
    std::env::var_os(IN_BACKGROUND).is_some()
}

/// Tells the process that was called, if this is the one in the background, that the run is planned.
pub(super) fn tell_planned(run: &RunName) {
    if !is_in_background() {
        return;
    }
    // The other may have been ended.
    let told = io::stdin().as_fd().try_clone_to_owned().and_then(|socket| {
        let mut socket = UnixStream::from(socket);
        socket.write_all(run.as_str().as_bytes())?;
        socket.shutdown(std::net::Shutdown::Both)
    });
    drop(told);
}

/// Starts this process's command again in the background, and waits until its run is planned. What it says goes to a file:
/// in the store's folder, or here where the store is not a local one.
pub(super) async fn detach(store: &StoreArgs) -> anyhow::Result<ExitStatus> {
    let log = log_file(store).await?;
    let shown = log.display().to_string();
    let (own, others) = UnixStream::pair().context("cannot make a socket for the process in the background")?;
    let mut child = start(&log, others)?;
    let mut said = File::open(&log).with_context(|| format!("cannot read {shown}"))?;
    let run = tokio::select! {
        run = planned(own, &mut said) => run?,
        signal = Signal::received() => {
            // It has scored nothing yet.
            child.kill().and_then(|()| child.wait()).context("cannot end the process in the background")?;
            return Ok(signal?.done());
        }
    };
    if run.is_empty() {
        let status = child.wait().context("cannot wait for the process in the background")?;
        show(&mut said);
        return ended(status, &shown);
    }
    show(&mut said);
    note(format_args!(
        "run {run} is planned; process {} goes on with it in the background and writes to {shown}",
        child.id()
    ));
    note(format_args!("`dqa-coord status {run} --store {} --watch` says how far it is", store.store));
    Ok(ExitStatus::All)
}

async fn log_file(store: &StoreArgs) -> anyhow::Result<PathBuf> {
    let place = store.create().await?;
    let folder = if place.is_local() {
        place.url().to_file_path().map_or_else(|()| PathBuf::new(), |path| path.join("logs"))
    } else {
        PathBuf::new()
    };
    if folder.components().next().is_some() {
        create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(folder.join(format!("submit-{}-{}.log", Timestamp::now().as_second(), std::process::id())))
}

/// Starts the command in a process group of its own, which the terminal's signals do not reach.
fn start(log: &PathBuf, socket: UnixStream) -> anyhow::Result<Child> {
    let unwritable = || format!("cannot write {}", log.display());
    let file = File::create(log).with_context(unwritable)?;
    Command::new(std::env::current_exe().context("cannot find this program")?)
        .args(std::env::args_os().skip(1).filter(|argument| argument != "--detach"))
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(file.try_clone().with_context(unwritable)?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .context("cannot start the command again")
}

/// The name of the run, once it is planned; empty where the other process ends before. What it says meanwhile is shown.
async fn planned(own: UnixStream, said: &mut File) -> anyhow::Result<String> {
    own.set_nonblocking(true)?;
    let mut own = tokio::net::UnixStream::from_std(own)?;
    let mut run = String::new();
    let mut tick = tokio::time::interval(SHOW_EVERY);
    let read = own.read_to_string(&mut run);
    tokio::pin!(read);
    loop {
        tokio::select! {
            read = &mut read => {
                read.context("cannot hear of the process in the background")?;
                return Ok(run);
            }
            _ = tick.tick() => show(said),
        }
    }
}

/// Shows what was written since it was shown last. Nobody need be there to read it.
fn show(said: &mut File) {
    let mut new = Vec::new();
    if said.read_to_end(&mut new).is_ok() {
        let _ = stderr().write_all(&new);
    }
}

/// As the other process ended, which has said why.
fn ended(status: process::ExitStatus, log: &str) -> anyhow::Result<ExitStatus> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(ExitStatus::All),
        (Some(code), _) => Ok(ExitStatus::Exit(u8::try_from(code).unwrap_or(2))),
        (None, signal) => {
            let signal = signal.map(|number| format!(" by signal {number}")).unwrap_or_default();
            let error = anyhow!("the process in the background was ended{signal} before its run was planned");
            Err(with_hint(error, format!("it wrote to {log}; the same command without --detach shows it here")))
        }
    }
}
