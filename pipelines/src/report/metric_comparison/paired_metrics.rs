//! The differences of all pairs of metrics on some pictures, each on the pictures that both metrics have scored. Pure.

use std::collections::HashSet;

use dqa_stats::{self as stats, Estimate, Measure, PairedMeasure, ScoreColumns};

use crate::report::compare::join_pictures::JoinedPictures;
use crate::report::options::LEVEL;

/// How the measures of a group are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Pooled,
    Exbedde,
}

/// The difference of a measure between two metrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricPair {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Number of pictures that both have scored.
    pub(super) n: u64,
    /// Number of their scenes.
    pub(super) scenes: u64,
    /// The measure of each metric on these pictures.
    pub(super) values: [Option<f64>; 2],
    /// The second value minus the first.
    pub(super) difference: Option<Estimate>,
    pub(super) p: Option<f64>,
    /// Corrected for all pairs (Holm).
    pub(super) p_corrected: Option<f64>,
}

impl MetricPair {
    /// Returns whether the corrected p-value is below 1 less the level.
    pub(super) fn is_significant(&self) -> bool {
        self.p_corrected.is_some_and(|p| p < 1.0 - LEVEL)
    }
}

/// Metrics that have scored the same of the pictures.
struct Block {
    metrics: Vec<usize>,
    has_score: Vec<bool>,
}

/// Returns the pairs of all metrics for each of [`Measure::ALL`], on the given rows, all of which have labels.
pub(super) fn compare_all(joined: &JoinedPictures, rows: &[usize], protocol: Protocol) -> Vec<Vec<MetricPair>> {
    let blocks = blocks(joined, rows);
    let mut pairs: Vec<Vec<MetricPair>> = Measure::ALL.iter().map(|_| Vec::new()).collect();
    for (index, first) in blocks.iter().enumerate() {
        // The pairs within a block, and those of a metric of this block with one of a later block, share their pictures.
        for second in &blocks[index..] {
            let is_common = |position: &usize| first.has_score[*position] && second.has_score[*position];
            let common: Vec<usize> = (0..rows.len()).filter(is_common).map(|position| rows[position]).collect();
            let is_within = std::ptr::eq(first, second);
            let others: &[usize] = if is_within { &[] } else { &second.metrics };
            let metrics = [first.metrics.as_slice(), others].concat();
            let starts = |a: usize| if is_within { a + 1 } else { first.metrics.len() };
            let local: Vec<(usize, usize)> =
                (0..first.metrics.len()).flat_map(|a| (starts(a)..metrics.len()).map(move |b| (a, b))).collect();
            let measured = measure(joined, &common, (&metrics, &local), protocol);
            for (all, measured) in pairs.iter_mut().zip(measured) {
                all.extend(metric_pairs(joined, &common, &metrics, &measured));
            }
        }
    }
    for pairs in &mut pairs {
        correct(pairs);
    }
    pairs
}

fn blocks(joined: &JoinedPictures, rows: &[usize]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (metric, scores) in joined.scores.iter().enumerate() {
        let has_score: Vec<bool> = rows.iter().map(|&row| !scores[row].is_nan()).collect();
        match blocks.iter_mut().find(|block| block.has_score == has_score) {
            Some(block) => block.metrics.push(metric),
            None => blocks.push(Block { metrics: vec![metric], has_score }),
        }
    }
    blocks
}

fn measure(
    joined: &JoinedPictures,
    rows: &[usize],
    (metrics, pairs): (&[usize], &[(usize, usize)]),
    protocol: Protocol,
) -> Vec<PairedMeasure> {
    let take = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    let scores: Vec<Vec<f64>> = metrics.iter().map(|&metric| take(&joined.scores[metric])).collect();
    let scene: Vec<u32> = rows.iter().map(|&row| joined.scene[row]).collect();
    let columns = ScoreColumns { scores: &scores, mos: &take(&joined.mos), scene: &scene };
    match protocol {
        Protocol::Pooled => stats::paired_differences(&columns, pairs, LEVEL),
        Protocol::Exbedde => {
            let city: Vec<u32> = rows.iter().map(|&row| joined.group[row]).collect();
            stats::exbedde_differences(&columns, &city, pairs, LEVEL)
        }
    }
}

fn metric_pairs(
    joined: &JoinedPictures,
    rows: &[usize],
    metrics: &[usize],
    measured: &PairedMeasure,
) -> Vec<MetricPair> {
    let scenes = rows.iter().map(|&row| joined.scene[row]).collect::<HashSet<u32>>().len() as u64;
    let value = |local: usize| measured.values[local].map(|estimate| estimate.value);
    let pair = |difference: &stats::PairedDifference| MetricPair {
        first: metrics[difference.first],
        second: metrics[difference.second],
        n: rows.len() as u64,
        scenes,
        values: [value(difference.first), value(difference.second)],
        difference: difference.estimate,
        p: difference.p,
        p_corrected: None,
    };
    measured.differences.iter().map(pair).collect()
}

/// Corrects the p-values for all pairs, and sorts the pairs.
fn correct(pairs: &mut [MetricPair]) {
    pairs.sort_by_key(|pair| (pair.first, pair.second));
    let p: Vec<Option<f64>> = pairs.iter().map(|pair| pair.p).collect();
    for (pair, p) in pairs.iter_mut().zip(stats::holm_of_known(&p)) {
        pair.p_corrected = p;
    }
}
