//! The steps that both kinds of `submit` share: finds the data sets, and warns of training leaks.

use std::path::Path;

use anyhow::anyhow;
use dqa_pipelines::dataset::{self, Definition};
use dqa_service::program::{note, with_hint};

/// Finds the definitions of the data sets on the command line, in the order of their names.
pub(in crate::cli) fn find_definitions(texts: &[String]) -> anyhow::Result<Vec<Definition>> {
    let find = |text: &String| dataset::find_definition(text, Path::new("")).map_err(anyhow::Error::from);
    let mut definitions: Vec<Definition> = texts.iter().map(find).collect::<Result<_, _>>()?;
    // The same request is the same run, in whichever order it names the data sets.
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some([first, second]) = definitions.array_windows().find(|[first, second]| first.name == second.name) {
        let name = &first.name;
        let error = anyhow!("data set `{name}` is asked for twice: of {} and of {}", first.root, second.root);
        return Err(with_hint(
            error,
            format!("NAME=PATH gives one of them another name, as `--datasets {name}-2=PATH`"),
        ));
    }
    Ok(definitions)
}

/// Warns that scenes were seen in training: their scores agree better with labels than those of other scenes.
pub(super) fn warn_of_training_leaks(leaks: &[String]) {
    for leak in leaks {
        note(format_args!("warning: {leak}"));
    }
}
