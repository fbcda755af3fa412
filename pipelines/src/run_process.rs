//! The process that works on a local run, as the store has it: `runs/<run>/process.json`, which the process writes when it
//! begins, writes again every [`HEARTBEAT_INTERVAL`], and removes when it ends by itself. Without that object, or with one whose
//! process is gone, nobody works on the run.
//!
//! A reader on the same machine looks whether the process lives. From elsewhere it can only see how long ago the object
//! was written, by the store's clock.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::RunName;
use crate::run::RUNS;
use crate::store::{Store, StoreError};

/// Between two writes of the object.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// A process of another machine whose object is older than this is gone. 5 minutes: 30 beats, and more than clocks of a
/// reader and a store differ by.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// A process that works on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProcess {
    /// The machine's name, for people.
    pub host: String,
    /// Its number on that machine.
    pub id: u32,
    /// When it began to work on the run.
    pub since: Timestamp,
    /// What tells it from others of its number.
    #[serde(flatten)]
    pub identity: ProcessIdentity,
    /// How often the object was written.
    pub beat: u64,
}

/// Where a process runs and when it was started, as its kernel says; None where the kernel does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Of the kernel's boot and of the processes that see each other: the same for two processes exactly where a number
    /// means the same process to both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The kernel's time of the process's start. Numbers are used again, but not at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
}

impl RunProcess {
    /// This process, from now on.
    pub fn current(host: String) -> RunProcess {
        let id = std::process::id();
        let identity = ProcessIdentity { machine: machine(), started: start_time(id) };
        RunProcess { host, id, since: Timestamp::now(), identity, beat: 0 }
    }

    /// The process that the store names for a run, with when it said so last; None where it names none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn find(store: &Store, run: &RunName) -> Result<Option<(RunProcess, Timestamp)>, StoreError> {
        let key = key(run);
        let found = async { Ok::<_, StoreError>((store.get(&key).await?, store.modified(&key).await?)) };
        match found.await {
            Err(error) if error.is_not_found() => Ok(None),
            // One that is not whole, or of a later version, says that somebody was there and not who.
            Ok((bytes, written)) => Ok(serde_json::from_slice(&bytes).ok().map(|process| (process, written))),
            Err(error) => Err(error),
        }
    }

    /// Writes that this process works on a run.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &Store, run: &RunName) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).expect("a process has text for keys");
        store.put(&key(run), text.into()).await
    }

    /// Removes what a process wrote of a run.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn remove(store: &Store, run: &RunName) -> Result<(), StoreError> {
        store.delete(&key(run)).await
    }

    /// Whether two are the same process.
    pub fn is_same(&self, other: &RunProcess) -> bool {
        (self.id, &self.host, &self.identity) == (other.id, &other.host, &other.identity)
    }

    /// Whether the process works: on this machine, whether it lives; elsewhere, whether it has said so not long ago.
    pub fn is_alive(&self, written: Timestamp, now: Timestamp) -> bool {
        self.is_alive_as_seen_from(machine().as_deref(), start_time, written, now)
    }

    /// As [`RunProcess::is_alive`], by a reader on `machine` who finds the start of each process that lives there by `start_time`.
    fn is_alive_as_seen_from(
        &self,
        machine: Option<&str>,
        start_time: impl Fn(u32) -> Option<u64>,
        written: Timestamp,
        now: Timestamp,
    ) -> bool {
        let is_here = machine.is_some() && self.identity.machine.as_deref() == machine;
        if is_here && self.identity.started.is_some() {
            return start_time(self.id) == self.identity.started;
        }
        now.duration_since(written).unsigned_abs() <= HEARTBEAT_TIMEOUT || written > now
    }
}

fn key(run: &RunName) -> String {
    format!("{RUNS}/{run}/process.json")
}

fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // A container counts its processes by itself.
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), numbers.display()))
}

/// When a process was started, in the kernel's ticks; None for one that has ended, whether or not its parent has noticed.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in brackets, with any characters in it.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    // The first of these was the third field, and the start is the twenty-second.
    let start = fields.nth(18)?.parse().ok()?;
    (!has_ended).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(machine: Option<&str>, started: Option<u64>) -> RunProcess {
        RunProcess {
            host: "h".to_owned(),
            id: 7,
            since: Timestamp::UNIX_EPOCH,
            identity: ProcessIdentity { machine: machine.map(str::to_owned), started },
            beat: 0,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn on_the_same_machine_only_the_process_itself_works() {
        let own = process(Some("m"), Some(5));
        let seen = |start: Option<u64>, now| own.is_alive_as_seen_from(Some("m"), |_| start, at(0), at(now));
        assert!(seen(Some(5), 0));
        assert!(seen(Some(5), 1_000_000), "one that lives works, however long it is silent");
        assert!(!seen(None, 0), "it has ended");
        assert!(!seen(Some(6), 0), "another has its number");
    }

    #[test]
    fn from_elsewhere_it_works_as_long_as_it_says_so() {
        for (of, from) in [(Some("m"), Some("n")), (None, Some("n")), (Some("m"), None), (None, None)] {
            let own = process(of, Some(5));
            let seen = |now| own.is_alive_as_seen_from(from, |_| unreachable!("it is not here"), at(1000), at(now));
            let silent_max = i64::try_from(HEARTBEAT_TIMEOUT.as_secs()).unwrap();
            assert!(seen(1000) && seen(1000 + silent_max));
            assert!(seen(0), "the store's clock is before this one");
            assert!(!seen(1001 + silent_max));
        }
    }

    #[test]
    fn this_process_lives() {
        let own = RunProcess::current("h".to_owned());
        assert_eq!(own.identity.started.is_some(), cfg!(target_os = "linux"));
        assert!(own.is_alive(Timestamp::now(), Timestamp::now()));
        let text = serde_json::to_string(&own).unwrap();
        assert!(serde_json::from_str::<RunProcess>(&text).unwrap().is_same(&own), "{text}");
    }
}
