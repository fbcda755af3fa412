//! Timeouts, retry limits and backoffs of the scheduler.

use std::time::Duration;

use dqa_proto::v1::DeviceClass;

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// A worker is lost after this long without a report.
    pub(crate) silence_max: Duration,
    /// A worker is lost this long after its stream closed, unless it opens another.
    pub(crate) reconnect_max: Duration,
    /// A task that its worker has not confirmed within this time was lost on the way.
    pub(crate) delivery_max: Duration,
    /// Lost deliveries of a shard to all workers before its run fails: more attempts do not help then.
    pub(crate) deliveries_max: u32,
    /// Time to fetch and load a model.
    pub(crate) model_load_max: Duration,
    /// Fixed part of a shard's deadline, added to the estimated time of its windows.
    pub(crate) deadline_base: Duration,
    /// Windows per second of the slowest CPU worker.
    pub(crate) cpu_windows_per_second_min: f64,
    /// Windows per second of the slowest CUDA device.
    pub(crate) cuda_windows_per_second_min: f64,
    /// An attempt fails this long after its deadline, even if its worker still reports.
    pub(crate) overrun_max: Duration,
    /// Backoff after the first failure.
    pub(crate) backoff_min: Duration,
    /// Upper bound of the doubled backoffs.
    pub(crate) backoff_max: Duration,
    /// Failures of the store that all workers share, on one shard, before its run fails and waits for an operator.
    pub(crate) store_failures_max: u32,
    /// A shard is quarantined after this many failures (device, panic, deadline), if it failed on as many workers or no
    /// other is left. As many workers are enough to give up a picture that they cannot read, or a model that they die of.
    pub(crate) failures_max: usize,
    /// Deaths of workers, with or without other shards on them, before a shard is quarantined.
    pub(crate) deaths_max: u32,
    /// Deaths of workers that ran nothing else before a shard is quarantined.
    pub(crate) exclusive_deaths_max: u32,
    /// Deaths of workers that were loading a run's model, before any had loaded it, before the run fails.
    pub(crate) load_deaths_max: u32,
    /// Consecutive failures after which a worker gets no shards for a while, if other workers succeed meanwhile.
    pub(crate) bench_after: u32,
    /// The time for which it gets none; each further failure doubles it.
    pub(crate) bench_min: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            // Five reports. With the time to notice it, the shards of a killed machine run again within 12 s.
            silence_max: Duration::from_secs(10),
            reconnect_max: Duration::from_secs(3),
            // A response to a poll is rarely lost, but a busy machine may take long to confirm it.
            delivery_max: Duration::from_secs(30),
            deliveries_max: 10,
            // 1.7 GB at 1 MB/s.
            model_load_max: Duration::from_secs(1800),
            deadline_base: Duration::from_secs(120),
            cpu_windows_per_second_min: 1.0,
            cuda_windows_per_second_min: 50.0,
            overrun_max: Duration::from_secs(60),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            store_failures_max: 12,
            failures_max: 3,
            deaths_max: 5,
            exclusive_deaths_max: 2,
            load_deaths_max: 3,
            bench_after: 3,
            bench_min: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// Returns the time that a shard with this many windows may take on a device.
    pub(crate) fn deadline(&self, windows: u64, class: DeviceClass) -> Duration {
        let rate = match class {
            DeviceClass::Cuda => self.cuda_windows_per_second_min,
            DeviceClass::Cpu | DeviceClass::Unspecified => self.cpu_windows_per_second_min,
        };
        self.deadline_base + Duration::from_secs_f64(windows as f64 / rate)
    }
}
