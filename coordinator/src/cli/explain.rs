//! `dqa-coord explain`: draws where the model looks in pictures, and prints the scores of their windows.

use std::fs;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{ArgGroup, ValueEnum};
use dqa_engine::decode::{Limits, decode};
use dqa_engine::explain::{AttentionLayer, Drawing, DrawnPicture, MapOptions, Scale, sheet};
use dqa_engine::fetch::read_file;
use dqa_model::{Explanation, Prepared, Rgb8, ViewMode, Views};
use dqa_pipelines::result_page::{Column, ResultPage, ResultTable, TableStyle};
use dqa_service::model_args::ModelArgs;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, end_on_signal, note, with_hint};
use serde::Serialize;

use super::output::write_json;
use super::progress::StepProgress;

/// Draws where the model looks in pictures, and prints the scores of their windows.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
#[command(group = ArgGroup::new("sentences").args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// Pictures. Several are rows of one sheet.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    /// Where to write the drawings: a path that ends in .png gets one sheet with all of them, a folder gets the sheet
    /// and each map in the picture's size. The maps of several pictures are in a folder for each.
    #[arg(long, env = "DQA_OUT", value_name = "PATH")]
    out: PathBuf,

    /// Layer whose attention is drawn, from 1 [default: all layers, by attention rollout].
    #[arg(long, env = "DQA_LAYER", value_name = "N")]
    layer: Option<usize>,

    /// Window whose class token's attention is drawn, from 1, by its number in the printed list [default: the mean of
    /// all windows].
    #[arg(long, env = "DQA_WINDOW", value_name = "N")]
    window: Option<usize>,

    /// What the colours stand for. fixed: scores from 0 to 1, and attention from none to twice an even share, so that
    /// pictures can be compared. auto: each map's own range, which shows small differences.
    #[arg(long, env = "DQA_SCALE", value_enum, default_value_t = ScaleArg::Fixed)]
    scale: ScaleArg,

    /// Format of the windows.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "lower")]
enum ScaleArg {
    Fixed,
    Auto,
}

/// A picture with its explanation.
struct Explained {
    name: String,
    picture: Rgb8,
    explanation: Explanation,
}

/// Explains the pictures: writes the drawings, and prints the windows.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let _end = end_on_signal(|| vec!["no drawing was written: the same command begins again".to_owned()])?;
    let views = &args.model.views;
    let pictures = read_pictures(args)?;
    let explainer = args.model.explainer()?;
    let layer = check_layer(args.layer, explainer.layers())?;
    let windows_min = pictures.iter().map(|(_, _, prepared)| prepared.windows()).min().unwrap_or(0);
    let window = check_window(args.window, windows_min)?;
    let windows: usize = pictures.iter().map(|(_, _, prepared)| prepared.windows()).sum();
    let mut progress = StepProgress::new(windows as u64, "windows");
    let mut explained = Vec::new();
    for (name, picture, prepared) in pictures {
        let explanation =
            explainer.explain(&prepared, |done| progress.add(done as u64)).context("cannot run the model")?;
        explained.push(Explained { name, picture, explanation });
    }
    progress.finish();
    let scale = match args.scale {
        ScaleArg::Fixed => Scale::Fixed,
        ScaleArg::Auto => Scale::Auto,
    };
    write_drawings(&args.out, &explained, &MapOptions { views: *views, layer, window, scale })?;
    print(&explained, views, layer, args.format)?;
    Ok(ExitStatus::All)
}

/// Reads all pictures, before the model takes its time: their names, their pixels and their windows.
fn read_pictures(args: &Args) -> anyhow::Result<Vec<(String, Rgb8, Prepared)>> {
    let views = &args.model.views;
    let limits = Limits::new(args.model.limits.limits(), views.side_min());
    let read = |path: &PathBuf| {
        let cannot = || format!("cannot score {}", path.display());
        let bytes = read_file(path, limits.bytes_max).with_context(cannot)?;
        let picture = decode(&bytes, &limits).with_context(cannot)?;
        let prepared = Prepared::new(picture.clone(), views).with_context(cannot)?;
        Ok((path.display().to_string(), picture, prepared))
    };
    args.images.iter().map(read).collect()
}

fn check_layer(layer: Option<usize>, layers: usize) -> anyhow::Result<AttentionLayer> {
    match layer {
        None => Ok(AttentionLayer::Rollout),
        Some(layer) if (1..=layers).contains(&layer) => Ok(AttentionLayer::Layer(layer - 1)),
        Some(layer) => {
            Err(with_hint(anyhow!("the model has no layer {layer}"), format!("its layers are 1 to {layers}")))
        }
    }
}

/// Returns the index of a window that every picture has.
fn check_window(window: Option<usize>, windows: usize) -> anyhow::Result<Option<usize>> {
    match window {
        None => Ok(None),
        Some(window) if (1..=windows).contains(&window) => Ok(Some(window - 1)),
        Some(window) => {
            Err(with_hint(anyhow!("the picture has no window {window}"), format!("its windows are 1 to {windows}")))
        }
    }
}

/// Writes the sheet, and to a folder also each map: those of several pictures below a folder with the picture's number and
/// name.
fn write_drawings(out: &Path, explained: &[Explained], options: &MapOptions) -> anyhow::Result<()> {
    let draw = |explained: &Explained| {
        let name = name_in_folder(&explained.name);
        DrawnPicture::new(&name, &explained.picture, &explained.explanation, options)
    };
    let drawn: Vec<DrawnPicture> = explained.iter().map(draw).collect();
    let sheet = sheet(&drawn, &explained[0].explanation, options);
    if out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        return write_file(out, &sheet);
    }
    write_file(&out.join("sheet.png"), &sheet)?;
    let is_single = explained.len() == 1;
    for ((number, explained), drawn) in (1..).zip(explained).zip(&drawn) {
        // Pictures of several folders may have one name.
        let stem = Path::new(&explained.name).file_stem().unwrap_or_default().to_string_lossy();
        let folder = if is_single { out.to_owned() } else { out.join(format!("{number}-{stem}")) };
        drawn.maps.iter().try_for_each(|map| write_file(&folder.join(format!("{}.png", map.name)), map))?;
    }
    Ok(())
}

fn write_file(path: &Path, drawing: &Drawing) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    fs::write(path, drawing.png()).with_context(|| format!("cannot write {}", path.display()))?;
    note(format_args!("wrote {}", path.display()));
    Ok(())
}

/// Returns the file's name after that of its folder, which often names the algorithm.
fn name_in_folder(path: &str) -> String {
    let names: Vec<_> = Path::new(path).iter().map(|name| name.to_string_lossy()).collect();
    names[names.len().saturating_sub(2)..].join("/")
}

/// A window: its place, its score, and the shares of its class token's attention.
#[derive(Serialize)]
struct WindowRow<'e> {
    image: &'e str,
    /// From 1.
    window: usize,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    score: f32,
    on_window: f32,
    on_whole: f32,
    on_class: f32,
    on_prompts: f32,
}

fn window_rows<'e>(explained: &'e Explained, views: &Views, layer: AttentionLayer) -> Vec<WindowRow<'e>> {
    let Explained { name, picture, explanation } = explained;
    let size = (picture.width(), picture.height());
    // The whole picture, and fragments, which are from all over it, have no place.
    let is_all_over = views.sees == ViewMode::Global || views.fragments().is_some();
    let origins = if is_all_over { Vec::new() } else { views.origins(size.0, size.1) };
    let row = |window: usize| {
        let attention = layer.select(&explanation.windows[window]);
        let origin = origins.get(window);
        WindowRow {
            image: name,
            window: window + 1,
            x: origin.map_or(0, |origin| origin.x),
            y: origin.map_or(0, |origin| origin.y),
            width: origin.map_or(size.0, |_| views.window),
            height: origin.map_or(size.1, |_| views.window),
            score: explanation.score.windows[window],
            on_window: attention.window.iter().sum(),
            on_whole: attention.whole.iter().sum(),
            on_class: attention.class,
            on_prompts: attention.prompts,
        }
    };
    (0..explanation.windows.len()).map(row).collect()
}

fn print(
    explained: &[Explained],
    views: &Views,
    layer: AttentionLayer,
    format: OutputFormat,
) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    let rows = || explained.iter().map(|explained| (explained, window_rows(explained, views, layer)));
    match format {
        OutputFormat::Table => {
            let mut page = ResultPage::new(TableStyle::default());
            for (explained, rows) in rows() {
                page.table(&window_table(explained, &rows));
            }
            out.write_all(page.finish().as_bytes())?;
        }
        OutputFormat::Json => {
            for row in rows().flat_map(|(_, rows)| rows) {
                write_json(&mut out, &row)?;
            }
        }
        OutputFormat::Csv => {
            let mut table = csv::Writer::from_writer(&mut out);
            for row in rows().flat_map(|(_, rows)| rows) {
                table.serialize(row).map_err(std::io::Error::from)?;
            }
            table.flush()?;
        }
    }
    Ok(out.flush()?)
}

/// Returns the windows of a picture, with what their attention is on in percent.
fn window_table(explained: &Explained, rows: &[WindowRow<'_>]) -> ResultTable {
    let column = |cell: &dyn Fn(&WindowRow<'_>) -> String| rows.iter().map(cell).collect::<Vec<String>>();
    let share = |share: fn(&WindowRow<'_>) -> f32| column(&|row| format!("{:.1}%", 100.0 * share(row)));
    ResultTable::new(
        format!("{}: score {:.4}", explained.name, explained.explanation.score.score),
        vec![
            Column::right("window", column(&|row| row.window.to_string())),
            Column::right("at", column(&|row| format!("{},{}", row.x, row.y))),
            Column::right("size", column(&|row| format!("{}x{}", row.width, row.height))),
            Column::right("score", column(&|row| format!("{:.4}", row.score))),
            Column::right("on window", share(|row| row.on_window))
                .meaning("share of the window's attention that is on its own pixels"),
            Column::right("on whole", share(|row| row.on_whole)).meaning("on the whole picture, resized"),
            Column::right("on itself", share(|row| row.on_class))
                .meaning("on the class token, which the score is read from"),
            Column::right("on prompts", share(|row| row.on_prompts)).meaning("on the learned prompts"),
        ],
    )
}
