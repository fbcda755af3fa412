//! The periodic work of a leading coordinator: timeouts of the scheduler, rates of runs, gauges.

use std::sync::Arc;
use std::time::Duration;

use dqa_proto::v1::DeviceClass;
use dqa_service::telemetry::metrics;
use dqa_service::wire::device_class_name;
use tokio::time::MissedTickBehavior;

use super::control_plane::ControlPlane;
use super::scheduler::Scheduler;

const TICK_EVERY: Duration = Duration::from_millis(500);
const CLASSES: [DeviceClass; 2] = [DeviceClass::Cpu, DeviceClass::Cuda];

/// Ticks until the future is dropped.
pub(super) async fn tick_forever(plane: &Arc<ControlPlane>) {
    let mut interval = tokio::time::interval(TICK_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        plane.update_scheduler(Scheduler::tick);
        set_gauges(plane);
        sample_rates(plane);
    }
}

fn set_gauges(plane: &ControlPlane) {
    for class in CLASSES {
        let demand = plane.scheduler.read(|scheduler, _| scheduler.demand(class));
        let set = |metric: &prometheus::IntGaugeVec, value: usize| {
            metric.with_label_values(&[device_class_name(class)]).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&metrics::WORKERS, demand.workers);
        set(&metrics::SLOTS, demand.slots);
        set(&metrics::SHARDS_WAITING, demand.waiting);
        set(&metrics::SHARDS_RUNNING, demand.running);
    }
    metrics::RUNS_ACTIVE.set(i64::try_from(plane.runs.count_active()).unwrap_or(i64::MAX));
}

fn sample_rates(plane: &ControlPlane) {
    for run in plane.runs.all() {
        if let Some(id) = run.scheduler_id() {
            run.sample_rate(plane.tally(id).windows_done);
        }
    }
}
