//! A process's claim on a run that it scores: the object that says so in the store, kept fresh as long as the process
//! works. Of two processes on one run the second is refused: it would score the same shards in the same order, and gain
//! nothing. Two that begin in the same moment may both work; parts do not depend on who makes them, so nothing is lost
//! but the time.

use dqa_pipelines::causes;
use dqa_pipelines::names::RunName;
use dqa_pipelines::process::{BEAT_EVERY, Process};
use dqa_pipelines::store::{Store, StoreError};
use dqa_service::program::host;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::warn;

/// A claim on a run.
#[derive(Debug)]
pub struct Claim {
    store: Store,
    run: RunName,
    own: Process,
    beats: JoinHandle<()>,
}

/// Why a process cannot have a run.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process works on it.
    #[error("run `{run}` is being scored by process {} on {} since {:.0}", process.id, process.host, process.since)]
    Taken {
        /// The run.
        run: RunName,
        /// The other process.
        process: Process,
    },
}

impl ClaimError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ClaimError::Store(_) => None,
            ClaimError::Taken { run, process } => Some(format!(
                "`dqa-coord status {run}` says how far it is; to go on with it here, end process {} on {} first",
                process.id, process.host
            )),
        }
    }
}

impl Claim {
    /// Claims a run for this process, until the claim is released or dropped.
    ///
    /// # Errors
    /// Where another process works on the run, or the store fails.
    pub async fn take(store: &Store, run: &RunName) -> Result<Claim, ClaimError> {
        let own = Process::here(host());
        if let Some((process, written)) = Process::find(store, run).await?
            && !process.is_same(&own)
            && process.works(written, Timestamp::now())
        {
            return Err(ClaimError::Taken { run: run.clone(), process });
        }
        own.write(store, run).await?;
        let beats = tokio::spawn(beat(store.clone(), run.clone(), own.clone()));
        Ok(Claim { store: store.clone(), run: run.clone(), own, beats })
    }

    /// Says that this process works on the run no more. A store that does not take it is no error: who looks on this
    /// machine sees that the process is gone, and elsewhere that it is silent.
    pub async fn release(self) {
        self.beats.abort();
        let removed = async {
            match Process::find(&self.store, &self.run).await? {
                Some((process, _)) if !process.is_same(&self.own) => Ok(()),
                _ => Process::remove(&self.store, &self.run).await,
            }
        };
        if let Err(error) = removed.await {
            warn!(run = %self.run, error = %causes(&error), "the store does not take that the process ends");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

async fn beat(store: Store, run: RunName, mut own: Process) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        own.beat += 1;
        if let Err(error) = own.write(&store, &run).await {
            warn!(%run, error = %causes(&error), "the store does not take that the process still works");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_run_is_claimed_until_its_process_ends() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let run: RunName = "r".parse().unwrap();
        let claim = Claim::take(&store, &run).await.unwrap();
        assert!(Process::find(&store, &run).await.unwrap().is_some());
        claim.release().await;
        assert_eq!(Process::find(&store, &run).await.unwrap(), None);

        // Process 1 lives, and is not this one.
        let other = Process { id: 1, identity: Default::default(), ..Process::here("elsewhere".to_owned()) };
        other.write(&store, &run).await.unwrap();
        let refused = Claim::take(&store, &run).await.unwrap_err();
        assert!(matches!(&refused, ClaimError::Taken { process, .. } if process.is_same(&other)), "{refused}");
        // One of this machine that has ended is followed at once.
        let gone = Process { id: u32::MAX, ..Process::here("here".to_owned()) };
        gone.write(&store, &run).await.unwrap();
        if cfg!(target_os = "linux") {
            let claim = Claim::take(&store, &run).await.unwrap();
            // Another took it over meanwhile: its claim stays.
            other.write(&store, &run).await.unwrap();
            claim.release().await;
            assert!(Process::find(&store, &run).await.unwrap().is_some());
        }
    }
}
