//! Whether and when there is another try, by what kind of trouble there was and with how many workers.

use std::fmt;
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_worker::cluster::kind_name;

/// What the scheduler goes by.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// A worker that is not heard of for so long is gone.
    pub(crate) silent_max: Duration,
    /// One whose stream closed and that opened no other.
    pub(crate) closed_max: Duration,
    /// An order that its worker has not taken by then was lost on the way.
    pub(crate) untaken_max: Duration,
    /// So often; then something is wrong that another try does not mend.
    pub(crate) untaken_times_max: u32,
    /// A model is fetched and loaded by then.
    pub(crate) loading_max: Duration,
    /// On the device a shard has so long beside what its windows take.
    pub(crate) deadline_min: Duration,
    /// Windows a second that the slowest device does: on a CPU, and with CUDA.
    pub(crate) windows_per_second_min: (f64, f64),
    /// An attempt that is so much past its deadline is given up though its worker lives.
    pub(crate) late_max: Duration,
    /// Between a failure and the next try: at first, and at most.
    pub(crate) again_min: Duration,
    /// See [`Policy::again_min`].
    pub(crate) again_max: Duration,
    /// Failures of the store that a shard may meet before its run waits for people.
    pub(crate) store_failures_max: u32,
    /// Workers on which a shard fails (devices, panics, deadlines) before it is given up; where there are fewer, so often.
    pub(crate) failures_max: usize,
    /// Workers that may die of a shard: with others beside it, and alone.
    pub(crate) deaths_max: (u32, u32),
    /// Failures in a row after which a worker is left alone for a time, if there are others.
    pub(crate) bench_after: u32,
    /// For so long at first, and twice as long each time.
    pub(crate) bench_for: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            // Five reports. With the time to notice, a killed machine's shards run again within 12 s.
            silent_max: Duration::from_secs(10),
            closed_max: Duration::from_secs(3),
            // An answer to a poll is rarely lost, and on a busy machine it may take its time.
            untaken_max: Duration::from_secs(30),
            untaken_times_max: 10,
            // 1.7 GB at 1 MB/s.
            loading_max: Duration::from_secs(1800),
            deadline_min: Duration::from_secs(120),
            windows_per_second_min: (1.0, 50.0),
            late_max: Duration::from_secs(60),
            again_min: Duration::from_secs(1),
            again_max: Duration::from_secs(60),
            store_failures_max: 12,
            failures_max: 3,
            deaths_max: (5, 2),
            bench_after: 3,
            bench_for: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// How long a shard of so many windows may take on the device.
    pub(crate) fn deadline(&self, windows: u64, class: DeviceClass) -> Duration {
        let (cpu, cuda) = self.windows_per_second_min;
        let rate = if class == DeviceClass::Cuda { cuda } else { cpu };
        self.deadline_min + Duration::from_secs_f64(windows as f64 / rate)
    }
}

/// What the rows of a shard that was given up say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Workers died while they scored it.
    WorkerDied,
    /// The device or the model failed on it.
    Device,
    /// It took too long.
    Deadline,
    /// It panicked.
    Internal,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::WorkerDied => "worker_died",
            Code::Device => "device",
            Code::Deadline => "deadline",
            Code::Internal => "internal",
        })
    }
}

/// Why an attempt did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardFailure {
    /// Its worker says so.
    Of(FailureKind),
    /// It never came to its worker.
    Untaken,
    /// It cannot come to any worker.
    Hopeless,
}

impl ShardFailure {
    /// As logs and metrics have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            ShardFailure::Of(kind) => kind_name(kind),
            ShardFailure::Untaken => "untaken",
            ShardFailure::Hopeless => "hopeless",
        }
    }

    /// Whether it tells of its worker, if other shards there go the same way.
    pub(super) fn is_of_worker(self) -> bool {
        matches!(self, ShardFailure::Of(FailureKind::Device | FailureKind::Internal | FailureKind::Unspecified))
    }
}

/// What happened to a shard so far.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    store: u32,
    untaken: u32,
    failures: usize,
    /// Workers on which it failed; most shards never fail.
    failed_on: Vec<String>,
    deaths: u32,
    deaths_alone: u32,
}

/// What comes after a failure.
pub(super) enum Verdict {
    Again(Duration),
    GiveUp(Code),
    /// No other try would do better; people have to look.
    Break,
}

impl History {
    /// After an attempt on `worker`; `others`: how many there are on which it has not failed.
    pub(super) fn after(
        &mut self,
        trouble: ShardFailure,
        (worker, attempt): (&str, u64),
        others: usize,
        policy: &Policy,
    ) -> Verdict {
        let ShardFailure::Of(kind) = trouble else {
            self.untaken += 1;
            let is_over = trouble == ShardFailure::Hopeless || self.untaken >= policy.untaken_times_max;
            return if is_over { Verdict::Break } else { Verdict::Again(Duration::ZERO) };
        };
        let code = match kind {
            FailureKind::Store => {
                self.store += 1;
                if self.store > policy.store_failures_max {
                    return Verdict::Break;
                }
                let doubled = policy.again_min * 2u32.saturating_pow((self.store - 1).min(16));
                return Verdict::Again(spread(doubled.min(policy.again_max), attempt));
            }
            FailureKind::Model => return Verdict::Break,
            FailureKind::Stopped | FailureKind::HandedBack => return Verdict::Again(Duration::ZERO),
            FailureKind::Device => Code::Device,
            FailureKind::Deadline => Code::Deadline,
            FailureKind::Internal | FailureKind::Unspecified => Code::Internal,
        };
        self.failures += 1;
        if !self.has_failed_on(worker) {
            self.failed_on.push(worker.to_owned());
        }
        let is_over =
            self.failed_on.len() >= policy.failures_max || self.failures >= policy.failures_max && others == 0;
        if is_over { Verdict::GiveUp(code) } else { Verdict::Again(policy.again_min) }
    }

    /// Whether it failed on this worker: another is to try it, if there is one.
    pub(super) fn has_failed_on(&self, worker: &str) -> bool {
        self.failed_on.iter().any(|other| other == worker)
    }

    /// Its worker died; `alone`: it was all that this one had.
    pub(super) fn died(&mut self, alone: bool) {
        self.deaths += 1;
        self.deaths_alone += u32::from(alone);
    }

    /// The worker lives after all.
    pub(super) fn did_not_die(&mut self, alone: bool) {
        self.deaths = self.deaths.saturating_sub(1);
        self.deaths_alone = self.deaths_alone.saturating_sub(u32::from(alone));
    }

    /// It has killed more workers than chance would.
    pub(super) fn is_fatal(&self, policy: &Policy) -> bool {
        // Deaths alone count only once it was suspected: a machine may be taken away while one shard is on it.
        let alone = if self.deaths > SUSPECT { self.deaths_alone } else { 0 };
        self.deaths >= policy.deaths_max.0 || alone >= policy.deaths_max.1
    }

    /// What else a worker does must not die of it, nor be taken for the culprit.
    pub(super) fn must_be_alone(&self) -> bool {
        self.deaths >= SUSPECT
    }
}

/// Workers that died under a shard before it is suspected.
const SUSPECT: u32 = 2;

/// Between half of a delay and all of it: those that failed together do not come back together.
fn spread(delay: Duration, attempt: u64) -> Duration {
    let share = attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    delay.mul_f64(0.5 + 0.5 * share as f64 / f64::from(u32::MAX))
}
