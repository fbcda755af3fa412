//! Elects one leader among the coordinators of a store: the one that created the newest object in `coordinators/`.
//! Creating an object that does not exist yet is the one operation that nearly every store grants to only one of
//! several clients. The leader writes heartbeats into its object; a coordinator that sees no new heartbeat for
//! long enough creates the next object.
//!
//! If the store does not decide (as [`Election::probe_store`] finds out), the object is written and read again after a
//! while. It is a lease then, which two coordinators that start at once may both have until the next heartbeat shows
//! one of them that the other has overwritten it.
//!
//! A leader that was stopped, and goes on when another leads, does no harm: a part does not depend on the coordinator that
//! dispatched it, and a run's record is not written by a leader of an earlier term (`RunRecord::write_by`). Some shards are
//! scored twice until the older one notices.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::leader::Leader;
use dqa_pipelines::run_process::RunProcess;
use dqa_pipelines::store::{ConditionalCreate, Store, StoreError};
use dqa_service::program::host;
use tokio::time::Instant;
use tracing::{info, warn};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Time from writing a lease to reading it again: longer than another coordinator takes from its read to its write.
const LEASE_SETTLES_AFTER: Duration = HEARTBEAT_INTERVAL;
/// Five heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How one of several candidates becomes the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ElectionMethod {
    /// The store lets only one of them create the object.
    ConditionalCreate,
    /// All write the object, and all but the last find another one's.
    Lease,
}

pub(super) struct Election {
    store: Store,
    own: Leader,
    method: ElectionMethod,
}

impl Election {
    pub(super) fn new(store: Store, id: String) -> Election {
        let process = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let runs_as = Some(RunProcess::current(host()));
        let own = Leader { id, term: 0, beat: 0, ended: true, process, runs_as };
        Election { store, own, method: ElectionMethod::ConditionalCreate }
    }

    /// Finds out how the store decides between two coordinators, and logs it if it is not the usual way.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn probe_store(&mut self) -> Result<(), StoreError> {
        let lease = "coordinators are elected by a lease that is written and read again: start one at a time on this \
            store; of two, one ends some seconds after it finds the other";
        match self.store.probe_conditional_create().await? {
            ConditionalCreate::Supported => {}
            ConditionalCreate::SupportedWithoutLinks => {
                info!(
                    "the store's file system has no hard links: coordinators are elected by exclusively created files"
                );
            }
            ConditionalCreate::Ignored => {
                warn!("the store ignores conditional puts (If-None-Match: *): {lease}");
                self.method = ElectionMethod::Lease;
            }
            ConditionalCreate::Refused(error) => {
                warn!(error = %causes(&error), "the store refuses conditional puts (If-None-Match: *): {lease}");
                self.method = ElectionMethod::Lease;
            }
        }
        Ok(())
    }

    /// Waits until this coordinator leads, and returns its term, which no other coordinator has. Calls `on_leader` with
    /// the name of each other leader that it sees.
    pub(super) async fn wait_for_leadership(&mut self, on_leader: impl Fn(&str)) -> u64 {
        let mut last_seen: Option<(Leader, Instant)> = None;
        loop {
            match self.try_to_lead(&mut last_seen, &on_leader).await {
                Ok(true) => return self.own.term,
                Ok(false) => {}
                Err(error) => warn!(error = %causes(&error), "cannot read the leader from the store"),
            }
            tokio::time::sleep(HEARTBEAT_INTERVAL / 2).await;
        }
    }

    async fn try_to_lead(
        &mut self,
        last_seen: &mut Option<(Leader, Instant)>,
        on_leader: &impl Fn(&str),
    ) -> Result<bool, StoreError> {
        let term = match Leader::newest(&self.store).await? {
            None => 1,
            Some(leader) => {
                on_leader(&leader.id);
                let is_silent = match last_seen {
                    Some((before, since)) if *before == leader => since.elapsed() > SILENCE_MAX,
                    _ => false,
                };
                if !leader.has_ended() && !is_silent {
                    if last_seen.as_ref().is_none_or(|(before, _)| *before != leader) {
                        *last_seen = Some((leader, Instant::now()));
                    }
                    return Ok(false);
                }
                leader.term + 1
            }
        };
        let candidate = Leader { term, beat: 0, ended: false, ..self.own.clone() };
        if !self.campaign(&candidate).await? {
            return Ok(false);
        }
        self.own = candidate;
        info!(id = self.own.id, term, "leads");
        Leader::delete_older(&self.store, term).await;
        Ok(true)
    }

    /// Writes a candidate's object, and returns whether the candidate won.
    async fn campaign(&self, candidate: &Leader) -> Result<bool, StoreError> {
        let (key, text) = (Leader::key(candidate.term), to_json(candidate));
        if self.method == ElectionMethod::ConditionalCreate {
            return match self.store.put_if_absent(&key, text).await {
                Ok(()) => Ok(true),
                Err(error) if error.is_already_exists() => Ok(false),
                Err(error) => Err(error),
            };
        }
        self.store.put(&key, text).await?;
        tokio::time::sleep(LEASE_SETTLES_AFTER).await;
        let newest = Leader::newest(&self.store).await?;
        Ok(newest.is_some_and(|newest| newest == *candidate))
    }

    /// Writes heartbeats until another coordinator leads, and returns its name.
    pub(super) async fn hold_leadership(&mut self) -> String {
        loop {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            match Leader::newest(&self.store).await {
                Ok(Some(leader)) if self.is_superseded_by(&leader) => {
                    self.own.ended = true;
                    return leader.id;
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(error = %causes(&error), "cannot read the leader from the store");
                    continue;
                }
            }
            self.own.beat += 1;
            if let Err(error) = self.write().await {
                warn!(error = %causes(&error), "cannot write a heartbeat");
            }
        }
    }

    /// Returns whether the newest leader is another one: it has a later term, or has overwritten this coordinator's
    /// lease.
    fn is_superseded_by(&self, newest: &Leader) -> bool {
        let is_other_process = !newest.process.is_empty() && newest.process != self.own.process;
        newest.term > self.own.term || (newest.term == self.own.term && is_other_process)
    }

    async fn write(&self) -> Result<(), StoreError> {
        self.store.put(&Leader::key(self.own.term), to_json(&self.own)).await
    }

    /// Gives up the leadership, if this coordinator leads, so that another can take over at once.
    pub(super) async fn resign(&mut self) {
        if self.own.ended {
            return;
        }
        self.own.ended = true;
        // A leader that was stopped may have been superseded meanwhile: then the object is another one's, or deleted.
        if matches!(Leader::newest(&self.store).await, Ok(Some(newest)) if self.is_superseded_by(&newest)) {
            return;
        }
        if let Err(error) = self.write().await {
            warn!(error = %causes(&error), "cannot write the resignation: other coordinators take over after a delay");
        }
    }
}

fn to_json(leader: &Leader) -> Bytes {
    serde_json::to_vec(leader).expect("a leader has only string keys").into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn one_of_two_leads_and_the_other_supersedes_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let election = |id: &str| Election::new(store.clone(), id.to_owned());
        let (mut a, mut b) = (election("a"), election("b"));
        assert_eq!(a.wait_for_leadership(|_| {}).await, 1);
        assert!(!b.try_to_lead(&mut None, &|id| assert_eq!(id, "a")).await.unwrap());
        // Another process of the same name does not depose a leader that works.
        assert!(!election("a").try_to_lead(&mut None, &|_| {}).await.unwrap());
        // A coordinator that was killed and started again on its machine does not wait for itself.
        let gone = RunProcess { id: u32::MAX, ..RunProcess::current("here".to_owned()) };
        store.put(&Leader::key(1), to_json(&Leader { runs_as: Some(gone), ..a.own.clone() })).await.unwrap();
        let mut again = election("a");
        assert_eq!(again.wait_for_leadership(|_| {}).await, 2);
        // The one that was thought to be gone notices it, and leaves the later leader's object alone.
        assert_eq!(a.hold_leadership().await, "a");
        a.resign().await;
        // A stray file that sorts last hides no leader.
        store.put("coordinators/zzz.json", "{}".into()).await.unwrap();
        // A leader that writes no heartbeats is superseded after a while; one that resigned, at once.
        let leader = Leader::newest(&store).await.unwrap().unwrap();
        let long_ago = Instant::now().checked_sub(SILENCE_MAX + Duration::from_secs(1)).unwrap();
        assert!(b.try_to_lead(&mut Some((leader, long_ago)), &|_| {}).await.unwrap());
        let left = store.list_sorted("coordinators").await.unwrap();
        assert_eq!((b.own.term, left.len()), (3, 2), "{left:?}");
        assert_eq!(again.hold_leadership().await, "b", "the older one notices it");
        b.resign().await;
        assert_eq!(a.wait_for_leadership(|_| {}).await, 4);
    }

    #[tokio::test]
    async fn one_of_many_simultaneous_candidates_leads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let tries = (0..16).map(|index| {
            let mut election = Election::new(store.clone(), format!("c{index}"));
            async move { election.try_to_lead(&mut None, &|_| {}).await.unwrap() }
        });
        let led = futures::future::join_all(tries).await;
        assert_eq!(led.into_iter().filter(|led| *led).count(), 1);
    }

    #[tokio::test]
    async fn one_of_two_keeps_its_lease_if_the_store_does_not_decide() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let election =
            |id: &str| Election { method: ElectionMethod::Lease, ..Election::new(store.clone(), id.to_owned()) };
        let (mut a, mut b) = (election("a"), election("b"));
        let (mut last_a, mut last_b) = (None, None);
        let (a_leads, b_leads) = tokio::join!(a.try_to_lead(&mut last_a, &|_| {}), b.try_to_lead(&mut last_b, &|_| {}));
        let (a_leads, b_leads) = (a_leads.unwrap(), b_leads.unwrap());
        assert!(a_leads != b_leads, "a {a_leads}, b {b_leads}");
        let mut leader = if a_leads { a } else { b };
        // Another one read before the leader wrote, and wrote after the leader's lease had settled.
        let late = Leader { id: "late".to_owned(), process: "another".to_owned(), ..leader.own.clone() };
        store.put(&Leader::key(late.term), to_json(&late)).await.unwrap();
        assert_eq!(leader.hold_leadership().await, "late");
        leader.resign().await;
        assert_eq!(Leader::newest(&store).await.unwrap(), Some(late), "the other's lease is untouched");
    }
}
