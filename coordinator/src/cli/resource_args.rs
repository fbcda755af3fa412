//! Flags for the device, threads and memory of commands that train.

use clap::builder::BoolishValueParser;
use dqa_engine::shard::StopFlag;
use dqa_engine::train::TrainingResources;
use dqa_service::model_args::{LimitArgs, MachineArgs, device_label, open_device};
use dqa_service::program::help::headings;

/// The device, threads and memory that trainings may use.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct TrainingResourceArgs {
    /// Device of the trainings: cpu, or cuda:N.
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_DEVICE", default_value = "cpu")]
    pub(super) device: String,

    /// MiB for decoded pictures kept between epochs.
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_KEPT_MIB", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    kept_mib: u64,

    #[command(flatten)]
    pub(super) machine: MachineArgs,

    #[command(flatten)]
    pub(super) limits: LimitArgs,

    /// Take hf: models only from the local cache, without the network.
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    pub(super) offline: bool,
}

impl TrainingResourceArgs {
    /// Opens the device and starts the threads.
    pub(super) fn open(&self) -> anyhow::Result<TrainingResources> {
        let device = open_device(&self.device)?;
        self.machine.start_threads()?;
        Ok(TrainingResources {
            device_name: device_label(&device, &self.device),
            settings: self.machine.settings(None, &device, self.limits.limits()),
            kept_bytes_max: self.kept_mib << 20,
            stop: StopFlag::default(),
            device,
        })
    }
}
