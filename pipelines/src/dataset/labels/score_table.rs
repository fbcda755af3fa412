//! Reads a table of scores that others made, and matches its rows to pictures as rows of labels are matched. A row that
//! belongs to no picture, to several, or to one that has a row already is an error: no score is lost unnoticed.

use std::collections::HashMap;

use super::matching::{LabelTarget, Matcher};
use super::{Columns, Label, Tables};
use crate::dataset::data_set::DataSet;
use crate::dataset::definition::{Definition, Ignore, LabelsDefinition};
use crate::dataset::error::{DatasetError, UnlocatedError};
use crate::dataset::label_error::LabelError;
use crate::dataset::path_index::PathMatch;
use crate::dataset::score_table_error::{NamedRows, ScoreTableError};
use crate::dataset::table_file::{self, Table, TableFormat};
use crate::metric::Direction;
use crate::store::Store;

/// The columns of a table of scores. A name that is not given is the usual one: `image`, or `scene` and `algorithm`;
/// `score`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreColumns {
    /// The column of pictures' paths.
    pub image: Option<String>,
    /// The column of scenes, if there is no column of pictures.
    pub scene: Option<String>,
    /// The column of algorithms, if there is no column of pictures.
    pub algorithm: Option<String>,
    /// The column of the scenes' groups, if there is no column of pictures and groups share names of scenes.
    pub group: Option<String>,
    /// The column of scores.
    pub score: Option<String>,
    /// Differences that are ignored between a name in the table and a picture's.
    pub ignore: Vec<Ignore>,
    /// The sheet of a workbook, if it is not the first.
    pub sheet: Option<String>,
}

/// What a table says about a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TableScore {
    /// The picture's score.
    Value(f64),
    /// The picture's row has no score.
    Empty,
    /// The table has no row for the picture.
    Absent,
}

/// The scores of a table, by picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoreTable {
    /// BLAKE3 digest of the file: 64 hexadecimal digits.
    pub(crate) digest: String,
    /// What it says about each picture, in the order of the data set.
    pub(crate) scores: Vec<TableScore>,
}

impl ScoreColumns {
    /// Returns the columns as those of a table of labels, which is read and matched in the same way.
    fn as_labels(&self, file: &str) -> LabelsDefinition {
        LabelsDefinition {
            root: None,
            file: file.to_owned(),
            image_file: None,
            image: self.image.clone(),
            scene: self.scene.clone(),
            algorithm: self.algorithm.clone(),
            group: self.group.clone(),
            mos: self.score.clone().unwrap_or_else(|| "score".to_owned()),
            direction: Direction::Higher,
            range: None,
            repeated: None,
            ignore: self.ignore.clone(),
            encoding: None,
            sheet: self.sheet.clone(),
            decimal: None,
        }
    }
}

/// Reads a table in a file of a store, and matches its rows to the pictures of a data set.
///
/// # Errors
/// If the store fails; if the file is not such a table; if a row has no picture, several, or the picture of another row.
pub(crate) async fn read_scores(
    store: &Store,
    file: &str,
    columns: &ScoreColumns,
    data: &DataSet,
) -> Result<ScoreTable, ScoreTableError> {
    let bytes = table_file::fetch(store, file).await.map_err(of_scores)?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    let labels = columns.as_labels(file);
    let form = TableFormat { sheet: columns.sheet.as_deref(), ..TableFormat::default() };
    let table = Table::read(file, bytes, form).map_err(|error| of_scores(error.into()))?;
    let definition = Definition::from_toml(&data.definition)?;
    let has_groups = data.pictures.iter().any(|picture| picture.scene_group.is_some());
    let tables = Tables { labels: table, names: None };
    let all = Columns { definition: &definition, labels: &labels, folder: None, has_groups };
    let rows = tables.rows(0, &all).map_err(of_scores)?;
    if rows.is_empty() {
        return Err(LabelError::Content("it has a header and no rows".to_owned()).into());
    }
    let matched = match_rows(&definition, data, &rows, &columns.ignore)?;
    Ok(ScoreTable { digest, scores: scores_of(data, &rows, &matched, &labels.mos)? })
}

/// Returns the picture of each row.
fn match_rows(
    definition: &Definition,
    data: &DataSet,
    rows: &[Label],
    ignore: &[Ignore],
) -> Result<Vec<u32>, ScoreTableError> {
    let subjects: Vec<&LabelTarget> = rows.iter().map(|row| &row.subject).collect();
    let matcher = Matcher::new(definition, &data.pictures);
    let (meant, _) = matcher.find(&subjects, ignore);
    let rows_with = |kind: PathMatch| -> Vec<&Label> {
        rows.iter().zip(&meant).filter(|(_, meant)| **meant == kind).map(|(row, _)| row).collect()
    };
    let name = |rows: &[&Label]| NamedRows::new(rows.iter().map(|row| (row.row, row.subject.text())));
    let unknown = rows_with(PathMatch::None);
    if !unknown.is_empty() {
        let subjects: Vec<&LabelTarget> = unknown.iter().map(|row| &row.subject).collect();
        let accepting = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|option| format!("--ignore {option}")).collect();
            format!("`{}` accepts these", options.join(" "))
        };
        let hint = matcher.explain(&subjects, accepting);
        return Err(ScoreTableError::Unknown { rows: name(&unknown), all: rows.len() as u64, hint });
    }
    let ambiguous = rows_with(PathMatch::Ambiguous);
    if !ambiguous.is_empty() {
        return Err(ScoreTableError::Ambiguous { rows: name(&ambiguous) });
    }
    let number = |meant: &PathMatch| match meant {
        PathMatch::One(number) => Some(*number),
        PathMatch::None | PathMatch::Ambiguous => None,
    };
    Ok(meant.iter().filter_map(number).collect())
}

/// Returns what the rows say about each picture. `matched` has the picture of each row.
fn scores_of(
    data: &DataSet,
    rows: &[Label],
    matched: &[u32],
    column: &str,
) -> Result<Vec<TableScore>, ScoreTableError> {
    let mut scores = vec![TableScore::Absent; data.pictures.len()];
    let mut first_rows: HashMap<u32, &Label> = HashMap::with_capacity(rows.len());
    let mut repeated: Vec<String> = Vec::new();
    for (row, number) in rows.iter().zip(matched) {
        let image = &data.pictures[*number as usize].image;
        if let Some(first) = first_rows.get(number) {
            repeated.push(format!("{} and {} (`{image}`)", first.row, row.row));
            continue;
        }
        first_rows.insert(*number, row);
        if row.mos.is_infinite() {
            return Err(ScoreTableError::Infinite { row: row.row, image: image.to_string(), value: row.mos });
        }
        scores[*number as usize] = if row.mos.is_nan() { TableScore::Empty } else { TableScore::Value(row.mos) };
    }
    if !repeated.is_empty() {
        return Err(ScoreTableError::Repeated { pairs: repeated });
    }
    if !scores.iter().any(|score| matches!(score, TableScore::Value(_))) {
        return Err(ScoreTableError::NoScore { rows: rows.len() as u64, column: column.to_owned() });
    }
    Ok(scores)
}

/// Returns an error of the reader of labels as one of a table of scores, whose columns are named on a command line.
fn of_scores(error: UnlocatedError) -> ScoreTableError {
    let error = match error {
        UnlocatedError::Table(error) => error,
        UnlocatedError::Other(DatasetError::Contradiction { .. }) => return ScoreTableError::TwoWays,
        UnlocatedError::Other(error) => return error.into(),
    };
    ScoreTableError::Table(match error {
        LabelError::Columns { lacks, has, .. } => {
            let hint = "--image, --scene, --algorithm, --group and --score name other columns".to_owned();
            LabelError::Columns { lacks, has, hint }
        }
        LabelError::NotText { line, encoding, .. } => {
            LabelError::Content(format!("its line {line} is not {encoding}: save it as UTF-8"))
        }
        LabelError::Value { row, column, value, why } if why.contains("[labels]") => LabelError::Value {
            row,
            column,
            value,
            why: "can be a number of thousands or one with decimals: write decimals with a point",
        },
        other => other,
    })
}
