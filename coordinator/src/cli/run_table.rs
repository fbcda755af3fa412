//! The table of runs that `runs` and `status --watch` print. Its main columns fit a terminal of 80 columns if no run has
//! a long name: names of runs are never cut, because commands take them.

use dqa_pipelines::count_text::counted;
use dqa_pipelines::result_page::TEXT_WIDTH;
use dqa_pipelines::text_table::Alignment::{self, Left, Right};
use dqa_pipelines::text_table::format_rows;
use dqa_service::program::OutputFormat;

use super::output::{print_rows, print_text};
use super::run_summary::{RunSummary, duration_text, whole_seconds};

/// Spaces before each column.
const GAP: usize = 2;

/// A cell that is cut keeps at least this many characters: those of the longest header.
const CELL_WIDTH_MIN: usize = 10;

/// The columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// What a person looks for first, cut to the width of a terminal.
    Main,
    /// Everything in full.
    All,
}

/// A column: its header, its alignment, and a cell for each run.
struct Column {
    header: &'static str,
    alignment: Alignment,
    cells: Vec<String>,
}

/// A cell that may be cut.
type CutCell = fn(&RunSummary, usize) -> String;

impl Column {
    fn new(header: &'static str, alignment: Alignment, cells: impl Iterator<Item = String>) -> Column {
        Column { header, alignment, cells: cells.collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.chars().count()).fold(self.header.len(), usize::max)
    }
}

/// Writes runs to standard output. A table has one a line, and below them what is to be said about some of them.
pub(super) fn print_runs(runs: &[RunSummary], format: OutputFormat, columns: Columns) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => Ok(print_text(&table_text(runs, columns))?),
        OutputFormat::Json | OutputFormat::Csv => print_rows(runs, format),
    }
}

fn table_text(runs: &[RunSummary], columns: Columns) -> String {
    let columns = match columns {
        Columns::Main => main_columns(runs),
        Columns::All => all_columns(runs),
    };
    let alignments: Vec<Alignment> = columns.iter().map(|column| column.alignment).collect();
    let header = columns.iter().map(|column| column.header.to_owned()).collect();
    let row = |index: usize| columns.iter().map(|column| column.cells[index].clone()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain((0..runs.len()).map(row)).collect();
    let notes = runs.iter().filter_map(note_text).map(|note| format!("  {note}\n"));
    format_rows(&rows, &alignments) + &notes.collect::<String>()
}

fn main_columns(runs: &[RunSummary]) -> Vec<Column> {
    let column =
        |header, alignment, cell: fn(&RunSummary) -> String| Column::new(header, alignment, runs.iter().map(cell));
    let (run, state) = (column("run", Left, |run| run.run.clone()), column("state", Left, |run| run.state.clone()));
    let mut progress = vec![column("done", Right, done_text)];
    if runs.iter().any(|run| run.seconds_left.is_some()) {
        progress.push(column("left", Right, left_text));
    }
    let fixed = [&run, &state].into_iter().chain(&progress);
    let used: usize = fixed.map(|column| GAP + column.width()).sum();
    let cut: [(&'static str, CutCell); 3] = [
        ("data sets", |run, width| cut_list(&run.datasets, width)),
        ("algorithms", |run, width| cut_list(&run.algorithms, width)),
        ("model", |run, width| cut_text(short_model(&run.model), width)),
    ];
    let whole = cut.map(|(header, cell)| Column::new(header, Left, runs.iter().map(|run| cell(run, usize::MAX))));
    let room = TEXT_WIDTH.saturating_sub(used + whole.len() * GAP);
    let widths = share_width(room, &whole.each_ref().map(Column::width));
    let cut = cut.into_iter().zip(widths);
    let cut = cut.map(|((header, cell), width)| Column::new(header, Left, runs.iter().map(|run| cell(run, width))));
    [run].into_iter().chain(cut).chain([state]).chain(progress).collect()
}

/// Returns the text of a run's cell.
type CellText = fn(&RunSummary) -> String;

fn all_columns(runs: &[RunSummary]) -> Vec<Column> {
    let cells: [(&'static str, Alignment, CellText); 14] = [
        ("run", Left, |run| run.run.clone()),
        ("data sets", Left, |run| cut_list(&run.datasets, usize::MAX)),
        ("algorithms", Left, |run| cut_list(&run.algorithms, usize::MAX)),
        ("metrics", Left, |run| cut_list(&run.metrics, usize::MAX)),
        ("model", Left, |run| or_dash(&run.model)),
        ("prompts", Left, prompts_text),
        ("state", Left, |run| run.state.clone()),
        ("shards", Right, |run| format!("{}/{}", run.shards_done, run.shards)),
        ("under way", Right, |run| run.shards_running.map_or_else(|| "-".to_owned(), |count| count.to_string())),
        ("pictures", Right, |run| format!("{}/{}", run.pictures_done, run.pictures)),
        ("failed", Right, |run| run.pictures_failed.to_string()),
        ("windows/s", Right, |run| run.windows_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))),
        ("left", Right, left_text),
        ("updated", Left, |run| whole_seconds(&run.updated)),
    ];
    let column = |(header, alignment, cell): (_, _, CellText)| Column::new(header, alignment, runs.iter().map(cell));
    cells.into_iter().map(column).collect()
}

/// Distributes a width over columns: none gets more than it needs, and what it does not need goes to the others. A column
/// that is cut keeps [`CELL_WIDTH_MIN`].
fn share_width<const N: usize>(room: usize, needed: &[usize; N]) -> [usize; N] {
    let mut order: [usize; N] = std::array::from_fn(|index| index);
    order.sort_by_key(|index| needed[*index]);
    let (mut widths, mut left) = ([0; N], room);
    for (rank, index) in order.into_iter().enumerate() {
        widths[index] = needed[index].min((left / (N - rank)).max(CELL_WIDTH_MIN));
        left = left.saturating_sub(widths[index]);
    }
    widths
}

/// Returns as many of the names as fit, which are joined by commas, and the number of the others: `dcp, aod, +10`.
fn cut_list(names: &str, width: usize) -> String {
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    let whole = names.join(", ");
    if whole.chars().count() <= width {
        return or_dash(&whole);
    }
    let shortened = |kept: usize| match names.len() - kept {
        0 => names[..kept].join(", "),
        more => format!("{}, +{more}", names[..kept].join(", ")),
    };
    let fitting = (1..names.len()).rev().map(shortened).find(|text| text.chars().count() <= width);
    fitting.unwrap_or_else(|| {
        let more = match names.len() - 1 {
            0 => String::new(),
            more => format!(", +{more}"),
        };
        cut_text(names[0], width.saturating_sub(more.len())) + &more
    })
}

/// Returns the text, with dots for what does not fit.
fn cut_text(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    kept + ".."
}

/// Returns the name of a model without the folders, the owner and the revision.
fn short_model(model: &str) -> &str {
    let name = match model.strip_prefix("hf:") {
        Some(name) => name.split('@').next().unwrap_or(name),
        None => model,
    };
    let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
    if name.is_empty() { "-" } else { name }
}

fn prompts_text(run: &RunSummary) -> String {
    let without = if run.model.is_empty() { "-" } else { "handcrafted" };
    run.prompts.clone().unwrap_or_else(|| without.to_owned())
}

/// Returns how much of a run is done, rounded down: only a run of which nothing is left has 100%.
fn done_text(run: &RunSummary) -> String {
    let (done, all) = if run.trains { (run.shards_done, run.shards) } else { (run.pictures_done, run.pictures) };
    match (100 * done).checked_div(all) {
        Some(percent) => format!("{percent}%"),
        None => "-".to_owned(),
    }
}

fn left_text(run: &RunSummary) -> String {
    run.seconds_left.map_or_else(|| "-".to_owned(), duration_text)
}

/// Returns a line about pictures and shards that failed, and about why a run failed or what it waits for. None if all is well.
fn note_text(run: &RunSummary) -> Option<String> {
    let shards = [(run.shards_retrying, "to be tried again"), (run.shards_quarantined, "given up")];
    let shards = shards.into_iter().filter_map(|(count, what)| Some((count.filter(|count| *count > 0)?, what)));
    let shards = shards.map(|(count, what)| format!("{} {what}", counted(count, "shard")));
    let failed = (run.pictures_failed > 0).then(|| format!("{} failed", counted(run.pictures_failed, "picture")));
    let notes: Vec<String> = failed.into_iter().chain(shards).chain(run.failure.clone()).collect();
    (!notes.is_empty()).then(|| format!("{}: {}", run.run, notes.join(", ")))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, algorithms: &str) -> RunSummary {
        RunSummary {
            run: name.to_owned(),
            state: "complete".to_owned(),
            datasets: "exbedde".to_owned(),
            algorithms: algorithms.to_owned(),
            metrics: "clip-dqa".to_owned(),
            model: "hf:openai/clip-vit-base-patch16@57c216476eefef5ab752ec549e440a49ae4ae5f3".to_owned(),
            updated: "2026-01-02T03:04:05Z".to_owned(),
            shards: 4,
            shards_done: 4,
            pictures: 24,
            pictures_done: 24,
            ..RunSummary::default()
        }
    }

    fn runs() -> Vec<RunSummary> {
        let many = "dcp,aod,cap,mscnn,dehazenet,ffa,grid,psd,dehazeformer,ridcp,gfn,nld,bccr";
        let scored = RunSummary {
            state: "running".to_owned(),
            datasets: "exbedde,reside-outdoor,o-haze".to_owned(),
            pictures: 21_000,
            pictures_done: 20_999,
            pictures_failed: 3,
            shards_retrying: Some(1),
            shards_quarantined: Some(2),
            failure: Some("waits for a worker with cuda".to_owned()),
            windows_per_second: Some(12.5),
            seconds_left: Some(8000),
            ..run("exbedde-reside-7f3a", many)
        };
        let by_metrics = RunSummary { metrics: "psnr,ssim".to_owned(), model: String::new(), ..run("pixels", "dcp") };
        let planning = RunSummary {
            state: "planning".to_owned(),
            shards: 0,
            shards_done: 0,
            pictures: 0,
            pictures_done: 0,
            ..run("new", "")
        };
        vec![run("paper", "dcp,aod"), scored, by_metrics, planning]
    }

    #[test]
    fn the_main_columns_fit_a_terminal() {
        let text = table_text(&runs(), Columns::Main);
        insta::assert_snapshot!(text);
        assert!(text.lines().take(5).all(|line| line.chars().count() <= TEXT_WIDTH), "{text}");
        let complete = table_text(&runs()[..1], Columns::Main);
        assert!(!complete.contains("failed") && !complete.contains("left"), "{complete}");
    }

    #[test]
    fn all_columns_are_in_full() {
        let text = table_text(&runs(), Columns::All);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_list_that_does_not_fit_ends_with_the_number_of_the_others() {
        let cut = |width| cut_list("dcp,aod,mscnn,cap", width);
        assert_eq!(cut(20), "dcp, aod, mscnn, cap");
        assert_eq!(cut(19), "dcp, aod, mscnn, +1".to_owned());
        assert_eq!(cut(18), "dcp, aod, +2");
        assert_eq!(cut(8), "dcp, +3");
        assert_eq!(cut_list("dehazeformer,aod", 10), "deha.., +1");
        assert_eq!(cut_list("dehazeformer", 8), "dehaze..");
        assert_eq!(cut_list("", 8), "-");
    }

    #[test]
    fn columns_that_need_little_leave_the_rest_to_others() {
        assert_eq!(share_width(30, &[10, 10, 10]), [10, 10, 10]);
        assert_eq!(share_width(30, &[40, 5, 50]), [12, 5, 13]);
        assert_eq!(share_width(0, &[40, 5, 50]), [10, 5, 10], "a name remains");
    }
}
