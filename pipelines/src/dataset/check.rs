//! Checks whether a data set is complete: every algorithm has every scene once, labelled, readable, and of its input's size.
//! The check is pure: files are in the [`DataSet`], and the caller passes a function that returns headers.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::data_set::DataSet;
use super::fault::{Fault, NAMED_MAX};
use super::header::PictureHeader;
use super::picture::{Picture, by_stem, distinct};
use super::skipped::{self, SkippedFiles};
use crate::count_text::counted;
use crate::names::{AlgorithmName, DatasetName};
use crate::text_table::{Alignment, format_rows};
use dqa_metrics::ReferenceKind;

/// The problems in the matrix of algorithms and scenes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The data set's name.
    pub dataset: DatasetName,
    /// The selected algorithms, by name.
    pub algorithms: Vec<AlgorithmName>,
    /// The number of scenes of the data set.
    pub scenes: u64,
    /// Sums over all cells.
    pub counts: CheckCounts,
    /// Sums over the cells of each algorithm, in the order of `algorithms`.
    pub by_algorithm: Vec<CheckCounts>,
    /// The cells with problems, by scene and algorithm.
    pub cells: Vec<CheckCell>,
    /// Pictures without a hazy input. This is not a problem: no score needs the input.
    pub without_hazy: u64,
    /// Pictures without a clear reference, in a data set that has some. This is not a problem: only some metrics need it.
    pub without_clear: u64,
    /// Pictures of another size than their clear reference. Only metrics that compare with it have no value for them.
    pub unlike_clear: u64,
    /// The sizes of the first few of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlike_clear_named: Vec<String>,
    /// Problems that belong to no cell.
    pub faults: Vec<Fault>,
    /// Files that were skipped without being a fault.
    #[serde(rename = "left_out")]
    pub skipped: Vec<SkippedFiles>,
    /// Notes that are not problems: see [`DataSet::notes`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One algorithm's pictures of one scene.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckCell {
    /// The algorithm.
    pub algorithm: AlgorithmName,
    /// The scene: a [`SceneKey`](super::SceneKey) as text.
    pub scene: String,
    /// The number of pictures, and of each problem.
    #[serde(flatten)]
    pub counts: CheckCounts,
    /// A description of each problem that has more to say than its count.
    pub details: Vec<String>,
}

/// The pictures and problems of a cell, an algorithm or a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckCounts {
    /// Pictures that should exist.
    pub expected: u64,
    /// Pictures that exist, without duplicates.
    pub present: u64,
    /// Pictures that do not exist.
    pub missing: u64,
    /// Files that are the same picture as another file.
    pub duplicate: u64,
    /// Pictures without a label, in a data set that has labels.
    pub unlabelled: u64,
    /// Pictures of another size than their hazy input.
    pub unlike_input: u64,
    /// Pictures whose header cannot be read.
    pub unreadable: u64,
}

impl CheckCounts {
    /// Returns whether there are no problems.
    pub fn is_clean(&self) -> bool {
        self.missing + self.duplicate + self.unlabelled + self.unlike_input + self.unreadable == 0
    }

    /// Returns whether there are pictures and none has a label, in a data set that has labels.
    fn has_no_label(&self) -> bool {
        self.present > 0 && self.unlabelled >= self.present
    }

    fn add(&mut self, other: &CheckCounts) {
        self.expected += other.expected;
        self.present += other.present;
        self.missing += other.missing;
        self.duplicate += other.duplicate;
        self.unlabelled += other.unlabelled;
        self.unlike_input += other.unlike_input;
        self.unreadable += other.unreadable;
    }
}

impl CheckReport {
    /// Returns whether every algorithm has every scene once, labelled, readable and of its input's size, and no named picture
    /// is missing or in a tar that cannot be read.
    pub fn is_complete(&self) -> bool {
        self.counts.is_clean() && !self.faults.iter().any(|fault| fault.kind.is_missing_data())
    }

    /// Returns the number of missing pictures, or None if no picture is missing or there is another problem.
    pub fn only_missing(&self) -> Option<u64> {
        let rest = CheckCounts { missing: 0, ..self.counts };
        (self.counts.missing > 0 && rest.is_clean() && self.faults.is_empty()).then_some(self.counts.missing)
    }

    /// Returns the remarks that are not problems, one a line: skipped files, the notes, and clear references of other sizes.
    pub fn remarks(&self) -> Vec<String> {
        let mut lines = skipped::lines(&self.skipped);
        lines.extend(self.notes.iter().cloned());
        if self.unlike_clear > 0 {
            let more = if self.unlike_clear > self.unlike_clear_named.len() as u64 { ", ..." } else { "" };
            let (count, named) = (self.unlike_clear, self.unlike_clear_named.join(", "));
            lines.push(format!("{count} pictures are of another size than their clear reference: {named}{more}"));
        }
        lines
    }

    /// Returns whether the data set is complete and has no other problem.
    pub fn is_clean(&self) -> bool {
        self.is_complete() && self.faults.is_empty()
    }
}

/// Checks a data set. `header` returns the header of a dehazed picture or a reference, or None if it was not read, which is not
/// a problem.
pub fn check(data: &DataSet, header: &dyn Fn(&Picture) -> Option<PictureHeader>) -> CheckReport {
    let mut check = CheckReport {
        dataset: data.name.clone(),
        algorithms: data.algorithms(),
        scenes: data.scenes.len() as u64,
        counts: CheckCounts::default(),
        by_algorithm: Vec::new(),
        cells: Vec::new(),
        without_hazy: 0,
        without_clear: 0,
        unlike_clear: 0,
        unlike_clear_named: Vec::new(),
        faults: data.faults.clone(),
        skipped: data.skipped.clone(),
        notes: data.notes.clone(),
    };
    for pictures in data.pictures.chunk_by(|a, b| a.algorithm == b.algorithm) {
        let mut algorithm_counts = CheckCounts::default();
        let mut rest = pictures;
        for scene in &data.scenes {
            let (run, after) = rest.split_at(rest.partition_point(|picture| picture.scene_key() <= scene.key));
            rest = after;
            let mut cell = CheckCell {
                algorithm: pictures[0].algorithm.clone(),
                scene: scene.key.to_string(),
                counts: presence(run, scene.pictures),
                details: duplicates(run),
            };
            for picture in run {
                check_picture(data, picture, header, &mut cell);
            }
            algorithm_counts.add(&cell.counts);
            if !cell.counts.is_clean() {
                check.cells.push(cell);
            }
        }
        check.counts.add(&algorithm_counts);
        check.by_algorithm.push(algorithm_counts);
    }
    check.cells.sort_by(|a, b| a.scene.cmp(&b.scene).then_with(|| a.algorithm.cmp(&b.algorithm)));
    if !data.inputs.is_empty() {
        check.without_hazy = data.pictures.iter().filter(|picture| picture.hazy.is_none()).count() as u64;
    }
    if !data.clear_pictures.is_empty() {
        check.count_clear(data, header);
    }
    check
}

fn presence(run: &[Picture], expected: u32) -> CheckCounts {
    let present = distinct(run) as u64;
    let expected = u64::from(expected);
    CheckCounts {
        expected,
        present,
        missing: expected.saturating_sub(present),
        duplicate: run.len() as u64 - present,
        ..CheckCounts::default()
    }
}

fn duplicates(run: &[Picture]) -> Vec<String> {
    if run.len() < 2 {
        return Vec::new();
    }
    let mut texts: Vec<String> = by_stem(run)
        .values()
        .filter(|files| files.len() > 1)
        .map(|files| format!("{} are one picture", files.join(", ")))
        .collect();
    texts.sort();
    texts
}

fn check_picture(
    data: &DataSet,
    picture: &Picture,
    header: &dyn Fn(&Picture) -> Option<PictureHeader>,
    cell: &mut CheckCell,
) {
    let image = &picture.image;
    if data.is_labelled && picture.mos.is_none() {
        cell.counts.unlabelled += 1;
        cell.details.push(format!("{image}{NO_LABEL}"));
    }
    match header(picture) {
        Some(PictureHeader::Unreadable { code, message }) => {
            cell.counts.unreadable += 1;
            cell.details.push(format!("{image}: {code}: {message}"));
        }
        Some(PictureHeader::Size { width, height }) => {
            let hazy = data.reference(picture, ReferenceKind::Hazy).and_then(header);
            if let Some(PictureHeader::Size { width: w, height: h }) = hazy
                && (w, h) != (width, height)
            {
                cell.counts.unlike_input += 1;
                cell.details.push(format!("{image} is {width}x{height}, its hazy input {w}x{h}"));
            }
        }
        None => {}
    }
}

impl CheckReport {
    /// Counts pictures that have no clear reference, or one of another size.
    fn count_clear(&mut self, data: &DataSet, header: &dyn Fn(&Picture) -> Option<PictureHeader>) {
        let size = |picture: &Picture| header(picture)?.size();
        for picture in &data.pictures {
            let Some(reference) = data.reference(picture, ReferenceKind::Clear) else {
                self.without_clear += 1;
                continue;
            };
            if let (Some((width, height)), Some((w, h))) = (size(picture), size(reference))
                && (w, h) != (width, height)
            {
                self.unlike_clear += 1;
                if self.unlike_clear_named.len() < NAMED_MAX {
                    self.unlike_clear_named.push(format!("{} is {width}x{height} and not {w}x{h}", picture.image));
                }
            }
        }
    }
}

/// Scenes, cells or details that are shown of a large matrix.
const SHOWN_MAX: usize = 40;

/// Maximum characters of a line of the matrix, so that it does not wrap in a terminal of the usual width.
const LINE_MAX: usize = 80;

const LEGEND: &str = ". complete  - missing  d duplicate  u unlabelled  s other size  x unreadable";

/// Returns the subject of a sentence about pictures, with its verb.
fn pictures_have(count: u64) -> String {
    format!("{} {}", counted(count, "picture"), if count == 1 { "has" } else { "have" })
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let CheckCounts { expected, present, .. } = self.counts;
        let (algorithms, scenes) = (self.algorithms.len(), self.scenes);
        writeln!(
            f,
            "data set {}: {algorithms} algorithms x {scenes} scenes, {present} of {expected} pictures",
            self.dataset
        )?;
        let cells = self.shown_cells();
        self.write_algorithms(f)?;
        if !cells.is_empty() {
            writeln!(f)?;
            let matrix = Matrix::new(&cells);
            if matrix.width() <= LINE_MAX {
                matrix.write(f)?
            } else {
                write_cells(f, &cells)?
            }
            write_details(f, &cells)?;
        }
        for fault in &self.faults {
            writeln!(f, "\n{fault}")?;
        }
        for line in self.remarks() {
            writeln!(f, "\n{line}")?;
        }
        if self.without_hazy > 0 {
            writeln!(f, "\n{} no hazy input to compare sizes with", pictures_have(self.without_hazy))?;
        }
        if self.without_clear > 0 {
            writeln!(f, "\n{} no clear reference to compare with", pictures_have(self.without_clear))?;
        }
        Ok(())
    }
}

impl CheckReport {
    /// Writes the algorithms with problems, and the number of the others. An algorithm without any label, like one that was
    /// just added, is one line.
    fn write_algorithms(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let counted = || self.algorithms.iter().zip(&self.by_algorithm);
        let complete = counted().filter(|(_, counts)| counts.is_clean()).count();
        let all = self.algorithms.len();
        match complete {
            0 => {}
            1 if all == 1 => writeln!(f, "the algorithm is complete")?,
            _ if complete == all => writeln!(f, "all {all} algorithms are complete")?,
            1 => writeln!(f, "1 algorithm is complete")?,
            _ => writeln!(f, "{complete} algorithms are complete")?,
        }
        let mut rows = Vec::new();
        for (name, counts) in counted().filter(|(_, counts)| !counts.is_clean()) {
            let CheckCounts { present, missing, duplicate, unlabelled, unlike_input, unreadable, .. } = *counts;
            if counts.has_no_label() && missing + duplicate + unlike_input + unreadable == 0 {
                writeln!(f, "{name}: none of its {present} pictures has a label")?;
            } else {
                rows.push((name, [present, missing, duplicate, unlabelled.min(present), unlike_input, unreadable]));
            }
        }
        let titles = ["pictures", "missing", "duplicate", "unlabelled", "unlike input", "unreadable"];
        // The number of pictures, and the problems that there are.
        let is_shown = |column: &usize| *column == 0 || rows.iter().any(|(_, counts)| counts[*column] > 0);
        let columns: Vec<usize> = (0..titles.len()).filter(is_shown).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let header = columns.iter().map(|column| titles[*column].to_owned());
        let mut table: Vec<Vec<String>> = vec![std::iter::once("algorithm".to_owned()).chain(header).collect()];
        table.extend(rows.iter().map(|(name, counts)| {
            std::iter::once(name.to_string()).chain(columns.iter().map(|column| counts[*column].to_string())).collect()
        }));
        let alignments: Vec<Alignment> =
            std::iter::once(Alignment::Left).chain(columns.iter().map(|_| Alignment::Right)).collect();
        write!(f, "\n{}", format_rows(&table, &alignments))
    }

    /// Returns the cells with problems, without those that lack only the label that their whole algorithm lacks.
    fn shown_cells(&self) -> Vec<CheckCell> {
        let has_no_label = |name: &AlgorithmName| {
            let index = self.algorithms.iter().position(|algorithm| algorithm == name);
            index.is_some_and(|index| self.by_algorithm[index].has_no_label())
        };
        let mut cells = self.cells.clone();
        for cell in cells.iter_mut().filter(|cell| has_no_label(&cell.algorithm)) {
            cell.counts.unlabelled = 0;
            cell.details.retain(|detail| !detail.ends_with(NO_LABEL));
        }
        cells.retain(|cell| !cell.counts.is_clean());
        cells
    }
}

/// The end of the detail of a picture without a label.
const NO_LABEL: &str = " has no label";

/// The scenes with problems, with the marks of each algorithm that has problems.
struct Matrix<'c> {
    cells: &'c [CheckCell],
    algorithms: BTreeSet<&'c AlgorithmName>,
    scene_width: usize,
}

impl<'c> Matrix<'c> {
    fn new(cells: &'c [CheckCell]) -> Matrix<'c> {
        let scene_width = cells.iter().map(|cell| cell.scene.chars().count()).max().unwrap_or(0).max("scene".len());
        Matrix { cells, algorithms: cells.iter().map(|cell| &cell.algorithm).collect(), scene_width }
    }

    fn width(&self) -> usize {
        self.scene_width + self.algorithms.iter().map(|name| column_width(name) + 2).sum::<usize>()
    }

    fn write(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = self.scene_width;
        write!(f, "{:width$}", "scene")?;
        let names: String = self.algorithms.iter().map(|name| format!("  {name:0$}", column_width(name))).collect();
        writeln!(f, "{}", names.trim_end())?;
        let scenes: Vec<&[CheckCell]> = self.cells.chunk_by(|a, b| a.scene == b.scene).collect();
        for cells in scenes.iter().take(SHOWN_MAX) {
            let mut line = format!("{:width$}", cells[0].scene);
            for name in &self.algorithms {
                let counts = cells.iter().find(|cell| cell.algorithm == **name).map(|cell| cell.counts);
                line += &format!("  {:1$}", marks(&counts.unwrap_or_default()), column_width(name));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        write_more(f, scenes.len(), "scenes")?;
        writeln!(f, "{LEGEND}")
    }
}

fn write_cells(f: &mut fmt::Formatter, cells: &[CheckCell]) -> fmt::Result {
    for cell in cells.iter().take(SHOWN_MAX) {
        writeln!(f, "{} {} {}", cell.scene, cell.algorithm, marks(&cell.counts))?;
    }
    write_more(f, cells.len(), "cells")?;
    writeln!(f, "{LEGEND}")
}

fn write_details(f: &mut fmt::Formatter, cells: &[CheckCell]) -> fmt::Result {
    let details = || cells.iter().flat_map(|cell| &cell.details);
    if details().next().is_some() {
        writeln!(f)?;
    }
    for detail in details().take(SHOWN_MAX) {
        writeln!(f, "{detail}")?;
    }
    write_more(f, details().count(), "remarks")
}

fn write_more(f: &mut fmt::Formatter, all: usize, what: &str) -> fmt::Result {
    let more = all.saturating_sub(SHOWN_MAX);
    if more > 0 { writeln!(f, "and {more} more {what}: `dataset check --format csv` has all") } else { Ok(()) }
}

/// Returns the width of an algorithm's column: of its name, or of the two marks that occur together (a duplicate has no label
/// of its own).
fn column_width(name: &AlgorithmName) -> usize {
    name.as_str().len().max(2)
}

fn marks(counts: &CheckCounts) -> String {
    let all = [
        ('-', counts.missing),
        ('d', counts.duplicate),
        ('u', counts.unlabelled),
        ('s', counts.unlike_input),
        ('x', counts.unreadable),
    ];
    let text: String = all.iter().filter(|(_, count)| *count > 0).map(|(mark, _)| *mark).collect();
    if text.is_empty() { ".".to_owned() } else { text }
}
