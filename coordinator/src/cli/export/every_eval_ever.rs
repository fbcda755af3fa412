//! Records of Every Eval Ever (evalevalai.com), version 0.2.1 of its schema: a file for each algorithm, with a result for each
//! data set and metric.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use dqa_pipelines::metric::{CLIP_DQA, Direction};
use dqa_pipelines::report::Report;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::write_file;

const SCHEMA_VERSION: &str = "0.2.1";

/// The developer of an algorithm: a run does not know it.
const DEVELOPER: &str = "unknown";

/// Writes the records below `data/BENCHMARK/DEVELOPER/ALGORITHM`, and returns their number.
pub(super) fn write(report: &Report, organization: &str, out: &Path) -> anyhow::Result<usize> {
    let record = &report.record;
    let benchmark = match record.spec.dataset_names()[..] {
        [dataset] => dataset.to_owned(),
        _ => record.name.to_string(),
    };
    let mut by_algorithm: BTreeMap<&str, Vec<&LeaderboardRow>> = BTreeMap::new();
    for row in report.leaderboard.iter().filter(|row| row.dataset.is_some() && row.adjusted_score.is_some()) {
        by_algorithm.entry(&row.algorithm).or_default().push(row);
    }
    for (algorithm, rows) in &by_algorithm {
        let results: Vec<Value> = rows.iter().map(|row| result(row, report)).collect();
        let content = evaluation(record, (&benchmark, algorithm), organization, results);
        let text = serde_json::to_vec_pretty(&content).context("a record has text for keys")?;
        let folder = out.join("data").join(&benchmark).join(DEVELOPER).join(algorithm);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        write_file(&folder.join(format!("{}.json", uuid(&text))), &text)?;
    }
    Ok(by_algorithm.len())
}

fn evaluation(
    record: &RunRecord,
    (benchmark, algorithm): (&str, &str),
    organization: &str,
    results: Vec<Value>,
) -> Value {
    let created = record.created.as_second().to_string();
    let mut evaluation = json!({
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": format!("{benchmark}/{DEVELOPER}_{algorithm}/{created}"),
        "evaluation_timestamp": record.created.to_string(),
        "retrieved_timestamp": Timestamp::now().as_second().to_string(),
        "source_metadata": {
            "source_name": format!("dqa run {}", record.name),
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "third_party",
        },
        "eval_library": { "name": "dqa", "version": env!("CARGO_PKG_VERSION") },
        "model_info": { "name": algorithm, "id": format!("{DEVELOPER}/{algorithm}"), "developer": DEVELOPER },
        "evaluation_results": results,
    });
    if let Some(digest) = &record.parts_digest {
        evaluation["dedupe_identity"] = json!({ "content_hash": digest, "hash_algorithm": "blake3" });
    }
    evaluation
}

fn result(row: &LeaderboardRow, report: &Report) -> Value {
    let metric = row.metric.as_deref().unwrap_or(CLIP_DQA);
    let dataset = row.dataset.as_deref().unwrap_or_default();
    let lower_is_better = row.direction.as_deref() == Some(Direction::Lower.as_str());
    let mut details = BTreeMap::from([
        ("fingerprint", row.fingerprint.clone()),
        ("pictures", row.pictures.to_string()),
        ("failed_pictures", row.failed.to_string()),
    ]);
    let ranks = [("rank", row.rank), ("rank_best", row.rank_best), ("rank_worst", row.rank_worst)];
    details.extend(ranks.into_iter().filter_map(|(name, rank)| Some((name, rank?.to_string()))));
    let (bounds, remark) = bounds(metric, report);
    let mut score = json!({ "score": row.adjusted_score, "details": details });
    if let (Some(lower), Some(upper)) = (row.adjusted_score_low, row.adjusted_score_high) {
        score["uncertainty"] = json!({
            "confidence_interval": {
                "lower": lower, "upper": upper, "confidence_level": row.level,
                "method": format!("{} over scenes", row.interval_method.as_deref().unwrap_or_default()),
            },
            "num_samples": row.scenes,
        });
    }
    json!({
        "evaluation_name": format!("{dataset}: {metric}"),
        "source_data": { "dataset_name": dataset, "source_type": "other" },
        "evaluation_timestamp": report.record.created.to_string(),
        "metric_config": {
            "evaluation_description": format!(
                "Mean of {metric} over the scenes of {dataset}. Scenes that the algorithm lacks are filled in by the \
                 least-squares fit score = algorithm + scene. {remark}"
            ),
            "lower_is_better": lower_is_better,
            "score_type": "continuous",
            "min_score": bounds.0,
            "max_score": bounds.1,
        },
        "score_details": score,
    })
}

/// Returns the least and greatest value of a metric, which the schema requires, and what they are.
fn bounds(metric: &str, report: &Report) -> ((f64, f64), &'static str) {
    if metric == CLIP_DQA {
        return ((0.0, 1.0), "");
    }
    let own = report.leaderboard.iter().filter(|row| row.metric.as_deref() == Some(metric));
    let values = own.flat_map(|row| [row.adjusted_score_low, row.adjusted_score, row.adjusted_score_high]).flatten();
    let extremes =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
    (extremes, "min_score and max_score are those of this run: the metric itself has other bounds, or none.")
}

/// Returns a name for a file that is the same for the same content, in the form of a UUID (version 8).
fn uuid(content: &[u8]) -> String {
    let digest = blake3::hash(content);
    let mut bytes: [u8; 16] = digest.as_bytes()[..16].try_into().expect("a digest has 32 bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
