//! A process's claim on the run that it scores: an object in the store, refreshed as long as the process works. A
//! second process on the same run is refused, because it would score the same shards in the same order and gain
//! nothing. Two processes that start in the same moment may both work: parts do not depend on the process that makes
//! them, so only time is lost.

use dqa_pipelines::names::RunName;
use dqa_pipelines::run_process::{HEARTBEAT_INTERVAL, RunProcess};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::{Hint, causes};
use dqa_service::program::host;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::warn;

/// A claim on a run.
#[derive(Debug)]
pub struct Claim {
    store: Store,
    run: RunName,
    own: RunProcess,
    heartbeat: JoinHandle<()>,
}

/// Why a process cannot claim a run.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process works on the run.
    #[error("run `{run}` is being scored by process {} on {} since {:.0}", process.id, process.host, process.since)]
    Taken {
        /// The run.
        run: RunName,
        /// The other process.
        process: RunProcess,
    },
}

impl Hint for ClaimError {
    fn hint(&self) -> Option<String> {
        match self {
            ClaimError::Store(_) => None,
            ClaimError::Taken { run, process } => Some(format!(
                "`dqa-coord status {run}` shows its progress; to go on with it here, end process {} on {} first",
                process.id, process.host
            )),
        }
    }
}

impl Claim {
    /// Claims a run for this process, until the claim is released or dropped.
    ///
    /// # Errors
    /// If another process works on the run, or the store fails.
    pub async fn acquire(store: &Store, run: &RunName) -> Result<Claim, ClaimError> {
        let own = RunProcess::current(host());
        if let Some((process, written)) = RunProcess::find(store, run).await?
            && !process.is_same(&own)
            && process.is_alive(written, Timestamp::now())
        {
            return Err(ClaimError::Taken { run: run.clone(), process });
        }
        own.write(store, run).await?;
        let heartbeat = tokio::spawn(send_heartbeats(store.clone(), run.clone(), own.clone()));
        Ok(Claim { store: store.clone(), run: run.clone(), own, heartbeat })
    }

    /// Removes the claim from the store, unless another process has taken it over. A store that fails is not an error:
    /// readers on this machine see that the process is gone, and others that it is silent.
    pub async fn release(self) {
        self.heartbeat.abort();
        let removed = async {
            match RunProcess::find(&self.store, &self.run).await? {
                Some((process, _)) if !process.is_same(&self.own) => Ok(()),
                _ => RunProcess::delete(&self.store, &self.run).await,
            }
        };
        if let Err(error) = removed.await {
            warn!(run = %self.run, error = %causes(&error), "the claim on the run cannot be removed");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn send_heartbeats(store: Store, run: RunName, mut own: RunProcess) {
    loop {
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        own.beat += 1;
        if let Err(error) = own.write(&store, &run).await {
            warn!(%run, error = %causes(&error), "the claim on the run cannot be refreshed");
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
        let claim = Claim::acquire(&store, &run).await.unwrap();
        assert!(RunProcess::find(&store, &run).await.unwrap().is_some());
        claim.release().await;
        assert_eq!(RunProcess::find(&store, &run).await.unwrap(), None);

        // Process 1 is alive, and is not this process.
        let other = RunProcess { id: 1, identity: Default::default(), ..RunProcess::current("elsewhere".to_owned()) };
        other.write(&store, &run).await.unwrap();
        let refused = Claim::acquire(&store, &run).await.unwrap_err();
        assert!(matches!(&refused, ClaimError::Taken { process, .. } if process.is_same(&other)), "{refused}");
        // The claim of a process of this machine that has ended is taken over at once.
        let gone = RunProcess { id: u32::MAX, ..RunProcess::current("here".to_owned()) };
        gone.write(&store, &run).await.unwrap();
        if cfg!(target_os = "linux") {
            let claim = Claim::acquire(&store, &run).await.unwrap();
            // Another process took the claim over meanwhile: its claim stays.
            other.write(&store, &run).await.unwrap();
            claim.release().await;
            assert!(RunProcess::find(&store, &run).await.unwrap().is_some());
        }
    }
}
