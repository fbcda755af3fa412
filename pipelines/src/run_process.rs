//! The process that works on a local run. It writes the object `runs/<run>/process.json` when it starts, writes it again every
//! [`HEARTBEAT_INTERVAL`], and deletes it when it ends by itself. A run without that object, or whose process is gone, is not
//! being worked on.
//!
//! A reader on the same machine checks whether the process is alive. A reader elsewhere only sees how long ago the object was
//! written, by the store's clock.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::RunName;
use crate::run::RUNS;
use crate::store::{Store, StoreError};

/// Time between two writes of the object.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// A process of another machine is considered gone when its object is older than this. 5 minutes are 30 heartbeats, and more
/// than the clocks of a reader and a store differ by.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// A process that works on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProcess {
    /// The machine's name, for people.
    pub host: String,
    /// The process ID.
    pub id: u32,
    /// When it started to work on the run.
    pub since: Timestamp,
    /// Distinguishes the process from others with the same ID.
    #[serde(flatten)]
    pub identity: ProcessIdentity,
    /// The number of heartbeats so far.
    pub beat: u64,
}

/// Where a process runs and when it was started, as reported by its kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Identifies the kernel's boot and the PID namespace: equal for two processes exactly if a process ID means the same
    /// process to both. None if the kernel does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// When the process was started, in the kernel's ticks. Process IDs are reused, but not with the same start. None if the
    /// kernel does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
}

impl RunProcess {
    /// Describes the current process, starting now.
    pub fn current(host: String) -> RunProcess {
        let id = std::process::id();
        let identity = ProcessIdentity { machine: machine(), started: start_time(id) };
        RunProcess { host, id, since: Timestamp::now(), identity, beat: 0 }
    }

    /// Returns the key of the object of a run's process.
    pub(crate) fn key(run: &RunName) -> String {
        format!("{RUNS}/{run}/process.json")
    }

    /// Reads the process of a run and when it was last written. None if there is no such object.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(store: &Store, run: &RunName) -> Result<Option<(RunProcess, Timestamp)>, StoreError> {
        let key = RunProcess::key(run);
        let found = async { Ok::<_, StoreError>((store.get(&key).await?, store.modified(&key).await?)) };
        match found.await {
            Err(error) if error.is_not_found() => Ok(None),
            // An incomplete object, or one of a later version, does not say which process it was.
            Ok((bytes, written)) => Ok(serde_json::from_slice(&bytes).ok().map(|process| (process, written))),
            Err(error) => Err(error),
        }
    }

    /// Writes this process as the one that works on a run.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn write(&self, store: &Store, run: &RunName) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).expect("a process has text for keys");
        store.put(&RunProcess::key(run), text.into()).await
    }

    /// Deletes the object of the process that worked on a run.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete(store: &Store, run: &RunName) -> Result<(), StoreError> {
        store.delete(&RunProcess::key(run)).await
    }

    /// Returns whether two descriptions are of the same process.
    pub fn is_same(&self, other: &RunProcess) -> bool {
        (self.id, &self.host, &self.identity) == (other.id, &other.host, &other.identity)
    }

    /// Returns whether the process is alive: on the same machine by asking the kernel, elsewhere by its last heartbeat.
    pub fn is_alive(&self, written: Timestamp, now: Timestamp) -> bool {
        self.is_alive_as_seen_from(machine().as_deref(), start_time, written, now)
    }

    /// Returns whether the process ran on this machine and is gone. Of a process elsewhere nothing is known.
    pub fn is_known_to_have_ended(&self) -> bool {
        let is_here = machine().is_some_and(|machine| self.identity.machine == Some(machine));
        is_here && self.identity.started.is_some() && start_time(self.id) != self.identity.started
    }

    /// Returns what [`RunProcess::is_alive`] would on `machine`, where `start_time` returns when a living process was started.
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

fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Each container has a PID namespace of its own.
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Returns when a process was started, in the kernel's ticks. None if it has ended, even if its parent has not waited for it.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold any characters.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    // The first of these fields was the third, and the start is the twenty-second.
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
    fn on_the_same_machine_only_the_process_itself_is_alive() {
        let own = process(Some("m"), Some(5));
        let seen = |start: Option<u64>, now| own.is_alive_as_seen_from(Some("m"), |_| start, at(0), at(now));
        assert!(seen(Some(5), 0));
        assert!(seen(Some(5), 1_000_000), "one that lives works, however long it is silent");
        assert!(!seen(None, 0), "it has ended");
        assert!(!seen(Some(6), 0), "another has its number");
    }

    #[test]
    fn from_elsewhere_a_process_is_alive_while_its_heartbeat_is_recent() {
        for (own_machine, reader) in [(Some("m"), Some("n")), (None, Some("n")), (Some("m"), None), (None, None)] {
            let own = process(own_machine, Some(5));
            let seen = |now| own.is_alive_as_seen_from(reader, |_| unreachable!("it is not here"), at(1000), at(now));
            let silent_max = i64::try_from(HEARTBEAT_TIMEOUT.as_secs()).unwrap();
            assert!(seen(1000) && seen(1000 + silent_max));
            assert!(seen(0), "the store's clock is before this one");
            assert!(!seen(1001 + silent_max));
        }
    }

    #[test]
    fn this_process_is_alive() {
        let own = RunProcess::current("h".to_owned());
        assert_eq!(own.identity.started.is_some(), cfg!(target_os = "linux"));
        assert!(own.is_alive(Timestamp::now(), Timestamp::now()));
        let text = serde_json::to_string(&own).unwrap();
        assert!(serde_json::from_str::<RunProcess>(&text).unwrap().is_same(&own), "{text}");
        assert!(!own.is_known_to_have_ended());
        let gone = RunProcess { id: u32::MAX, ..own };
        assert_eq!(gone.is_known_to_have_ended(), cfg!(target_os = "linux"));
    }
}
