//! All metrics of both programs. They are labelled by device class, kind and outcome; never by picture, shard or run,
//! whose number is unbounded.

use std::sync::LazyLock;

use prometheus::{
    Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder, exponential_buckets,
    register_histogram, register_int_counter, register_int_counter_vec, register_int_gauge, register_int_gauge_vec,
};

macro_rules! metrics {
    ($($name:ident: $type:ty = $register:ident!($($argument:expr),+ $(,)?);)+) => {
        $(
            #[doc = concat!("`", stringify!($name), "`; see its help text.")]
            pub static $name: LazyLock<$type> =
                LazyLock::new(|| $register!($($argument),+).expect("metrics have different names"));
        )+
    };
}

metrics! {
    // Metrics of the coordinator.
    WORKERS: IntGaugeVec = register_int_gauge_vec!("dqa_workers", "Workers that are connected", &["device"]);
    SLOTS: IntGaugeVec = register_int_gauge_vec!("dqa_slots", "Shards that workers can score at once", &["device"]);
    SHARDS_WAITING: IntGaugeVec = register_int_gauge_vec!("dqa_shards_waiting", "Shards of running runs that wait for a worker: the backlog", &["device"]);
    SHARDS_RUNNING: IntGaugeVec = register_int_gauge_vec!("dqa_shards_running", "Shards that workers are scoring", &["device"]);
    RUNS_ACTIVE: IntGauge = register_int_gauge!("dqa_runs_active", "Runs that are neither complete nor cancelled");
    SHARDS_DONE: IntCounter = register_int_counter!("dqa_shards_done_total", "Shards whose part is in the store");
    SHARDS_QUARANTINED: IntCounter = register_int_counter!("dqa_shards_quarantined_total", "Shards that were given up: their pictures are rows with an error");
    ATTEMPTS_FAILED: IntCounterVec = register_int_counter_vec!("dqa_attempts_failed_total", "Attempts at shards that failed", &["kind"]);
    WORKERS_LOST: IntCounter = register_int_counter!("dqa_workers_lost_total", "Workers that disappeared without signing off");
    WORKERS_REFUSED: IntCounterVec = register_int_counter_vec!("dqa_workers_refused_total", "Workers that were refused", &["why"]);
    ATTEMPT_SECONDS: Histogram = register_histogram!("dqa_attempt_seconds", "Seconds from a shard's assignment to its outcome", exponential_buckets(0.01, 2.0, 20).expect("the bucket bounds increase"));
    LEADS: IntGauge = register_int_gauge!("dqa_leads", "1 if this coordinator leads, 0 if it is on standby");
    // Metrics of a worker.
    CONNECTED: IntGauge = register_int_gauge!("dqa_connected", "1 if the worker is connected to a coordinator");
    WINDOWS: IntCounter = register_int_counter!("dqa_windows_total", "Windows scored");
    PICTURES: IntCounterVec = register_int_counter_vec!("dqa_pictures_total", "Pictures that were processed", &["outcome"]);
    SHARDS: IntCounterVec = register_int_counter_vec!("dqa_shards_total", "Shards that ended on this worker", &["outcome"]);
    SHARD_SECONDS: Histogram = register_histogram!("dqa_shard_seconds", "Seconds from a shard's arrival to its part", exponential_buckets(0.05, 2.0, 18).expect("the bucket bounds increase"));
}

/// Returns all metrics that have been used, in Prometheus's text format.
pub fn text() -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut text).expect("encoding to memory succeeds");
    String::from_utf8(text).expect("names and labels are text")
}
