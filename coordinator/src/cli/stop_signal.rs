//! Ctrl-C and SIGTERM, for commands that stop cleanly and can be resumed from what is in the store.

use std::fmt;

use anyhow::Context;
use dqa_service::program::ExitStatus;
use tokio::signal::unix::{SignalKind, signal};

/// A signal that asked this process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    /// Waits for SIGINT or SIGTERM.
    pub(super) async fn wait() -> anyhow::Result<StopSignal> {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        Ok(tokio::select! {
            _ = interrupt.recv() => StopSignal::Interrupt,
            _ = terminate.recv() => StopSignal::Terminate,
        })
    }

    /// Returns the exit code that a shell reports for a command that the signal ended: 128 plus the signal's number.
    pub(super) fn exit_status(self) -> ExitStatus {
        ExitStatus::Exit(match self {
            StopSignal::Interrupt => 130,
            StopSignal::Terminate => 143,
        })
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopSignal::Interrupt => "SIGINT",
            StopSignal::Terminate => "SIGTERM",
        })
    }
}
