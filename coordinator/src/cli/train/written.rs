//! Says where the prompts or the model of a training are, and which command scores with them.

use std::path::Path;

use dqa_pipelines::store::Store;
use dqa_pipelines::train::{TrialRecord, trial_key};
use dqa_service::program::note as note_line;

use super::{Args, out_folder};

const PROMPTS: &str = "prompts.safetensors";

/// Notes the files of each training, and how they are used.
pub(super) async fn note(args: &Args, store: &Store, records: &[TrialRecord]) -> anyhow::Result<()> {
    let mut last = None;
    for record in records {
        let has_prompts = match store.modified(&trial_key(&record.name, PROMPTS)).await {
            Err(error) if error.is_not_found() => false,
            found => found.map(|_| true)?,
        };
        let has_model = record.setup.tune.changes_weights();
        let what = if has_model { "model" } else { "prompts" };
        let of_split = if args.is_final { String::new() } else { format!(" of split {}", record.split) };
        let place = |file: &str| place(args, store, (record, records.len()), file);
        let written = place(if has_model { "" } else { PROMPTS });
        note_line(format_args!("{what}{of_split}: {written}"));
        let model = if has_model { written } else { record.model.name.clone() };
        let prompts = if has_prompts { format!("--prompts {}", place(PROMPTS)) } else { "--handcrafted".to_owned() };
        last = Some(format!("dqa-coord submit --datasets NAMES --model {model} {prompts}"));
    }
    let Some(command) = last else { return Ok(()) };
    if args.out.is_none() && !store.is_local() {
        note_line(format_args!("hint: the same command with --out DIR copies them to this machine"));
        return Ok(());
    }
    note_line(format_args!("to score with {}: {command}", if records.len() > 1 { "the last of them" } else { "them" }));
    if records.iter().all(|record| record.pictures[2] > 0 && !record.setup.tune.changes_weights()) {
        note_line(format_args!(
            "hint: --final trains prompts on all scenes, for data sets other than {}",
            args.dataset
        ));
    }
    Ok(())
}

/// Returns the path of a training's file: in the folder of `--out`, or in the store.
fn place(args: &Args, store: &Store, (record, trials): (&TrialRecord, usize), file: &str) -> String {
    if let Some(out) = &args.out {
        return shown(&out_folder(out, record, trials).join(file));
    }
    let key = trial_key(&record.name, file);
    if !store.is_local() {
        return format!("{}/{}", store.url().as_str().trim_end_matches('/'), key.trim_end_matches('/'));
    }
    shown(&Path::new(&args.store.url).join(key))
}

/// Returns a path as text, quoted if a shell would split it.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.trim_end_matches('/');
    if text.contains(|letter: char| letter.is_whitespace()) { format!("'{text}'") } else { text.to_owned() }
}
