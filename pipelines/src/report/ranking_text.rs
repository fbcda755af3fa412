//! Leaderboards and comparisons as tables for people. They say what is ranked, how it was tested, and where
//! there are too few scenes to show a difference.

use std::fmt::Write;

use super::Report;
use crate::count_text::counted;
use crate::metric::Direction;
use crate::result_page::{Column, ResultPage, ResultTable};
use crate::tables::comparisons::ComparisonRow;
use crate::tables::leaderboard::LeaderboardRow;
use crate::text_table::{format_interval, format_number, format_p_value};
use dqa_stats::SignificanceTest;

/// With fewer common scenes no test of a pair can be significant at 5%: the smallest p of five scenes is 0.0625.
const FEW_SCENES: u64 = 6;

impl Report {
    pub(super) fn add_leaderboard(&self, page: &mut ResultPage) {
        for board in self.leaderboard.chunk_by(|a, b| (&a.metric, &a.dataset) == (&b.metric, &b.dataset)) {
            let (metric, dataset) = (self.by_metric(&board[0].metric), dataset_title(&board[0].dataset));
            self.add_components(page, &format!("Leaderboard{metric}: {dataset}"), board);
            page.line("", &self.scenes_text(&board[0]));
        }
        if !self.leaderboard.is_empty() {
            self.add_leaderboard_notes(page);
        }
    }

    /// Adds the table of each component, and of the algorithms without a score.
    fn add_components(&self, page: &mut ResultPage, title: &str, board: &[LeaderboardRow]) {
        let connected = board.iter().filter_map(|row| row.component).max().unwrap_or(0);
        if connected < 2 {
            page.table(&self.board_table(title, board));
            return;
        }
        for (index, part) in board.chunk_by(|a, b| a.component == b.component).enumerate() {
            if part[0].component.is_some_and(|component| component > 1) {
                page.line("", "No scenes connect these with the algorithms above: they have ranks of their own.");
            }
            page.table(&self.board_table(if index == 0 { title } else { "" }, part));
        }
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
        text
    }

    fn add_leaderboard_notes(&self, page: &mut ResultPage) {
        let has = |condition: fn(&LeaderboardRow) -> bool| self.leaderboard.iter().any(condition);
        if has(|row| row.rank_group.as_deref() == Some(super::leaderboard::NOT_TESTABLE)) {
            page.meaning(
                super::leaderboard::NOT_TESTABLE,
                "the common scenes are too few to show any difference; it does not mean that there is none",
            );
        }
        if has(|row| row.interval_missing.as_deref() == Some("too_few_scenes")) {
            page.note("There is no interval below 5 scenes.");
        }
        if has(|row| row.gain.is_some()) && has(|row| row.direction.as_deref() == Some(Direction::Lower.as_str())) {
            page.note("Where lower is better, a gain below 0 is an improvement.");
        }
        if has(|row| row.dataset.is_none()) {
            page.note(
                "Over all data sets, intervals and p are of these data sets: they do not speak of data sets in general.",
            );
        }
    }

    fn board_table(&self, title: &str, board: &[LeaderboardRow]) -> ResultTable {
        let column = |cell: &dyn Fn(&LeaderboardRow) -> String| board.iter().map(cell).collect::<Vec<String>>();
        let level = self.options.ranking().level * 100.0;
        let within = |row: &LeaderboardRow| {
            row.rank_best.zip(row.rank_worst).map_or("-".to_owned(), |(best, worst)| format!("{best}-{worst}"))
        };
        let mut columns = vec![
            Column::right("rank", column(&|row| row.rank.map_or("-".to_owned(), |rank| rank.to_string()))),
            Column::right("within", column(&within)).meaning(format!("ranks still plausible at {level:.0}%")),
            Column::left("group", column(&|row| row.rank_group.clone().unwrap_or_default()))
                .meaning("algorithms that share a letter do not differ significantly"),
            Column::left("algorithm", column(&|row| row.algorithm.clone())),
            Column::right("score", column(&|row| format_number(row.adjusted_score))).meaning(
                "the mean over all scenes; scenes that an algorithm lacks are filled in by the fit score = \
                 algorithm + scene",
            ),
            Column::right(
                "95% interval",
                column(&|row| format_interval(row.adjusted_score_low, row.adjusted_score_high)),
            ),
        ];
        if board.iter().any(|row| format_number(row.mean_score) != format_number(row.adjusted_score)) {
            columns.push(Column::right("own mean", column(&|row| format_number(row.mean_score))).left_out(4));
        }
        if board.iter().any(|row| row.gain.is_some()) {
            let gain = "the score less that of the hazy input, which is not ranked; paired over scenes";
            columns.push(Column::right("gain", column(&|row| format_number(row.gain))).left_out(2).meaning(gain));
            let interval = column(&|row| format_interval(row.gain_low, row.gain_high));
            columns.push(Column::right("95% interval of gain", interval).left_out(8));
        }
        columns.extend([
            Column::right("mos", column(&|row| format_number(row.mean_mos))).left_out(6),
            Column::right("scenes", column(&|row| format!("{}{}", row.scenes, if is_few(row) { "*" } else { "" })))
                .left_out(unless(board.iter().any(is_few), 3)),
            Column::right("pictures", column(&|row| row.pictures.to_string())).left_out(7),
            Column::right("failed", column(&|row| row.failed.to_string()))
                .left_out(unless(board.iter().any(|row| row.failed > 0), 5)),
            Column::right("p next", column(&|row| row.p_next.map_or("-".to_owned(), format_p_value)))
                .left_out(1)
                .meaning(self.p_next_meaning()),
        ]);
        ResultTable::new(title, columns)
    }

    fn p_next_meaning(&self) -> String {
        let test = match self.options.test {
            SignificanceTest::MaxDifference => {
                "flipped signs of scenes' deviations, largest difference of all pairs, step-down (Westfall and Young)"
            }
            SignificanceTest::MaxT => {
                "flipped signs of scenes' deviations, largest t of all pairs, step-down (Westfall and Young)"
            }
            SignificanceTest::Wilcoxon => "Wilcoxon's signed ranks over the scenes that both have, Holm's correction",
        };
        let error_rate = (1.0 - self.options.ranking().level) * 100.0;
        format!(
            "p-value against the algorithm one rank below: two-sided, corrected for all pairs; {test}; {error_rate:.0}%"
        )
    }

    pub(super) fn add_comparisons(&self, page: &mut ResultPage) {
        for pairs in self.comparisons.chunk_by(|a, b| (&a.metric, &a.dataset) == (&b.metric, &b.dataset)) {
            let (metric, dataset) = (self.by_metric(&pairs[0].metric), dataset_title(&pairs[0].dataset));
            page.table(&self.pairs_table(format!("Comparisons{metric}: {dataset}"), pairs));
        }
    }

    fn pairs_table(&self, title: String, pairs: &[ComparisonRow]) -> ResultTable {
        let column = |cell: &dyn Fn(&ComparisonRow) -> String| pairs.iter().map(cell).collect::<Vec<String>>();
        let p = |p: Option<f64>| p.map_or("-".to_owned(), format_p_value);
        let finding = |row: &ComparisonRow| match (row.significant, row.testable) {
            (true, _) => "differ".to_owned(),
            (false, true) => "not shown".to_owned(),
            (false, false) => super::leaderboard::NOT_TESTABLE.to_owned(),
        };
        let mut columns = vec![
            Column::left("algorithm", column(&|row| row.algorithm_a.clone())),
            Column::left("less", column(&|row| row.algorithm_b.clone())),
            Column::right("scenes", column(&|row| row.common_scenes.to_string())).left_out(4),
            Column::right("difference", column(&|row| format_number(Some(row.difference))))
                .meaning("of the scores, with the interval of this pair alone"),
            Column::right("95% interval", column(&|row| format_interval(row.difference_low, row.difference_high)))
                .left_out(1),
            Column::right("rank-biserial", column(&|row| format_number(row.rank_biserial))).left_out(9),
            Column::right("superiority", column(&|row| format_number(row.probability_of_superiority)))
                .left_out(5)
                .meaning("share of the common scenes in which the first is better"),
            Column::right("p", column(&|row| format_p_value(row.p))).left_out(7),
            Column::right("smallest p", column(&|row| format_p_value(row.p_smallest))).left_out(8),
            Column::right("corrected", column(&|row| p(row.p_corrected)))
                .left_out(2)
                .meaning(format!("p for all testable pairs, by the test {}", self.options.test.as_str())),
            Column::right("detectable", column(&|row| format_number(row.minimum_detectable_difference)))
                .left_out(6)
                .meaning("the difference that is found with a power of 80%"),
        ];
        if let Some(margin) = self.options.margin {
            let equivalent = column(&|row| p(row.equivalence_p_corrected));
            columns.push(Column::right("equivalent", equivalent).left_out(3).meaning(format!(
                "p that the difference is {margin} or more (two one-sided t tests, Holm's correction)"
            )));
        }
        columns.push(Column::left("finding", column(&finding)));
        ResultTable::new(title, columns)
    }
}

fn dataset_title(dataset: &Option<String>) -> &str {
    dataset.as_deref().unwrap_or("all data sets, each counting the same")
}

/// Returns when a column is left out: never if it has something to show.
fn unless(has_something: bool, order: u8) -> u8 {
    if has_something { 0 } else { order }
}

fn is_few(row: &LeaderboardRow) -> bool {
    row.common_scenes.is_some_and(|scenes| scenes < FEW_SCENES)
}
