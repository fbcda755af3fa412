//! The flags that control how a report is made and shown, shared by `report`, `leaderboard` and `submit`.

use clap::{ValueEnum, value_parser};
use dqa_pipelines::report::{self, REPLICATES_MIN, Report, ReportIntervals, ReportOptions, ReportTable};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_service::program::help::headings;
use dqa_service::program::{OutputError, note, with_own_hint};
use dqa_stats::SignificanceTest;

use crate::cli::output::print_text;
use crate::cli::result_format::{ResultForm, ResultFormatArgs};

/// How a report is made and shown.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ReportArgs {
    #[command(flatten)]
    pub(in crate::cli) result: ResultFormatArgs,

    /// Method for the intervals of correlations [default: jackknife, or bootstrap if --replicates is given].
    #[arg(long, env = "DQA_INTERVALS", help_heading = headings::STATISTICS, value_enum, value_name = "METHOD")]
    intervals: Option<IntervalsArg>,

    /// Draws of scenes with --intervals bootstrap [default: 10000].
    #[arg(long, env = "DQA_REPLICATES", help_heading = headings::STATISTICS, value_name = "N", value_parser = value_parser!(u32).range(i64::from(REPLICATES_MIN)..))]
    replicates: Option<u32>,

    /// Seed of all random draws [default: 0].
    #[arg(long, env = "DQA_BOOTSTRAP_SEED", help_heading = headings::STATISTICS, value_name = "N")]
    seed: Option<u32>,

    /// Test with which algorithms are compared.
    #[arg(long, env = "DQA_TEST", help_heading = headings::STATISTICS, value_enum, default_value_t = TestArg::MaxDifference, value_name = "TEST")]
    test: TestArg,

    /// Difference of scores that does not matter, for tests of equivalence (two one-sided t tests).
    #[arg(long, env = "DQA_MARGIN", help_heading = headings::STATISTICS, value_name = "DIFFERENCE", value_parser = parse_margin)]
    margin: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum TestArg {
    /// Sign flips of the scenes' deviations, with the largest difference over all pairs, step-down. Its errors stay at
    /// the level whatever the distributions of the deviations.
    MaxDifference,
    /// The same with Student's t of each pair: more power if algorithms vary by very different amounts, more errors if
    /// the deviations are skewed.
    MaxT,
    /// Wilcoxon's signed-rank test over the scenes that both algorithms have, with Holm's correction.
    Wilcoxon,
}

impl From<TestArg> for SignificanceTest {
    fn from(test: TestArg) -> SignificanceTest {
        match test {
            TestArg::MaxDifference => SignificanceTest::MaxDifference,
            TestArg::MaxT => SignificanceTest::MaxT,
            TestArg::Wilcoxon => SignificanceTest::Wilcoxon,
        }
    }
}

fn parse_margin(text: &str) -> Result<f64, String> {
    let margin: f64 = text.parse().map_err(|_| format!("expected a number, found `{text}`"))?;
    if margin > 0.0 && margin.is_finite() { Ok(margin) } else { Err("expected a number above 0".to_owned()) }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum IntervalsArg {
    /// Leaves out each scene once, with Student's t: not random, and reliable with few scenes.
    Jackknife,
    /// Percentiles over draws of scenes with replacement: too narrow with few scenes.
    Bootstrap,
}

impl ReportArgs {
    /// Makes the report that a run ends with: writes its tables to the store, and shows the summary's correlations and
    /// the leaderboard.
    pub(in crate::cli) async fn make_and_show(&self, store: &Store, record: &RunRecord) -> anyhow::Result<()> {
        let mut report = self.make_and_write(store, record, &[]).await?;
        report.correlations.retain(report::is_in_summary);
        let tables = [ReportTable::Correlations, ReportTable::Leaderboard];
        // JSON and CSV have one table.
        let is_page = matches!(self.result.form(), ResultForm::Tables(_));
        Ok(self.show(&report, if is_page { &tables } else { &tables[1..] })?)
    }

    /// Makes a run's report, with its metrics beside those of other runs, and writes its tables to the store.
    pub(super) async fn make_and_write(
        &self,
        store: &Store,
        record: &RunRecord,
        others: &[RunRecord],
    ) -> anyhow::Result<Report> {
        let report = report::compute_with_others(store, record, others, &self.options()).await;
        let report = report.map_err(with_own_hint)?;
        report.write(store).await?;
        Ok(report)
    }

    /// Returns the options that the flags stand for.
    pub(in crate::cli) fn options(&self) -> ReportOptions {
        let default = ReportOptions::default();
        if matches!((self.intervals, self.replicates), (Some(IntervalsArg::Jackknife), Some(_))) {
            note(format_args!("--replicates is not used: the jackknife draws nothing"));
        }
        let intervals = match self.intervals {
            Some(IntervalsArg::Jackknife) => ReportIntervals::Jackknife,
            Some(IntervalsArg::Bootstrap) => ReportIntervals::Bootstrap,
            None if self.replicates.is_some() => ReportIntervals::Bootstrap,
            None => default.intervals,
        };
        ReportOptions {
            intervals,
            replicates: self.replicates.unwrap_or(default.replicates),
            seed: self.seed.unwrap_or(default.seed),
            test: self.test.into(),
            margin: self.margin,
        }
    }

    /// Shows tables of a report for people, or the first of them as JSON or CSV.
    pub(in crate::cli) fn show(&self, report: &Report, tables: &[ReportTable]) -> Result<(), OutputError> {
        let text = match self.result.form() {
            ResultForm::Json => report.json(tables[0]),
            ResultForm::Csv => report.csv(tables[0]),
            ResultForm::Tables(style) => report.render(tables, style),
        };
        print_text(&text)
    }
}
