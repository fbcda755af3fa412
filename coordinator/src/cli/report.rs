//! `dqa-coord report`: how a run's scores agree with labels, and its leaderboards, as tables in the store and on the
//! terminal.

use std::io::{Write, stdout};

use anyhow::{anyhow, bail};
use clap::{ValueEnum, value_parser};
use dqa_pipelines::report::distributed::{GroupAgreement, GroupKind, text};
use dqa_pipelines::report::{self, REPLICATES_MIN, Report, ReportError, ReportIntervals, ReportOptions, Table};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_proto::v1;
use dqa_stats::Test;
use dqa_worker::program::{ExitStatus, Format, OutputError, note, with_hint};

use super::remote::{Client, RemoteArgs, refusal};
use super::run_selector::RunSelector;
use super::{Engine, StoreArgs};

/// Makes a run's reports again, writes their tables to the store and shows them.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    run: RunSelector,

    /// Who works it out. `cluster`: a coordinator's workers, SRCC and PLCC alone, for stores that one machine cannot hold;
    /// nothing is written to the store.
    #[arg(long, env = "DQA_ENGINE", value_enum, default_value_t = Engine::Local, value_name = "ENGINE")]
    engine: Engine,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// Only this table [default: all of them for reading, correlations as json and csv].
    #[arg(long, env = "DQA_TABLE", value_enum, value_name = "TABLE")]
    table: Option<TableArg>,

    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum TableArg {
    /// Agreement of scores with labels.
    Correlations,
    /// The algorithms in order.
    Leaderboard,
    /// Every pair of algorithms: difference, test, and what so many scenes can show.
    Comparisons,
    /// Agreement between data sets.
    CrossDataset,
}

/// How a report is made and shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// How results are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// How intervals of correlations are made [default: jackknife, or bootstrap if --replicates is given].
    #[arg(long, env = "DQA_INTERVALS", value_enum, value_name = "METHOD")]
    intervals: Option<IntervalsArg>,

    /// Draws of scenes, with --intervals bootstrap [default: 10000].
    #[arg(long, env = "DQA_REPLICATES", value_name = "N", value_parser = value_parser!(u32).range(i64::from(REPLICATES_MIN)..))]
    replicates: Option<u32>,

    /// Of all draws, those of a bootstrap and of flipped signs: the same seed, the same numbers [default: 0].
    #[arg(long, env = "DQA_SEED", value_name = "N")]
    seed: Option<u32>,

    /// How algorithms are compared.
    #[arg(long, env = "DQA_TEST", value_enum, default_value_t = TestArg::MaxDifference, value_name = "TEST")]
    test: TestArg,

    /// A difference of scores that does not matter: the comparisons then say which algorithms are equivalent within it (two
    /// one-sided t tests).
    #[arg(long, env = "DQA_MARGIN", value_name = "DIFFERENCE", value_parser = margin)]
    margin: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum TestArg {
    /// Flipped signs of scenes' deviations, the largest difference of all pairs, step-down. Its errors stay at the level
    /// whatever the shapes of the deviations.
    MaxDifference,
    /// The same with Student's t of each pair: more power where algorithms vary by very different amounts, more errors where
    /// deviations are skewed.
    MaxT,
    /// Wilcoxon's signed ranks over the scenes that both have, with Holm's correction.
    Wilcoxon,
}

impl From<TestArg> for Test {
    fn from(test: TestArg) -> Test {
        match test {
            TestArg::MaxDifference => Test::MaxDifference,
            TestArg::MaxT => Test::MaxT,
            TestArg::Wilcoxon => Test::Wilcoxon,
        }
    }
}

fn margin(text: &str) -> Result<f64, String> {
    let margin: f64 = text.parse().map_err(|_| format!("expected a number, found `{text}`"))?;
    if margin > 0.0 && margin.is_finite() { Ok(margin) } else { Err("expected a number above 0".to_owned()) }
}

/// How intervals of correlations are made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum IntervalsArg {
    /// Each scene is left out once, and Student's t: no chance, holds with few scenes too.
    Jackknife,
    /// Percentiles over draws of scenes with replacement; too narrow with few scenes.
    Bootstrap,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if args.engine == Engine::Cluster {
        return of_workers(args, &mut args.remote.required()?).await;
    }
    if let Some(mut client) = args.remote.client()? {
        return of_coordinator(args, &mut client).await;
    }
    let store = args.store.open().await?;
    let record = args.run.record(&store).await?;
    let report = args.report.make_and_write(&store, &record).await?;
    let all = [Table::Correlations, Table::CrossDataset, Table::Leaderboard];
    let table = args.table.map(|table| match table {
        TableArg::Correlations => Table::Correlations,
        TableArg::Leaderboard => Table::Leaderboard,
        TableArg::Comparisons => Table::Comparisons,
        TableArg::CrossDataset => Table::CrossDataset,
    });
    args.report.show(&report, table.as_ref().map_or(&all, std::slice::from_ref))?;
    Ok(ExitStatus::All)
}

async fn of_workers(args: &Args, client: &mut Client) -> anyhow::Result<ExitStatus> {
    if args.table.is_some_and(|table| table != TableArg::Correlations) {
        let error = anyhow!("a cluster works out correlations, and no other table");
        return Err(with_hint(error, "--engine local has them all"));
    }
    let request = v1::CorrelateRequest { name: args.run.remote(client).await?.name };
    let answer = client.correlate(request).await.map_err(|status| refusal(&status))?.into_inner();
    let groups = answer.groups.into_iter().map(group).collect::<anyhow::Result<Vec<_>>>()?;
    let text = match args.report.format {
        Format::Table => text::table(&groups),
        Format::Json => text::json(&groups),
        Format::Csv => text::csv(&groups),
    };
    print(&text)?;
    Ok(ExitStatus::All)
}

fn group(group: v1::GroupAgreement) -> anyhow::Result<GroupAgreement> {
    let group_kind = match group.group_kind() {
        v1::GroupKind::All => GroupKind::All,
        v1::GroupKind::Algorithm => GroupKind::Algorithm,
        v1::GroupKind::SceneGroup => GroupKind::SceneGroup,
        v1::GroupKind::Unspecified => bail!("the coordinator's answer has a group of no known kind"),
    };
    Ok(GroupAgreement {
        dataset: group.dataset,
        group_kind,
        group_name: group.group_name,
        pictures: group.pictures,
        failed: group.failed,
        unlabelled: group.unlabelled,
        n: group.n,
        srcc: group.srcc,
        plcc: group.plcc,
    })
}

async fn of_coordinator(args: &Args, client: &mut Client) -> anyhow::Result<ExitStatus> {
    let run = args.run.remote(client).await?.name;
    let tables = match args.table {
        Some(TableArg::Correlations) => vec![v1::Table::Correlations],
        Some(TableArg::Leaderboard) => vec![v1::Table::Leaderboard],
        Some(TableArg::Comparisons) => vec![v1::Table::Comparisons],
        Some(TableArg::CrossDataset) => vec![v1::Table::CrossDataset],
        // As json and csv a result is one table.
        None if args.report.format != Format::Table => vec![v1::Table::Correlations],
        None => vec![v1::Table::Correlations, v1::Table::CrossDataset, v1::Table::Leaderboard],
    };
    let request = v1::GetReportRequest { write: true, ..args.report.request(run, &tables) };
    print(&fetched(client, request).await?)?;
    Ok(ExitStatus::All)
}

/// A report's text, as its coordinator writes it.
pub(super) async fn fetched(client: &mut Client, request: v1::GetReportRequest) -> anyhow::Result<String> {
    let answer = client.get_report(request).await.map_err(|status| refusal(&status))?;
    Ok(answer.into_inner().text)
}

/// Writes text to standard output.
pub(super) fn print(text: &str) -> Result<(), OutputError> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

impl ReportArgs {
    /// What a coordinator is asked for; no tables: what a run ends with.
    pub(super) fn request(&self, name: String, tables: &[v1::Table]) -> v1::GetReportRequest {
        let format = match self.format {
            Format::Table => v1::TableFormat::Text,
            Format::Json => v1::TableFormat::Json,
            Format::Csv => v1::TableFormat::Csv,
        };
        v1::GetReportRequest {
            name,
            tables: tables.iter().map(|table| i32::from(*table)).collect(),
            format: format.into(),
            options: serde_json::to_string(&self.options()).expect("options have text for keys"),
            ..v1::GetReportRequest::default()
        }
    }

    /// What a run ends with: its reports in the store, the leaderboard last on the terminal.
    pub(super) async fn make_and_show(&self, store: &Store, record: &RunRecord) -> anyhow::Result<()> {
        let mut report = self.make_and_write(store, record).await?;
        report.correlations.retain(report::is_in_summary);
        let tables = [Table::Correlations, Table::Leaderboard];
        // As json and csv a result is one table.
        Ok(self.show(&report, if self.format == Format::Table { &tables } else { &tables[1..] })?)
    }

    async fn make_and_write(&self, store: &Store, record: &RunRecord) -> anyhow::Result<Report> {
        let report = report::make(store, record, &self.options()).await.map_err(advised)?;
        report.write(store).await?;
        Ok(report)
    }

    pub(super) fn options(&self) -> ReportOptions {
        let usual = ReportOptions::default();
        if matches!((self.intervals, self.replicates), (Some(IntervalsArg::Jackknife), Some(_))) {
            note(format_args!("--replicates is not used: the jackknife draws nothing"));
        }
        let intervals = match self.intervals {
            Some(IntervalsArg::Jackknife) => ReportIntervals::Jackknife,
            Some(IntervalsArg::Bootstrap) => ReportIntervals::Bootstrap,
            None if self.replicates.is_some() => ReportIntervals::Bootstrap,
            None => usual.intervals,
        };
        let replicates = self.replicates.unwrap_or(usual.replicates);
        ReportOptions {
            intervals,
            replicates,
            seed: self.seed.unwrap_or(usual.seed),
            test: self.test.into(),
            margin: self.margin,
        }
    }

    /// The tables for reading; as json and csv the first of them.
    pub(super) fn show(&self, report: &Report, tables: &[Table]) -> Result<(), OutputError> {
        let text = match self.format {
            Format::Json => report.json(tables[0]),
            Format::Csv => report.csv(tables[0]),
            Format::Table => {
                let texts = tables.iter().map(|table| report.text(*table)).filter(|text| !text.is_empty());
                texts.map(|text| text + "\n").collect::<String>() + &report.foot()
            }
        };
        print(&text)
    }
}

/// With what to do, where something can be done.
pub(super) fn advised(error: ReportError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}
