//! `dqa-coord dataset`: lists the data sets with a definition, shows one, checks one for problems, or writes one.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_engine::decode::{ErrorCode, Limits};
use dqa_engine::headers;
use dqa_pipelines::cause;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{
    self, AlgorithmSelection, CheckReport, DataSet, DatasetError, Definition, Picture, PictureHeader, ReferenceKind,
    check,
};
use dqa_pipelines::header_index::HeaderIndex;
use dqa_pipelines::result_page::{TEXT_WIDTH, wrapped};
use dqa_pipelines::store::StoreError;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, note, with_hint};
use futures::StreamExt;
use serde::Serialize;

use super::dataset_init;
use super::output::write_json;

/// Checks, shows or defines a data set, or lists those with a definition.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
pub(super) struct Args {
    /// Action.
    #[arg(value_enum)]
    action: Action,

    /// Data set: a name that `dataset list` has, a definition (TOML), a manifest (CSV, Parquet) or a folder. NAME=PATH
    /// gives it another name than its own.
    #[arg(value_name = "NAME", required_if_eq_any([("action", "check"), ("action", "show"), ("action", "init")]))]
    dataset: Option<String>,

    /// Algorithms to check, joined by commas, or all. Folders of hazy inputs and references next to the algorithms'
    /// folders are checked only if they are named: `all,hazy`.
    #[arg(long, env = "DQA_ALGOS", value_delimiter = ',', default_value = "all", value_name = "NAMES")]
    algos: Vec<String>,

    /// Do not read the pictures' headers: sizes are not compared, and unreadable pictures are not found.
    #[arg(long, env = "DQA_NO_HEADERS", value_parser = BoolishValueParser::new())]
    no_headers: bool,

    /// With init, the file to write [default: the data set's name with .toml, in the folder].
    #[arg(long, env = "DQA_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Format of the result. As CSV, a check has the cells of its matrix that have problems.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Checks the matrix of algorithms and scenes for pictures that are missing, duplicate, unlabelled, unreadable, or
    /// of another size than their input.
    Check,
    /// Shows the definition, and the number of pictures of each algorithm.
    Show,
    /// Lists the data sets with a definition: those in the program, and those in configs/datasets.
    List,
    /// Writes a definition of a folder from what is in it, with comments on what can be added.
    Init,
}

/// Runs the action.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let name = args.dataset.as_deref().unwrap_or_default();
    match args.action {
        Action::Check => check_one(load(name).await?.1, args).await,
        Action::Show => {
            let (definition, dataset) = load(name).await?;
            show(&definition, &dataset, args.format)?;
            Ok(ExitStatus::All)
        }
        Action::List => list(args.format),
        Action::Init => dataset_init::init(name, args.output.as_deref()).await,
    }
}

async fn load(name: &str) -> anyhow::Result<(Definition, DataSet)> {
    let definition = dataset::find_definition(name, Path::new(""))?;
    let loaded = dataset::load(&definition).await;
    let loaded = loaded.with_context(|| format!("cannot load data set `{}`", definition.name));
    let variable = if definition.root.contains("://") { "" } else { "; DQA_DATA names the folder of ready data sets" };
    let missing = format!("its data should be at {}{variable}", definition.root);
    let dataset = loaded.map_err(|error| match error.downcast_ref::<DatasetError>() {
        Some(DatasetError::Store(StoreError::Folder { .. })) => with_hint(error, missing),
        _ => error,
    })?;
    Ok((definition, dataset))
}

async fn check_one(dataset: DataSet, args: &Args) -> anyhow::Result<ExitStatus> {
    let algorithms =
        if args.algos == ["all"] { AlgorithmSelection::All } else { AlgorithmSelection::Named(args.algos.clone()) };
    let dataset = dataset.select(&algorithms)?;
    let mut index = HeaderIndex::default();
    if !args.no_headers {
        read_headers(&dataset, &mut index).await?;
        for kind in ReferenceKind::ALL {
            read_headers(&dataset.references_as_data_set(kind), &mut index).await?;
        }
    }
    let limits = Limits::default();
    let header = |picture: &Picture| headers::check(index.get(picture), picture, &limits).filter(|_| !args.no_headers);
    let check = check(&dataset, &header);
    print_check(&check, args.format)?;
    if let Some(labels) = dataset::unused_labels(&dataset).await {
        note(format_args!("hint: {labels} has labels; a definition takes them with a section [labels]"));
    }
    Ok(if check.is_clean() { ExitStatus::All } else { ExitStatus::SomeFailed })
}

async fn read_headers(dataset: &DataSet, index: &mut HeaderIndex) -> anyhow::Result<()> {
    let mut read = headers::read(dataset, (0..dataset.pictures.len()).collect(), Limits::default().bytes_max);
    while let Some((picture_index, header)) = read.next().await {
        let picture = &dataset.pictures[picture_index];
        let header = match header {
            Err(error) if error.is_object_specific() => {
                PictureHeader::Unreadable { code: ErrorCode::Io.to_string(), message: cause(&error).to_string() }
            }
            header => header.with_context(|| format!("cannot read the header of {}", picture.image))?,
        };
        index.insert(picture, header);
    }
    Ok(())
}

fn print_check(check: &CheckReport, format: OutputFormat) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    match format {
        OutputFormat::Table => out.write_all(wrapped(&check.to_string(), TEXT_WIDTH).as_bytes())?,
        OutputFormat::Json => write_json(&mut out, check)?,
        OutputFormat::Csv => {
            write_check_csv(&mut out, check)?;
            // Faults and remarks do not belong to a cell.
            check.faults.iter().for_each(|fault| note(format_args!("{fault}")));
            check.remarks().iter().for_each(|line| note(format_args!("{line}")));
        }
    }
    Ok(out.flush()?)
}

fn write_check_csv(out: &mut impl Write, check: &CheckReport) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table
        .write_record([
            "scene",
            "algorithm",
            "expected",
            "present",
            "missing",
            "duplicate",
            "unlabelled",
            "unlike_input",
            "unreadable",
            "details",
        ])
        .map_err(io::Error::from)?;
    for cell in &check.cells {
        let c = &cell.counts;
        let numbers = [c.expected, c.present, c.missing, c.duplicate, c.unlabelled, c.unlike_input, c.unreadable];
        let texts = [cell.scene.clone(), cell.algorithm.to_string()].into_iter();
        let record = texts.chain(numbers.map(|n| n.to_string())).chain([cell.details.join("; ")]);
        table.write_record(record).map_err(io::Error::from)?;
    }
    table.flush()
}

/// A data set's definition with counts of its pictures.
#[derive(Serialize)]
struct DataSetSummary<'a> {
    definition: &'a Definition,
    scenes: usize,
    pictures: usize,
    bytes: u64,
    labelled: usize,
    hazy: usize,
    clear: usize,
    algorithms: BTreeMap<String, u64>,
}

fn show(definition: &Definition, dataset: &DataSet, format: OutputFormat) -> Result<(), OutputError> {
    let mut algorithms: BTreeMap<String, u64> = BTreeMap::new();
    for picture in &dataset.pictures {
        *algorithms.entry(picture.algorithm.to_string()).or_default() += 1;
    }
    let summary = DataSetSummary {
        definition,
        scenes: dataset.scenes.len(),
        pictures: dataset.pictures.len(),
        bytes: dataset.pictures.iter().map(|picture| picture.bytes).sum(),
        labelled: dataset.pictures.iter().filter(|picture| picture.mos.is_some()).count(),
        hazy: dataset.inputs.len(),
        clear: dataset.clear_pictures.len(),
        algorithms,
    };
    let mut out = BufWriter::new(stdout().lock());
    match format {
        OutputFormat::Table => {
            writeln!(out, "{}", dataset.definition)?;
            let DataSetSummary { pictures, scenes, labelled, hazy, clear, .. } = summary;
            let (scenes, hazy) = (counted(scenes, "scene"), counted(hazy, "hazy picture"));
            let clear = if clear == 0 { String::new() } else { format!(", {}", counted(clear, "clear picture")) };
            dataset.skipped_lines().iter().for_each(|line| note(format_args!("{line}")));
            let pictures = counted(pictures, "picture");
            writeln!(out, "# {pictures} ({labelled} labelled) of {scenes}, {hazy}{clear}")?;
            for (algorithm, pictures) in &summary.algorithms {
                writeln!(out, "# {algorithm}: {pictures}")?;
            }
        }
        OutputFormat::Json => write_json(&mut out, &summary)?,
        OutputFormat::Csv => {
            writeln!(out, "algorithm,pictures")?;
            for (algorithm, pictures) in &summary.algorithms {
                writeln!(out, "{algorithm},{pictures}")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Lists the data sets with a definition. Notes each definition that cannot be read, and lists the others.
fn list(format: OutputFormat) -> anyhow::Result<ExitStatus> {
    let mut status = ExitStatus::All;
    let mut definitions = Vec::new();
    for name in dataset::definition_names(Path::new("")) {
        match dataset::find_definition(&name, Path::new("")) {
            Ok(definition) => definitions.push(definition),
            Err(error) => {
                note(format_args!("{:#}", anyhow::Error::from(error)));
                status = ExitStatus::SomeFailed;
            }
        }
    }
    print_list(&definitions, format)?;
    Ok(status)
}

fn print_list(definitions: &[Definition], format: OutputFormat) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    if matches!(format, OutputFormat::Csv) {
        writeln!(out, "name,root")?;
    }
    for definition in definitions {
        match format {
            OutputFormat::Table => writeln!(out, "{:24} {}", definition.name, definition.root)?,
            OutputFormat::Json => write_json(&mut out, definition)?,
            OutputFormat::Csv => {
                let mut table = csv::Writer::from_writer(&mut out);
                let record = [definition.name.as_str(), &definition.root];
                table.write_record(record).map_err(io::Error::from)?;
                table.flush()?;
            }
        }
    }
    Ok(out.flush()?)
}
