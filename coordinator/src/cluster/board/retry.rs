//! Whether and when there is another try, by what kind of trouble there was.

use std::fmt;
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, FailureKind};

/// What the board goes by.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// A worker that is not heard of for so long is gone.
    pub(crate) silent_max: Duration,
    /// One whose stream closed and that opened no other.
    pub(crate) closed_max: Duration,
    /// An order that its worker has not taken by then was lost on the way.
    pub(crate) unseen_max: Duration,
    /// A shard has so long beside what its windows take.
    pub(crate) deadline_min: Duration,
    /// Windows a second that the slowest device of its class does.
    pub(crate) windows_per_second_min: (f64, f64),
    /// An attempt that is so much past its deadline is given up though its worker lives.
    pub(crate) late_max: Duration,
    /// Between a failure of the store and the next try: at first, and at most.
    pub(crate) again_min: Duration,
    /// See [`Policy::again_min`].
    pub(crate) again_max: Duration,
    /// Failures of the store that a shard may meet before its run waits for people.
    pub(crate) store_failures_max: u32,
    /// Failures of devices, panics or deadlines, before a shard is given up.
    pub(crate) failures_max: u32,
    /// Workers that may die of a shard: with others beside it, and alone.
    pub(crate) deaths_max: (u32, u32),
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            // Five reports. With the time to notice, a killed machine's shards run again within 12 s.
            silent_max: Duration::from_secs(10),
            closed_max: Duration::from_secs(3),
            unseen_max: Duration::from_secs(10),
            deadline_min: Duration::from_secs(120),
            windows_per_second_min: (1.0, 50.0),
            late_max: Duration::from_secs(60),
            again_min: Duration::from_secs(1),
            again_max: Duration::from_secs(60),
            store_failures_max: 12,
            failures_max: 3,
            deaths_max: (5, 2),
        }
    }
}

impl Policy {
    /// How long a shard of so many windows may take.
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

/// What happened to a shard so far.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    store: u32,
    device: u32,
    deadline: u32,
    internal: u32,
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
    pub(super) fn after(&mut self, kind: FailureKind, attempt: u64, policy: &Policy) -> Verdict {
        let counted = |count: &mut u32, code| {
            *count += 1;
            if *count >= policy.failures_max { Verdict::GiveUp(code) } else { Verdict::Again(policy.again_min) }
        };
        match kind {
            FailureKind::Store => {
                self.store += 1;
                if self.store > policy.store_failures_max {
                    return Verdict::Break;
                }
                let doubled = policy.again_min * 2u32.saturating_pow((self.store - 1).min(16));
                Verdict::Again(spread(doubled.min(policy.again_max), attempt))
            }
            FailureKind::Device => counted(&mut self.device, Code::Device),
            FailureKind::Deadline => counted(&mut self.deadline, Code::Deadline),
            FailureKind::Internal | FailureKind::Unspecified => counted(&mut self.internal, Code::Internal),
            FailureKind::Model => Verdict::Break,
            FailureKind::Stopped | FailureKind::HandedBack => Verdict::Again(Duration::ZERO),
        }
    }

    /// Its worker went away; if it died, whether this shard was all that it had.
    pub(super) fn lost(&mut self, death: Option<bool>) {
        if let Some(alone) = death {
            self.deaths += 1;
            self.deaths_alone += u32::from(alone);
        }
    }

    /// It has killed more workers than chance would.
    pub(super) fn fatal(&self, policy: &Policy) -> Option<Code> {
        // Deaths alone count only once it was suspected: a machine may be taken away while one shard is on it.
        let alone = if self.deaths > SUSPECT { self.deaths_alone } else { 0 };
        (self.deaths >= policy.deaths_max.0 || alone >= policy.deaths_max.1).then_some(Code::WorkerDied)
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

/// A kind of trouble as logs and metrics have it.
pub(super) fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unspecified | FailureKind::Internal => "internal",
        FailureKind::Store => "store",
        FailureKind::Device => "device",
        FailureKind::Model => "model",
        FailureKind::Stopped => "stopped",
        FailureKind::Deadline => "deadline",
        FailureKind::HandedBack => "handed_back",
    }
}
