//! Signals that ask a command to stop. A command either waits for one ([`StopSignal::wait`]) and ends by itself, or says
//! beforehand what it has kept ([`end_on_signal`]): the process then prints that and ends, wherever the command is. Work
//! is kept in files that appear whole, so that no place is a bad one.
//!
//! One thread receives the signals and hands each to the command's last registration. A signal that nobody expects ends
//! the process, as it would without this module. Until a command registers, nothing is changed.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use dqa_engine::console::note;
use dqa_engine::hub;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A signal that asked this process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Work that ends the process when a signal arrives, as long as this exists.
#[must_use = "a signal is no longer expected when this is dropped"]
pub struct EndOnSignal(u64);

/// Returns the lines that say what is kept.
type DescribeKept = Box<dyn Fn() -> Vec<String> + Send>;

/// What is done with a signal.
enum Reaction {
    /// Prints these lines and ends the process.
    End(DescribeKept),
    /// Wakes up whoever waits.
    Wake(oneshot::Sender<StopSignal>),
}

/// The reactions that are registered, the last one last.
static REACTIONS: Mutex<Vec<(u64, Reaction)>> = Mutex::new(Vec::new());

/// The number of the next registration.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl StopSignal {
    /// Waits for SIGINT or SIGTERM. A second signal ends the process.
    ///
    /// # Errors
    /// If the process cannot receive signals.
    pub async fn wait() -> anyhow::Result<StopSignal> {
        receive_signals()?;
        let (sender, receiver) = oneshot::channel();
        let _registration = register(Reaction::Wake(sender));
        receiver.await.context("cannot wait for signals")
    }

    /// Returns the exit code that a shell reports for a command that the signal ended: 128 plus the signal's number.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            StopSignal::Interrupt => 130,
            StopSignal::Terminate => 143,
        }
    }

    /// Returns what a user did to send the signal.
    fn cause(self) -> &'static str {
        match self {
            StopSignal::Interrupt => "stopped by Ctrl-C",
            StopSignal::Terminate => "stopped by SIGTERM",
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause())
    }
}

/// Ends the process when SIGINT or SIGTERM arrives while the result exists: prints that it was stopped, followed by the
/// lines that `kept` returns then. A download says by itself what is kept of it.
///
/// # Errors
/// If the process cannot receive signals.
pub fn end_on_signal(kept: impl Fn() -> Vec<String> + Send + 'static) -> anyhow::Result<EndOnSignal> {
    receive_signals()?;
    Ok(register(Reaction::End(Box::new(kept))))
}

impl Drop for EndOnSignal {
    fn drop(&mut self) {
        reactions().retain(|(number, _)| *number != self.0);
    }
}

fn reactions() -> MutexGuard<'static, Vec<(u64, Reaction)>> {
    REACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(reaction: Reaction) -> EndOnSignal {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    reactions().push((number, reaction));
    EndOnSignal(number)
}

/// Starts the thread that receives the signals, once.
fn receive_signals() -> anyhow::Result<()> {
    static IS_STARTED: Mutex<bool> = Mutex::new(false);
    let mut is_started = IS_STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_started {
        start_thread().context("cannot wait for signals")?;
        *is_started = true;
    }
    Ok(())
}

fn start_thread() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    let receive = async move {
        loop {
            react(tokio::select! {
                _ = interrupt.recv() => StopSignal::Interrupt,
                _ = terminate.recv() => StopSignal::Terminate,
            });
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(receive)).map(drop)
}

fn react(signal: StopSignal) {
    // Taken out of the list first: what it prints must not wait for another registration.
    let last = reactions().pop();
    match last {
        Some((_, Reaction::Wake(sender))) => {
            // Whoever waited may be gone, because its work ended at the same time.
            let _ = sender.send(signal);
        }
        Some((_, Reaction::End(kept))) => {
            let lines = hub::download_line().into_iter().chain(kept());
            let lines: Vec<String> = lines.collect();
            end_line();
            note(format_args!("{signal}"));
            lines.iter().for_each(|line| note(format_args!("{line}")));
            std::process::exit(signal.exit_code().into());
        }
        None => std::process::exit(signal.exit_code().into()),
    }
}

/// Clears what a progress bar and the terminal's `^C` left on the line.
pub fn end_line() {
    if stderr().is_terminal() {
        let _ = stderr().write_all(b"\r\x1b[2K");
    }
}
