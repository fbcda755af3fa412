//! `dqa-coord explain`: draws where the model looks in one picture, and prints the scores of its windows.

use std::fs;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ArgGroup;
use dqa_engine::decode::{Limits, decode};
use dqa_engine::explain::{AttentionLayer, Drawing, MapOptions, drawings};
use dqa_engine::fetch::read_file;
use dqa_model::{Explanation, Prepared, ViewMode};
use dqa_service::model_args::ModelArgs;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, note, with_hint};
use serde::Serialize;

use super::output::write_json;
use super::progress::StepProgress;

/// Draws where the model looks in a picture, and prints the scores of its windows.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
#[command(group = ArgGroup::new("sentences").required(true).args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// Picture.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// Where to write the drawings: a path that ends in .png gets one sheet with all of them, a folder gets the sheet
    /// and each map in the picture's size.
    #[arg(long, env = "DQA_OUT", value_name = "PATH")]
    out: PathBuf,

    /// Layer whose attention is drawn, from 1 [default: all layers, by attention rollout].
    #[arg(long, env = "DQA_LAYER", value_name = "N")]
    layer: Option<usize>,

    /// Window whose class token's attention is drawn, by its number in the printed list [default: the mean of all
    /// windows].
    #[arg(long, env = "DQA_WINDOW", value_name = "N")]
    window: Option<usize>,

    /// Format of the windows.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// Explains the picture: writes the drawings, and prints the windows.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let (name, views) = (args.image.display(), &args.model.views);
    let limits = Limits::new(args.model.limits.limits(), views.side_min());
    let bytes = read_file(&args.image, limits.bytes_max).with_context(|| format!("cannot score {name}"))?;
    let picture = decode(&bytes, &limits).with_context(|| format!("cannot score {name}"))?;
    let size = (picture.width(), picture.height());
    let prepared = Prepared::new(picture.clone(), views).with_context(|| format!("cannot score {name}"))?;
    let explainer = args.model.explainer()?;
    let layer = check_layer(args.layer, explainer.layers())?;
    let window = check_window(args.window, prepared.windows())?;
    let mut progress = StepProgress::new(prepared.windows() as u64, "windows");
    let explained = explainer.explain(&prepared, |done| progress.add(done as u64)).context("cannot run the model")?;
    progress.finish();
    let title = args.image.file_name().unwrap_or_default().to_string_lossy();
    write_drawings(&args.out, &drawings(&title, &picture, &explained, &MapOptions { views: *views, layer, window }))?;
    let origins = if views.sees == ViewMode::Global { Vec::new() } else { views.origins(size.0, size.1) };
    let rows = (0..explained.windows.len()).map(|window| {
        let attention = layer.select(&explained.windows[window]);
        let origin = origins.get(window);
        WindowRow {
            window,
            x: origin.map_or(0, |origin| origin.x),
            y: origin.map_or(0, |origin| origin.y),
            width: origin.map_or(size.0, |_| views.window),
            height: origin.map_or(size.1, |_| views.window),
            score: explained.score.windows[window],
            on_window: attention.window.iter().sum(),
            on_whole: attention.whole.iter().sum(),
            on_class: attention.class,
            on_prompts: attention.prompts,
        }
    });
    print(&explained, rows, args.format)?;
    Ok(ExitStatus::All)
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

fn check_window(window: Option<usize>, windows: usize) -> anyhow::Result<Option<usize>> {
    match window.filter(|window| *window >= windows) {
        None => Ok(window),
        Some(window) => {
            let error = anyhow!("the picture has no window {window}");
            Err(with_hint(error, format!("its windows are 0 to {}", windows - 1)))
        }
    }
}

fn write_drawings(out: &Path, drawings: &[Drawing]) -> anyhow::Result<()> {
    let only_sheet = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    let folder = if only_sheet { out.parent() } else { Some(out) };
    if let Some(folder) = folder {
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    for drawing in &drawings[..if only_sheet { 1 } else { drawings.len() }] {
        let path = if only_sheet { out.to_owned() } else { out.join(format!("{}.png", drawing.name)) };
        fs::write(&path, drawing.png()).with_context(|| format!("cannot write {}", path.display()))?;
        note(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// A window: its place, its score, and the shares of its class token's attention.
#[derive(Serialize)]
struct WindowRow {
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

fn print(
    explained: &Explanation,
    rows: impl Iterator<Item = WindowRow>,
    format: OutputFormat,
) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    match format {
        OutputFormat::Table => {
            writeln!(out, "window        at       size   score   attention on window, whole view, itself, prompts")?;
            for row in rows {
                let (origin, size) = (format!("{},{}", row.x, row.y), format!("{}x{}", row.width, row.height));
                let [window, whole, class, prompts] =
                    [row.on_window, row.on_whole, row.on_class, row.on_prompts].map(|share| 100.0 * share);
                writeln!(
                    out,
                    "{:>6} {origin:>9} {size:>10}  {:.4}   {window:.1}% {whole:.1}% {class:.1}% {prompts:.1}%",
                    row.window, row.score
                )?;
            }
            writeln!(out, "score {:.4}", explained.score.score)?;
        }
        OutputFormat::Json => {
            for row in rows {
                write_json(&mut out, &row)?;
            }
        }
        OutputFormat::Csv => {
            let mut table = csv::Writer::from_writer(&mut out);
            for row in rows {
                table.serialize(row).map_err(std::io::Error::from)?;
            }
            table.flush()?;
        }
    }
    Ok(out.flush()?)
}
