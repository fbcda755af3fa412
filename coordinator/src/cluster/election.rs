//! Which of several coordinators of one store works: the one that made the newest object in `coordinators/`. Making an
//! object that is not there yet is the one thing that nearly every store does for one of many only. The leader writes a beat
//! into its own; who sees no new beat for long enough makes the next.
//!
//! A store that does not decide (found out by [`Election::probe`]) has the object written, and read again after a time: a lease
//! that two who start at once may both have, until the next beat shows one of them that the other has overwritten it.
//!
//! Two that both think that they lead do no harm: parts do not depend on who has them made. It is work done twice, until
//! the older one looks.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::store::{Creation, Store, StoreError};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

const LEADERS: &str = "coordinators";
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// From when a lease is written to when it is read again: longer than another takes from its look to its write.
const SETTLED_AFTER: Duration = BEAT_EVERY;
/// Five beats.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leader {
    /// A coordinator's name: the same after it was started again.
    pub(super) id: String,
    term: u64,
    beat: u64,
    /// It has gone home.
    ended: bool,
    /// The process: another one of the same name is another.
    #[serde(default)]
    process: String,
}

/// The way in which one of several coordinators comes to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ElectionMethod {
    /// One of them makes the object.
    Creation,
    /// Both write it, and one finds the other's.
    Lease,
}

/// A coordinator's place among those of its store.
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
        Election { store, own, method: ElectionMethod::Creation }
    }

    /// Finds out how the store decides between two coordinators, and says so where it is not the usual way.
    pub(super) async fn probe(&mut self) -> Result<(), StoreError> {
        let lease = "coordinators take turns by a lease that is written and read again: start one at a time on this store; of two, \
            one ends some seconds after it finds the other";
        match self.store.probe_creation().await? {
            Creation::Decided => {}
            Creation::DecidedWithoutLinks => {
                info!(
                    "the store's file system has no hard links: coordinators are decided between by files made exclusively"
                );
            }
            Creation::Ignored => {
                warn!("the store ignores conditional puts (If-None-Match: *): {lease}");
                self.method = ElectionMethod::Lease;
            }
            Creation::Refused(error) => {
                warn!(error = %causes(&error), "the store refuses conditional puts (If-None-Match: *): {lease}");
                self.method = ElectionMethod::Lease;
            }
        }
        Ok(())
    }

    /// Waits until this one leads; the number of its term, which no other coordinator has. `seen` is told who leads.
    pub(super) async fn wait(&mut self, seen: impl Fn(&str)) -> u64 {
        let mut last: Option<(Leader, Instant)> = None;
        loop {
            match self.try_to_lead(&mut last, &seen).await {
                Ok(true) => return self.own.term,
                Ok(false) => {}
                Err(error) => warn!(error = %causes(&error), "the store does not say who leads"),
            }
            tokio::time::sleep(BEAT_EVERY / 2).await;
        }
    }

    async fn try_to_lead(
        &mut self,
        last: &mut Option<(Leader, Instant)>,
        seen: &impl Fn(&str),
    ) -> Result<bool, StoreError> {
        let newest = self.newest().await?;
        let term = match newest {
            None => 1,
            Some(leader) => {
                seen(&leader.id);
                let may_follow = leader.ended || leader.id == self.own.id;
                let is_silent = match last {
                    Some((before, since)) if *before == leader => since.elapsed() > SILENT_MAX,
                    _ => false,
                };
                if !may_follow && !is_silent {
                    if last.as_ref().is_none_or(|(before, _)| *before != leader) {
                        *last = Some((leader, Instant::now()));
                    }
                    return Ok(false);
                }
                leader.term + 1
            }
        };
        let candidate = Leader { term, beat: 0, ended: false, ..self.own.clone() };
        if !self.is_made(&candidate).await? {
            return Ok(false);
        }
        self.own = candidate;
        info!(id = self.own.id, term, "leads");
        self.remove_older().await;
        Ok(true)
    }

    /// Makes a candidate's object: whether it, and no other, leads.
    async fn is_made(&self, candidate: &Leader) -> Result<bool, StoreError> {
        let (key, text) = (key(candidate.term), text(candidate));
        if self.method == ElectionMethod::Creation {
            return match self.store.create_object(&key, text).await {
                Ok(()) => Ok(true),
                Err(error) if error.is_taken() => Ok(false),
                Err(error) => Err(error),
            };
        }
        self.store.put(&key, text).await?;
        tokio::time::sleep(SETTLED_AFTER).await;
        let newest = self.newest().await?;
        Ok(newest.is_some_and(|newest| newest == *candidate))
    }

    /// Beats until another leads.
    pub(super) async fn keep(&mut self) -> String {
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            match self.newest().await {
                Ok(Some(leader)) if self.is_followed_by(&leader) => {
                    self.own.ended = true;
                    return leader.id;
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(error = %causes(&error), "the store does not say who leads");
                    continue;
                }
            }
            self.own.beat += 1;
            if let Err(error) = self.store.put(&key(self.own.term), text(&self.own)).await {
                warn!(error = %causes(&error), "a beat is not written");
            }
        }
    }

    /// Whether the newest leader is another: of a later term, or one that has overwritten this one's lease.
    fn is_followed_by(&self, newest: &Leader) -> bool {
        let is_other = !newest.process.is_empty() && newest.process != self.own.process;
        newest.term > self.own.term || (newest.term == self.own.term && is_other)
    }

    /// Lets another take over at once, if this one leads.
    pub(super) async fn end(&mut self) {
        if self.own.ended {
            return;
        }
        self.own.ended = true;
        if let Err(error) = self.store.put(&key(self.own.term), text(&self.own)).await {
            warn!(error = %causes(&error), "others wait before they take over");
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
        let unread = Leader { id, term: term.unwrap_or(0), beat: 0, ended: false, process };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or(unread)))
    }

    async fn remove_older(&self) {
        let Ok(listed) = self.store.list_sorted(LEADERS).await else {
            return;
        };
        for older in listed.iter().filter(|object| object.key < key(self.own.term)) {
            // The next leader does it otherwise.
            let _ = self.store.delete(&older.key).await;
        }
    }
}

fn text(leader: &Leader) -> Bytes {
    serde_json::to_vec(leader).expect("it has text for keys").into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn one_of_two_leads_and_the_other_follows_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let election = |id: &str| Election::new(store.clone(), id.to_owned());
        let (mut a, mut b) = (election("a"), election("b"));
        assert_eq!(a.wait(|_| {}).await, 1);
        assert!(!b.try_to_lead(&mut None, &|id| assert_eq!(id, "a")).await.unwrap());
        // It was killed and started again: it does not wait for itself.
        let mut again = election("a");
        assert_eq!(again.wait(|_| {}).await, 2);
        // A leader that does not beat is followed after a time; one that has gone home at once.
        let leader = again.newest().await.unwrap().unwrap();
        let long_ago = Instant::now().checked_sub(SILENT_MAX + Duration::from_secs(1)).unwrap();
        assert!(b.try_to_lead(&mut Some((leader, long_ago)), &|_| {}).await.unwrap());
        assert_eq!((b.own.term, store.list_sorted(LEADERS).await.unwrap().len()), (3, 1));
        assert_eq!(again.keep().await, "b", "the older one sees it");
        b.end().await;
        assert_eq!(a.wait(|_| {}).await, 4);
    }

    #[tokio::test]
    async fn of_many_who_try_at_once_one_leads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let tries = (0..16).map(|at| {
            let mut election = Election::new(store.clone(), format!("c{at}"));
            async move { election.try_to_lead(&mut None, &|_| {}).await.unwrap() }
        });
        let led = futures::future::join_all(tries).await;
        assert_eq!(led.into_iter().filter(|led| *led).count(), 1);
    }

    #[tokio::test]
    async fn where_the_store_does_not_decide_one_of_two_keeps_its_lease() {
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
        // Another had looked before the leader wrote, and wrote after it had settled.
        let late = Leader { id: "late".to_owned(), process: "another".to_owned(), ..leader.own.clone() };
        store.put(&key(late.term), text(&late)).await.unwrap();
        assert_eq!(leader.keep().await, "late");
        leader.end().await;
        assert_eq!(leader.newest().await.unwrap(), Some(late), "it leaves the other's lease alone");
    }
}
