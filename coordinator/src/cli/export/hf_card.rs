//! The card of a data set on the Hugging Face hub: which file is which table, what the numbers are, and how to read them.

use std::fmt::Write;

use dqa_pipelines::count_text::counted;
use dqa_pipelines::run::RunRecord;

/// Returns the card, `README.md`.
pub(super) fn card(record: &RunRecord, tables: &[&str]) -> String {
    let mut text = "---\nconfigs:\n".to_owned();
    for (number, table) in tables.iter().enumerate() {
        let default = if number == 0 { "\n  default: true" } else { "" };
        let _ = write!(text, "- config_name: {table}\n  data_files: {table}.parquet{default}\n");
    }
    text += "tags:\n- image-dehazing\n- image-quality-assessment\n---\n\n";
    let RunRecord { name, counts, spec, .. } = record;
    let _ = writeln!(text, "# {name}\n");
    let metrics: Vec<String> = record.metrics().iter().map(|metric| metric.name.to_string()).collect();
    let _ = writeln!(
        text,
        "Scores of {} of {} of dehazed outputs by {}, and what follows from them, made by dqa on {}.\n",
        counted(counts.pictures, "row"),
        spec.dataset_names().join(", "),
        metrics.join(", "),
        record.created.strftime("%Y-%m-%d")
    );
    for metric in record.metrics() {
        let _ = writeln!(
            text,
            "- `{}`: {} values are good; fingerprint `{}`. Values of another fingerprint are not comparable.",
            metric.name, metric.direction, metric.fingerprint
        );
    }
    if !spec.model.is_empty() {
        let prompts = spec.prompts.as_deref().unwrap_or("handcrafted sentences");
        let _ = writeln!(text, "- model `{}` with `{prompts}`, views `{}`, {}", spec.model, spec.views, spec.dtype);
    }
    text.extend(spec.remark.iter().map(|remark| format!("\n**Note**: {remark}\n")));
    if counts.failed > 0 {
        let _ = writeln!(text, "\n{} of these rows have an error code in place of a score.", counts.failed);
    }
    let _ = write!(
        text,
        "\n```python\nfrom datasets import load_dataset\n\nload_dataset(\"OWNER/NAME\", \"leaderboard\")\n```\n\n`run.json` is the \
         record of the run: everything that was asked for, and the digests of the parts that the rows come from. The \
         addresses in it and in the column `uri` are those of the machine that scored.\n"
    );
    text
}
