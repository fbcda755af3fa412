//! Leaderboards and comparisons as text for a terminal. The text says what is ranked, how it was tested, and where
//! there are too few scenes to show a difference.

use std::fmt::Write;

use super::Report;
use crate::count_text::counted;
use crate::metric::Direction;
use crate::tables::comparisons::ComparisonRow;
use crate::tables::leaderboard::LeaderboardRow;
use crate::text_table::{Alignment, format_interval, format_number, format_p_value, format_rows};
use dqa_stats::SignificanceTest;

use Alignment::{Left, Right};

/// With fewer common scenes no test of a pair can be significant at 5%: the smallest p of five scenes is 0.0625.
const FEW_SCENES: u64 = 6;

/// A column: heading, alignment and cells.
type Column = (&'static str, Alignment, Vec<String>);

impl Report {
    pub(super) fn leaderboard_text(&self) -> String {
        let mut text = String::new();
        for board in self.leaderboard.chunk_by(|a, b| (&a.metric, &a.dataset) == (&b.metric, &b.dataset)) {
            let _ =
                writeln!(text, "Leaderboard{}: {}", self.by_metric(&board[0].metric), dataset_title(&board[0].dataset));
            text += &components_text(board);
            text += &self.scenes_text(&board[0]);
            text.push('\n');
        }
        if !text.is_empty() {
            text += &self.leaderboard_foot();
        }
        text
    }

    /// Returns the number of common scenes that the comparisons are based on, if it is not the same for all.
    fn scenes_text(&self, board: &LeaderboardRow) -> String {
        let (metric, dataset) = (&board.metric, &board.dataset);
        let pairs = || self.comparisons.iter().filter(|row| row.dataset == *dataset && row.metric == *metric);
        let common = || pairs().map(|row| row.common_scenes);
        let (Some(least), Some(most)) = (common().min(), common().max()) else { return String::new() };
        let rows = || self.leaderboard.iter().filter(|row| row.dataset == *dataset && row.metric == *metric);
        let ranked_rows = || rows().filter(|row| row.rank.is_some());
        if least == most && ranked_rows().all(|row| row.scenes == least) {
            return String::new();
        }
        let mut text = format!("Two algorithms have {least} to {most} scenes in common.");
        if least == most {
            text = format!("Any two algorithms have {} in common.", counted(least, "scene"));
        }
        if ranked_rows().any(is_few) {
            let _ = write!(text, " *: fewer than {FEW_SCENES} with at least one of the others.");
        }
        text + "\n"
    }

    fn leaderboard_foot(&self) -> String {
        let level = self.options.ranking().level;
        let better = if self.names_metrics() { "better" } else { "higher" };
        let test = match self.options.test {
            SignificanceTest::MaxDifference => {
                "flipped signs of scenes' deviations, largest difference of all pairs, step-down (Westfall and Young)"
            }
            SignificanceTest::MaxT => {
                "flipped signs of scenes' deviations, largest t of all pairs, step-down (Westfall and Young)"
            }
            SignificanceTest::Wilcoxon => "Wilcoxon's signed ranks over the scenes that both have, Holm's correction",
        };
        let mut text = format!(
            "score: the mean over all scenes; scenes that an algorithm lacks are filled in by the fit score = algorithm + scene.\n\
             within: the ranks that are not ruled out. group: algorithms that share a\n\
             letter do not differ significantly. p next: of the score being {better} than that of the next rank, two-sided,\n\
             corrected for all pairs ({test}; {:.0}%).\n",
            (1.0 - level) * 100.0
        );
        if self.leaderboard.iter().any(|row| row.rank_group.as_deref() == Some(super::leaderboard::NOT_TESTABLE)) {
            text += "not testable: the common scenes are too few to show any difference; it does not mean that there is none.\n";
        }
        if self.leaderboard.iter().any(|row| row.interval_missing.as_deref() == Some("too_few_scenes")) {
            text += "There is no interval below 5 scenes.\n";
        }
        if self.leaderboard.iter().any(|row| row.gain.is_some()) {
            text += "gain: the score less that of the hazy input, which is not ranked; paired over scenes.\n";
            if self.leaderboard.iter().any(|row| row.direction.as_deref() == Some(Direction::Lower.as_str())) {
                text += "Where lower is better, a gain below 0 is an improvement.\n";
            }
        }
        if self.leaderboard.iter().any(|row| row.dataset.is_none()) {
            text += "Over all data sets, intervals and p are of these data sets: they do not speak of data sets in general.\n";
        }
        text
    }

    pub(super) fn comparisons_text(&self) -> String {
        let mut text = String::new();
        for pairs in self.comparisons.chunk_by(|a, b| (&a.metric, &a.dataset) == (&b.metric, &b.dataset)) {
            let (metric, dataset) = (self.by_metric(&pairs[0].metric), dataset_title(&pairs[0].dataset));
            let _ = writeln!(text, "Comparisons{metric}: {dataset}\n{}", pairs_text(pairs));
        }
        if !text.is_empty() {
            let _ = writeln!(
                text,
                "difference: of the scores, with the interval of this pair alone. superiority: share of the common scenes in which \
                 the\nfirst is better. corrected: p for all testable pairs, by the test {}. detectable: the difference that is \
                 found\nwith a power of 80%.",
                self.options.test.as_str()
            );
        }
        if let Some(margin) = self.options.margin {
            let _ = writeln!(
                text,
                "equivalent: p that the difference is {margin} or more (two one-sided t tests, Holm's correction)."
            );
        }
        text
    }
}

fn dataset_title(dataset: &Option<String>) -> &str {
    dataset.as_deref().unwrap_or("all data sets, each counting the same")
}

fn is_few(row: &LeaderboardRow) -> bool {
    row.common_scenes.is_some_and(|scenes| scenes < FEW_SCENES)
}

/// Returns the table of each component, and of the algorithms without a score.
fn components_text(board: &[LeaderboardRow]) -> String {
    let mut text = String::new();
    let connected = board.iter().filter_map(|row| row.component).max().unwrap_or(0);
    if connected < 2 {
        return board_text(board);
    }
    for part in board.chunk_by(|a, b| a.component == b.component) {
        if part[0].component.is_some_and(|component| component > 1) {
            text += "No scenes connect these with the algorithms above: they have ranks of their own.\n";
        }
        text += &board_text(part);
    }
    text
}

fn board_text(board: &[LeaderboardRow]) -> String {
    let column = |context, side, cell: &dyn Fn(&LeaderboardRow) -> String| -> Column {
        (context, side, board.iter().map(cell).collect())
    };
    let within = |row: &LeaderboardRow| match row.rank_best.zip(row.rank_worst) {
        Some((best, worst)) => format!("{best}-{worst}"),
        None => "-".to_owned(),
    };
    let mut columns = vec![
        column("rank", Right, &|row| row.rank.map_or("-".to_owned(), |rank| rank.to_string())),
        column("within", Right, &within),
        column("group", Left, &|row| row.rank_group.clone().unwrap_or_default()),
        column("algorithm", Left, &|row| row.algorithm.clone()),
        column("score", Right, &|row| format_number(row.adjusted_score)),
        column("95% interval", Right, &|row| format_interval(row.adjusted_score_low, row.adjusted_score_high)),
    ];
    if board.iter().any(|row| format_number(row.mean_score) != format_number(row.adjusted_score)) {
        columns.push(column("own mean", Right, &|row| format_number(row.mean_score)));
    }
    if board.iter().any(|row| row.gain.is_some()) {
        columns.push(column("gain", Right, &|row| format_number(row.gain)));
        columns.push(column("95% interval", Right, &|row| format_interval(row.gain_low, row.gain_high)));
    }
    columns.extend([
        column("mos", Right, &|row| format_number(row.mean_mos)),
        column("scenes", Right, &|row| format!("{}{}", row.scenes, if is_few(row) { "*" } else { "" })),
        column("pictures", Right, &|row| row.pictures.to_string()),
        column("failed", Right, &|row| row.failed.to_string()),
        column("p next", Right, &|row| row.p_next.map_or("-".to_owned(), format_p_value)),
    ]);
    table(&columns)
}

fn pairs_text(pairs: &[ComparisonRow]) -> String {
    let column = |context, side, cell: &dyn Fn(&ComparisonRow) -> String| -> Column {
        (context, side, pairs.iter().map(cell).collect())
    };
    let p = |p: Option<f64>| p.map_or("-".to_owned(), format_p_value);
    let finding = |row: &ComparisonRow| match (row.significant, row.testable) {
        (true, _) => "differ",
        (false, true) => "not shown",
        (false, false) => super::leaderboard::NOT_TESTABLE,
    };
    let mut columns = vec![
        column("algorithm", Left, &|row| row.algorithm_a.clone()),
        column("less", Left, &|row| row.algorithm_b.clone()),
        column("scenes", Right, &|row| row.common_scenes.to_string()),
        column("difference", Right, &|row| format_number(Some(row.difference))),
        column("95% interval", Right, &|row| format_interval(row.difference_low, row.difference_high)),
        column("rank-biserial", Right, &|row| format_number(row.rank_biserial)),
        column("superiority", Right, &|row| format_number(row.probability_of_superiority)),
        column("p", Right, &|row| format_p_value(row.p)),
        column("smallest p", Right, &|row| format_p_value(row.p_smallest)),
        column("corrected", Right, &|row| p(row.p_corrected)),
        column("detectable", Right, &|row| format_number(row.minimum_detectable_difference)),
    ];
    if pairs.iter().any(|row| row.equivalence_margin.is_some()) {
        columns.push(column("equivalent", Right, &|row| p(row.equivalence_p_corrected)));
    }
    columns.push(column("finding", Left, &|row| finding(row).to_owned()));
    table(&columns)
}

fn table(columns: &[Column]) -> String {
    let rows = columns.first().map_or(0, |column| column.2.len());
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.0.to_owned()).collect()];
    lines.extend((0..rows).map(|row| columns.iter().map(|column| column.2[row].clone()).collect()));
    format_rows(&lines, &columns.iter().map(|column| column.1).collect::<Vec<_>>())
}
