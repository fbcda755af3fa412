//! `dqa-coord report`: how a run's scores agree with labels, and its leaderboards, as tables in the store and on the
//! terminal.

use std::io::{Write, stdout};

use anyhow::{anyhow, bail};
use clap::ValueEnum;
use dqa_pipelines::names::RunName;
use dqa_pipelines::place::Place;
use dqa_pipelines::report::distributed::{GroupAgreement, GroupKind, text};
use dqa_pipelines::report::{self, Report, ReportError, ReportIntervals, ReportOptions, Table};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::stats::Test;
use dqa_proto::v1;
use dqa_worker::program::{Done, Format, Unwritten, advise};

use super::remote::{Client, RemoteArgs, refusal};
use super::{Engine, StoreArgs, run_or_last};

/// Makes a run's reports again, writes their tables to the store and shows them.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run [default: the one that was planned last].
    #[arg(long, env = "DQA_RUN", value_name = "RUN")]
    run: Option<RunName>,

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

    /// How intervals of correlations are made [default: jackknife, or bootstrap if --replicates or --seed is given].
    #[arg(long, env = "DQA_INTERVALS", value_enum, value_name = "METHOD")]
    intervals: Option<IntervalsArg>,

    /// Draws of scenes, with --intervals bootstrap [default: 10000].
    #[arg(long, env = "DQA_REPLICATES", value_name = "N")]
    replicates: Option<u32>,

    /// Of these draws: the same seed, the same intervals [default: 0].
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

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    if args.engine == Engine::Cluster {
        return of_workers(args, &mut args.remote.required()?).await;
    }
    if let Some(mut client) = args.remote.client()? {
        return of_coordinator(args, &mut client).await;
    }
    let store = args.store.open().await?;
    let record = run_or_last(&store, args.run.as_ref()).await?;
    let report = args.report.make_and_write(&store, &record).await?;
    let all = [Table::Correlations, Table::CrossDataset, Table::Leaderboard];
    let table = args.table.map(|table| match table {
        TableArg::Correlations => Table::Correlations,
        TableArg::Leaderboard => Table::Leaderboard,
        TableArg::Comparisons => Table::Comparisons,
        TableArg::CrossDataset => Table::CrossDataset,
    });
    args.report.show(&report, table.as_ref().map_or(&all, std::slice::from_ref))?;
    Ok(Done::All)
}

async fn of_workers(args: &Args, client: &mut Client) -> anyhow::Result<Done> {
    if args.table.is_some_and(|table| table != TableArg::Correlations) {
        let error = anyhow!("a cluster works out correlations, and no other table");
        return Err(advise(error, "--engine local has them all"));
    }
    let request = v1::CorrelateRequest { name: named(args)?.to_string() };
    let answer = client.correlate(request).await.map_err(|status| refusal(&status))?.into_inner();
    let groups = answer.groups.into_iter().map(group).collect::<anyhow::Result<Vec<_>>>()?;
    let text = match args.report.format {
        Format::Table => text::table(&groups),
        Format::Json => text::json(&groups),
        Format::Csv => text::csv(&groups),
    };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritten::from)?;
    Ok(Done::All)
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

fn named(args: &Args) -> anyhow::Result<&RunName> {
    let hint = "give --run; `dqa-coord runs` lists them";
    args.run.as_ref().ok_or_else(|| advise(anyhow!("no run is named"), hint))
}

async fn of_coordinator(args: &Args, client: &mut Client) -> anyhow::Result<Done> {
    let run = named(args)?;
    let table = args.table.map(|table| match table {
        TableArg::Correlations => v1::Table::Correlations,
        TableArg::Leaderboard => v1::Table::Leaderboard,
        TableArg::Comparisons => v1::Table::Comparisons,
        TableArg::CrossDataset => v1::Table::CrossDataset,
    });
    let text = fetched(client, run.as_str(), table.as_slice(), args.report.format).await?;
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritten::from)?;
    Ok(Done::All)
}

/// A run's tables, as its coordinator writes them; none named: what a run ends with.
pub(super) async fn fetched(
    client: &mut Client,
    run: &str,
    tables: &[v1::Table],
    format: Format,
) -> anyhow::Result<String> {
    let format = match format {
        Format::Table => v1::TableFormat::Text,
        Format::Json => v1::TableFormat::Json,
        Format::Csv => v1::TableFormat::Csv,
    };
    let tables = tables.iter().map(|table| i32::from(*table)).collect();
    let request = v1::GetReportRequest { name: run.to_owned(), tables, format: format.into() };
    let answer = client.get_report(request).await.map_err(|status| refusal(&status))?;
    Ok(answer.into_inner().text)
}

impl ReportArgs {
    /// How results are written.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// What a run ends with: its reports in the store, the leaderboard last on the terminal.
    pub(super) async fn make_and_show(&self, store: &Place, record: &RunRecord) -> anyhow::Result<()> {
        let mut report = self.make_and_write(store, record).await?;
        report.correlations.retain(|row| row.group_kind == "all");
        let tables = [Table::Correlations, Table::Leaderboard];
        // As json and csv a result is one table.
        Ok(self.show(&report, if self.format == Format::Table { &tables } else { &tables[1..] })?)
    }

    async fn make_and_write(&self, store: &Place, record: &RunRecord) -> anyhow::Result<Report> {
        let report = report::make(store, record, &self.options()).await.map_err(advised)?;
        report.write(store).await?;
        Ok(report)
    }

    pub(super) fn options(&self) -> ReportOptions {
        let usual = ReportOptions::default();
        let draws = self.replicates.is_some() || self.seed.is_some();
        let intervals = match self.intervals {
            Some(IntervalsArg::Jackknife) => ReportIntervals::Jackknife,
            Some(IntervalsArg::Bootstrap) => ReportIntervals::Bootstrap,
            None if draws => ReportIntervals::Bootstrap,
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
    pub(super) fn show(&self, report: &Report, tables: &[Table]) -> Result<(), Unwritten> {
        let text = match self.format {
            Format::Json => report.json(tables[0]),
            Format::Csv => report.csv(tables[0]),
            Format::Table => {
                let texts = tables.iter().map(|table| report.text(*table)).filter(|text| !text.is_empty());
                texts.map(|text| text + "\n").collect::<String>() + &report.foot()
            }
        };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// With what to do, where something can be done.
pub(super) fn advised(error: ReportError) -> anyhow::Error {
    let hint = match &error {
        ReportError::Unfinished { .. } => "submit it again: it goes on where it stopped",
        ReportError::NoPart { .. } | ReportError::Part { .. } | ReportError::Rows { .. } => {
            "submit the run again: what is missing or damaged is scored again, the rest is not"
        }
        ReportError::UnlikeRuns { .. } => {
            "scores of unlike models or pictures cannot be ranked together; show each run alone"
        }
        _ => return error.into(),
    };
    advise(error.into(), hint)
}
