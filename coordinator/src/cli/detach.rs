//! `--detach`: runs the same command in the background. The foreground process waits until the background process has
//! planned its run, and shows its output meanwhile; then it exits, with an error if the run could not be planned.

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
use dqa_service::program::{ExitStatus, StopSignal, note, with_hint};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;

use super::args::StoreArgs;

/// Set for the background process, whose standard input is the other end of the foreground process's socket.
const IN_BACKGROUND: &str = "DQA_IN_BACKGROUND";

/// How often the background process's output is shown.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);

/// Returns whether this process is the background process.
pub(super) fn is_in_background() -> bool {
    std::env::var_os(IN_BACKGROUND).is_some()
}

/// Tells the foreground process, if this is the background process, that the run is planned.
pub(super) fn notify_planned(run: &RunName) {
    if !is_in_background() {
        return;
    }
    // The foreground process may have ended.
    let notified = io::stdin().as_fd().try_clone_to_owned().and_then(|socket| {
        let mut socket = UnixStream::from(socket);
        socket.write_all(run.as_str().as_bytes())?;
        socket.shutdown(std::net::Shutdown::Both)
    });
    drop(notified);
}

/// Starts this process's command again in the background, and waits until its run is planned. Its output goes to a
/// file: in the store's folder, or in the current folder if the store is not local.
pub(super) async fn detach(store: &StoreArgs) -> anyhow::Result<ExitStatus> {
    let log = log_file(store).await?;
    let log_name = log.display().to_string();
    let (own_end, other_end) = UnixStream::pair().context("cannot create a socket for the background process")?;
    let mut child = start(&log, other_end)?;
    let mut output = File::open(&log).with_context(|| format!("cannot read {log_name}"))?;
    let run = tokio::select! {
        run = wait_until_planned(own_end, &mut output) => run?,
        signal = StopSignal::wait() => {
            // Nothing is scored yet.
            child.kill().and_then(|()| child.wait()).context("cannot stop the background process")?;
            return Ok(signal?.exit_status());
        }
    };
    if run.is_empty() {
        let status = child.wait().context("cannot wait for the background process")?;
        show_new_output(&mut output);
        return exit_status(status, &log_name);
    }
    show_new_output(&mut output);
    note(format_args!(
        "run {run} is planned; process {} goes on with it in the background and writes to {log_name}",
        child.id()
    ));
    note(format_args!("`dqa-coord status {run} --store {} --watch` shows its progress", store.url));
    Ok(ExitStatus::All)
}

async fn log_file(store: &StoreArgs) -> anyhow::Result<PathBuf> {
    let store = store.create().await?;
    let folder = if store.is_local() {
        store.url().to_file_path().map_or_else(|()| PathBuf::new(), |path| path.join("logs"))
    } else {
        PathBuf::new()
    };
    if folder.components().next().is_some() {
        create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    Ok(folder.join(format!("submit-{}-{}.log", Timestamp::now().as_second(), std::process::id())))
}

/// Starts the command in its own process group, which the terminal's signals do not reach.
fn start(log: &PathBuf, socket: UnixStream) -> anyhow::Result<Child> {
    let cannot_write = || format!("cannot write {}", log.display());
    let file = File::create(log).with_context(cannot_write)?;
    Command::new(std::env::current_exe().context("cannot find this program")?)
        .args(std::env::args_os().skip(1).filter(|argument| argument != "--detach"))
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(file.try_clone().with_context(cannot_write)?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .context("cannot start the command again")
}

/// Waits until the run is planned and returns its name, or an empty text if the background process ends before. Shows
/// its output meanwhile.
async fn wait_until_planned(own_end: UnixStream, output: &mut File) -> anyhow::Result<String> {
    own_end.set_nonblocking(true)?;
    let mut own_end = tokio::net::UnixStream::from_std(own_end)?;
    let mut run = String::new();
    let mut tick = tokio::time::interval(SHOW_INTERVAL);
    let read = own_end.read_to_string(&mut run);
    tokio::pin!(read);
    loop {
        tokio::select! {
            read = &mut read => {
                read.context("lost the connection to the background process")?;
                return Ok(run);
            }
            _ = tick.tick() => show_new_output(output),
        }
    }
}

/// Shows the output that was not shown yet. Standard error may be closed.
fn show_new_output(output: &mut File) {
    let mut new = Vec::new();
    if output.read_to_end(&mut new).is_ok() {
        let _ = stderr().write_all(&new);
    }
}

/// Returns the background process's exit status. Its output has the reason.
fn exit_status(status: process::ExitStatus, log: &str) -> anyhow::Result<ExitStatus> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(ExitStatus::All),
        (Some(code), _) => Ok(ExitStatus::Exit(u8::try_from(code).unwrap_or(2))),
        (None, signal) => {
            let signal = signal.map(|number| format!(" by signal {number}")).unwrap_or_default();
            let error = anyhow!("the background process was ended{signal} before its run was planned");
            Err(with_hint(error, format!("it wrote to {log}; the same command without --detach shows it here")))
        }
    }
}
