//! Ctrl-C and SIGTERM for commands that go on later from what is in the store: they end, and say so.

use anyhow::Context;
use dqa_service::program::ExitStatus;
use tokio::signal::unix::{SignalKind, signal};

/// A signal that asked this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// Waits for one.
    pub(super) async fn received() -> anyhow::Result<Signal> {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        Ok(tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
        })
    }

    /// How a shell tells a command that was ended by the signal: with 128 and the signal's number.
    pub(super) fn done(self) -> ExitStatus {
        ExitStatus::Exit(match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        })
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}
