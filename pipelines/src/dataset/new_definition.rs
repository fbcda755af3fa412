//! Writes the first definition of a folder of pictures: what was found in it, and comments on what a person may add. The
//! text is a definition that loads.

use std::fmt::Write;

use toml::Value;

use super::data_set::DataSet;
use super::definition::{Definition, LabelsDefinition};
use super::error::DatasetError;
use super::label_range::SeenLabels;
use super::labels::{self, FoundLabels};
use super::load::load;
use crate::causes;
use crate::count_text::counted;
use crate::names::DatasetName;
use dqa_metrics::ReferenceKind;

/// The definition of a folder by what was found in it.
pub struct NewDefinition {
    name: DatasetName,
    layout: String,
    /// The data set with its labels, if they were found and fit.
    pub data: DataSet,
    labels: Option<FoundLabels>,
    /// Why the labels that were found do not fit.
    labels_error: Option<DatasetError>,
}

/// The folders that a definition names, as it is to write them: `.` and `..`, or absolute addresses.
pub struct WrittenRoots {
    /// The folder of the pictures.
    pub root: String,
    /// The folder above it.
    pub parent: String,
}

impl NewDefinition {
    /// Finds the layout, the folders of references and the labels of the pictures below `root`.
    ///
    /// # Errors
    /// If the folder cannot be listed, or has no common layout.
    pub async fn find(name: DatasetName, root: &str) -> Result<NewDefinition, DatasetError> {
        let mut bare = Definition::new(name.clone(), root.to_owned());
        let mut data = load(&bare).await?;
        let detected: Option<Definition> = toml::from_str(&data.definition).ok();
        let mut layout = detected.and_then(|definition| definition.layout.into_iter().next()).unwrap_or_default();
        if let Some((in_names, of_names)) = layout_in_names(&bare, &data).await {
            (bare.layout, layout, data) = (vec![in_names.clone()], in_names, of_names);
        }
        let mut found = NewDefinition { name, layout, data, labels: None, labels_error: None };
        if let Some(labels) = labels::find_labels(&found.data).await {
            let section = LabelsDefinition { root: Some(labels.folder.clone()), ..LabelsDefinition::new(&labels.file) };
            match load(&Definition { labels: Some(section), ..bare }).await {
                Ok(data) => found.data = data,
                Err(error) => found.labels_error = Some(error),
            }
            found.labels = Some(labels);
        }
        Ok(found)
    }

    /// Returns the definition's text.
    pub fn to_toml(&self, roots: &WrittenRoots) -> String {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let mut text = format!(
            "# A data set for dqa, written by `dqa-coord dataset init` from what is in the folder. `dqa-coord dataset check` \
             says\n# whether it is complete; docs/reference/datasets.md explains all keys.\nname = {}\nroot = {} # a path from this \
             file, or a URL\n",
            quoted(self.name.as_str()),
            quoted(&roots.root)
        );
        let _ = writeln!(text, "layout = {} # {}", quoted(&self.layout), self.counts());
        text.push_str("\n# [algorithms] # other names for the leaderboard\n");
        if let Some(first) = self.data.algorithms().first() {
            let _ = writeln!(text, "# {} = \"A better name\"", quoted(first.as_str()));
        }
        self.push_labels(&mut text, roots);
        for kind in ReferenceKind::ALL {
            self.push_references(&mut text, kind);
        }
        text
    }

    /// Returns the numbers of pictures: `480 pictures of 40 scenes by 12 algorithms`.
    pub fn counts(&self) -> String {
        let (pictures, scenes) = (self.data.pictures.len(), self.data.scenes.len());
        let labelled = self.data.pictures.iter().filter(|picture| picture.mos.is_some()).count();
        let labels = if labelled == 0 { String::new() } else { format!(", {labelled} with a label") };
        let (pictures, scenes) = (counted(pictures, "picture"), counted(scenes, "scene"));
        format!("{pictures} of {scenes} by {}{labels}", counted(self.data.algorithms().len(), "algorithm"))
    }

    fn push_labels(&self, text: &mut String, roots: &WrittenRoots) {
        let Some(labels) = &self.labels else {
            text.push_str(
                "\n# [labels] # ratings by people; no table of them was found\n# file = \"mos.csv\" # with the columns image (or \
                 scene and algorithm) and mos\n# root = \"..\" # if the table is in another folder\n# scene = \"picture\" # other \
                 names of the columns\n# algorithm = \"method\"\n# mos = \"rating\"\n# range = [0, 100] # the scale of the \
                 ratings\n",
            );
            return;
        };
        let mark = if self.labels_error.is_some() { "# " } else { "" };
        if let Some(error) = &self.labels_error {
            let why = causes(error).to_string().replace('\n', " ");
            let _ = write!(text, "\n# These labels do not fit yet: {why}");
        }
        let _ = writeln!(text, "\n{mark}[labels]");
        if labels.is_in_parent {
            let _ = writeln!(text, "{mark}root = {}", Value::String(roots.parent.clone()));
        }
        let _ = writeln!(text, "{mark}file = {}", Value::String(labels.file.clone()));
        text.push_str("# direction = \"lower\" # if low ratings are the good ones\n");
        if let Some(seen) = SeenLabels::of(&self.data) {
            let line = seen.range_line();
            let _ = writeln!(text, "# {line} # the scale of the ratings, for training; labels seen: {seen}");
        }
    }

    fn push_references(&self, text: &mut String, kind: ReferenceKind) {
        let (section, what) = match kind {
            ReferenceKind::Hazy => ("hazy", "the hazy inputs"),
            ReferenceKind::Clear => ("clear", "the clear pictures"),
        };
        let excluded = self.data.excluded.iter().find(|folder| folder.kind == kind);
        let (folder, remark) = match excluded {
            Some(folder) => (folder.name.as_str(), "found by the folder's name; needed if they are elsewhere"),
            None => (section, "none were found, or give their layout here"),
        };
        let is_folder = self.layout.starts_with("{algorithm}/");
        let layout =
            if is_folder { self.layout.replace("{algorithm}", folder) } else { format!("{folder}/{{scene}}.{{ext}}") };
        let layout = Value::String(layout);
        let _ = write!(text, "\n# [{section}] # {what}: {remark}\n# layout = {layout}\n");
    }
}

/// If the pictures of a folder seem to be of one algorithm, named after the folder that holds them all, returns the layout by
/// which their own names say the algorithm, `dehazed/{scene}_{algorithm}.{ext}`, with the data set. None if their names do not.
async fn layout_in_names(bare: &Definition, data: &DataSet) -> Option<(String, DataSet)> {
    let [folder] = &data.algorithms()[..] else { return None };
    let layout = format!("{folder}/{{scene}}_{{algorithm}}.{{ext}}");
    let of_names = load(&Definition { layout: vec![layout.clone()], ..bare.clone() }).await.ok()?;
    let (algorithms, scenes) = (of_names.algorithms().len(), of_names.scenes.len());
    // Both occur again and again: names such as `scene_1.png` have an algorithm for each picture.
    let pictures = of_names.pictures.len();
    let is_matrix =
        algorithms > 1 && pictures == data.pictures.len() && scenes < pictures && algorithms * 2 <= pictures;
    is_matrix.then_some((layout, of_names))
}
