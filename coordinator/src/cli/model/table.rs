//! The lines of `model show` as a table.

use super::description::{ModelDescription, PromptsDescription};
use dqa_pipelines::count_text::count_text;
use dqa_pipelines::text_table::short_fingerprint;

/// A line: a name, which is empty on a line that continues the one above, and a value.
type TableRow = (&'static str, String);

/// Returns the lines of the table.
pub(super) fn table_rows(model: &ModelDescription) -> Vec<TableRow> {
    let origin = &model.origin;
    let mut rows = vec![("model", model.model.to_owned()), ("form", model.form.clone())];
    if let Some(path) = &origin.path {
        rows.push(("from", path.display().to_string()));
    }
    if let (Some(repository), Some(revision), Some(commit)) = (&origin.repository, &origin.revision, &origin.commit) {
        rows.push(("repository", repository.clone()));
        rows.push(("revision", format!("{revision}, commit {commit}")));
    }
    let files = model.files.iter().map(|file| format!("{} ({} bytes)", file.name, count_text(file.bytes)));
    add_list(&mut rows, "files", files);
    let precisions: Vec<String> = model.precisions.iter().map(|p| format!("{} {}", p.tensors, p.dtype)).collect();
    rows.push(("tensors", format!("{}: {}", model.tensors, precisions.join(", "))));
    rows.push(("parameters", count_text(model.parameters)));
    let (vision, text) = (model.vision, model.text);
    rows.push(("architecture", format!("{}, features of {}", model.architecture, model.embed_dim)));
    rows.push((
        "vision",
        format!(
            "width {}, layers {}, heads {}, patches of {}, pictures of {}, {}",
            vision.width, vision.layers, vision.heads, vision.patch, vision.image, model.activation.vision
        ),
    ));
    rows.push((
        "text",
        format!(
            "width {}, layers {}, heads {}, {} tokens, sentences of {}, {}",
            text.width, text.layers, text.heads, text.vocab, text.context, model.activation.text
        ),
    ));
    rows.push((
        "weights",
        format!("{} (digest of configuration and tensors)", short_fingerprint(&model.weights_digest)),
    ));
    add_list(&mut rows, "trained on", model.training.lines().into_iter());
    rows.push(("kernels", format!("CPU: they fit ({} here)", model.kernels.cpu)));
    rows.push((
        "",
        match &model.kernels.gpu_misfit {
            None => "GPU: they fit, with --dtype f16 or bf16".to_owned(),
            Some(reason) => format!("GPU: they do not fit, Candle's operations run there: {reason}"),
        },
    ));
    match &model.prompts {
        Some(prompts) => add_prompts(&mut rows, prompts),
        None => rows.push(("fingerprint", "of weights and prompts together: give --prompts".to_owned())),
    }
    rows
}

/// Adds the lines of the prompts.
fn add_prompts(rows: &mut Vec<TableRow>, prompts: &PromptsDescription) {
    rows.push(("prompts", prompts.file.clone()));
    let Some(learned) = &prompts.learned else {
        rows.push(("", format!("they cannot be used with this model: {}", prompts.errors[0])));
        let causes = prompts.errors[1..].iter().map(|cause| format!("caused by: {cause}"));
        rows.extend(causes.chain(prompts.hint.iter().map(|hint| format!("hint: {hint}"))).map(|line| ("", line)));
        return;
    };
    let tower = |name: &str, len: usize, depth: usize| match depth {
        0 => format!("{name}: none"),
        _ => format!("{name}: {len} in each of the first {depth} layers"),
    };
    rows.push(("", "they fit this model".to_owned()));
    rows.push(("", tower("text", learned.text_len, learned.text_depth)));
    rows.push(("", tower("vision", learned.visual_len, learned.visual_depth)));
    rows.push(("words", format!("\"{}\" and \"{}\"", learned.bad, learned.good)));
    add_list(rows, "trained on", learned.training.lines().into_iter());
    rows.push(("fingerprint", short_fingerprint(&learned.fingerprint).to_owned()));
    rows.push(("", format!("(of weights and prompts with the views {} in {})", learned.views, learned.dtype)));
}

/// Adds a line for each value, the first with the name.
fn add_list(rows: &mut Vec<TableRow>, name: &'static str, values: impl Iterator<Item = String>) {
    rows.extend(values.enumerate().map(|(i, value)| (if i == 0 { name } else { "" }, value)));
}
