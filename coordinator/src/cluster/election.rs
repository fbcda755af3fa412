//! Elects one leader among the coordinators of a store: the one that created the newest object in `coordinators/`.
//! Creating an object that does not exist yet is the one operation that nearly every store grants to only one of
//! several clients. The leader writes heartbeats into its object; a coordinator that sees no new heartbeat for
//! long enough creates the next object.
//!
//! If the store does not decide (as [`Election::probe_store`] finds out), the object is written and read again after a
//! while. It is a lease then, which two coordinators that start at once may both have until the next heartbeat shows
//! one of them that the other has overwritten it.
//!
//! Two coordinators that both believe they lead do no harm, because a part does not depend on the coordinator that dispatched
//! it. Some shards are scored twice until the older one notices.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::store::{ConditionalCreate, Store, StoreError};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

const LEADERS: &str = "coordinators";
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Time from writing a lease to reading it again: longer than another coordinator takes from its read to its write.
const LEASE_SETTLES_AFTER: Duration = HEARTBEAT_INTERVAL;
/// Five heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A leader's object in the store. The names of its fields are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    /// The coordinator's name, the same after a restart.
    id: String,
    term: u64,
    beat: u64,
    /// The leader has resigned.
    ended: bool,
    /// Tells two processes of one name apart.
    #[serde(default)]
    process: String,
}

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

fn key(term: u64) -> String {
    format!("{LEADERS}/{term:010}.json")
}

impl Election {
    pub(super) fn new(store: Store, id: String) -> Election {
        let process = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let own = Leader { id, term: 0, beat: 0, ended: true, process };
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
        let newest = self.newest().await?;
        let term = match newest {
            None => 1,
            Some(leader) => {
                on_leader(&leader.id);
                let may_follow = leader.ended || leader.id == self.own.id;
                let is_silent = match last_seen {
                    Some((before, since)) if *before == leader => since.elapsed() > SILENCE_MAX,
                    _ => false,
                };
                if !may_follow && !is_silent {
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
        self.delete_older().await;
        Ok(true)
    }

    /// Writes a candidate's object, and returns whether the candidate won.
    async fn campaign(&self, candidate: &Leader) -> Result<bool, StoreError> {
        let (key, text) = (key(candidate.term), to_json(candidate));
        if self.method == ElectionMethod::ConditionalCreate {
            return match self.store.put_if_absent(&key, text).await {
                Ok(()) => Ok(true),
                Err(error) if error.is_already_exists() => Ok(false),
                Err(error) => Err(error),
            };
        }
        self.store.put(&key, text).await?;
        tokio::time::sleep(LEASE_SETTLES_AFTER).await;
        let newest = self.newest().await?;
        Ok(newest.is_some_and(|newest| newest == *candidate))
    }

    /// Writes heartbeats until another coordinator leads, and returns its name.
    pub(super) async fn hold_leadership(&mut self) -> String {
        loop {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            match self.newest().await {
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
            if let Err(error) = self.store.put(&key(self.own.term), to_json(&self.own)).await {
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

    /// Gives up the leadership, if this coordinator leads, so that another can take over at once.
    pub(super) async fn resign(&mut self) {
        if self.own.ended {
            return;
        }
        self.own.ended = true;
        if let Err(error) = self.store.put(&key(self.own.term), to_json(&self.own)).await {
            warn!(error = %causes(&error), "cannot write the resignation: other coordinators take over after a delay");
        }
    }

    async fn newest(&self) -> Result<Option<Leader>, StoreError> {
        let listed = self.store.list_sorted(LEADERS).await?;
        let Some(newest) = listed.last() else {
            return Ok(None);
        };
        let term = newest.key.rsplit('/').next().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        let bytes = match self.store.get(&newest.key).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let (id, process) = ("unknown".to_owned(), String::new());
        let unreadable = Leader { id, term: term.unwrap_or(0), beat: 0, ended: false, process };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or(unreadable)))
    }

    async fn delete_older(&self) {
        let Ok(listed) = self.store.list_sorted(LEADERS).await else {
            return;
        };
        for older in listed.iter().filter(|object| object.key < key(self.own.term)) {
            // If this fails, the next leader deletes it.
            let _ = self.store.delete(&older.key).await;
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
        // A coordinator that was killed and started again does not wait for itself.
        let mut again = election("a");
        assert_eq!(again.wait_for_leadership(|_| {}).await, 2);
        // A leader that writes no heartbeats is superseded after a while; one that resigned, at once.
        let leader = again.newest().await.unwrap().unwrap();
        let long_ago = Instant::now().checked_sub(SILENCE_MAX + Duration::from_secs(1)).unwrap();
        assert!(b.try_to_lead(&mut Some((leader, long_ago)), &|_| {}).await.unwrap());
        assert_eq!((b.own.term, store.list_sorted(LEADERS).await.unwrap().len()), (3, 1));
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
        store.put(&key(late.term), to_json(&late)).await.unwrap();
        assert_eq!(leader.hold_leadership().await, "late");
        leader.resign().await;
        assert_eq!(leader.newest().await.unwrap(), Some(late), "the other's lease is untouched");
    }
}
