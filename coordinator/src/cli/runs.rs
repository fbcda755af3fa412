//! `dqa-coord runs`: what a store, or a coordinator, has been asked for.

use std::io::{BufWriter, Write, stdout};

use clap::ValueEnum;
use dqa_pipelines::run::RunRecord;
use dqa_worker::program::{Done, Unwritten};

use super::remote::RemoteArgs;
use super::{StoreArgs, overview};

/// Lists the runs of a store, or of a coordinator.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// How they are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How records are written.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For reading.
    Table,
    /// One record a line.
    Json,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(mut client) = args.remote.client()? {
        overview::print(&overview::runs(&mut client, None).await?, args.format)?;
        return Ok(Done::All);
    }
    let records = RunRecord::all(&args.store.open().await?).await?;
    print(&records, args.format)?;
    Ok(Done::All)
}

fn print(records: &[RunRecord], format: Format) -> Result<(), Unwritten> {
    let mut out = BufWriter::new(stdout().lock());
    if matches!(format, Format::Table) {
        writeln!(out, "{:32} {:8} {:>9} {:>8} {:>6}  updated", "run", "state", "pictures", "scored", "failed")?;
    }
    for record in records {
        match format {
            Format::Json => {
                let line = serde_json::to_string(record).expect("a record has text for keys");
                writeln!(out, "{line}")?;
            }
            Format::Table => {
                let counts = record.counts;
                writeln!(
                    out,
                    "{:32} {:8} {:>9} {:>8} {:>6}  {:.0}",
                    record.name, record.state, counts.pictures, counts.scored, counts.failed, record.updated
                )?;
            }
        }
    }
    Ok(out.flush()?)
}
