//! `dqa-coord explain`: where the model looks in one picture, and what its windows get.

use std::fs;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ArgGroup;
use dqa_engine::decode::{Limits, decode};
use dqa_engine::explain::{Drawing, Look, Shown, drawings};
use dqa_engine::fetch::read_file;
use dqa_model::{Explained, Prepared, ViewMode};
use dqa_service::model_args::ModelArgs;
use dqa_service::program::{ExitStatus, Format, OutputError, note, with_hint};
use serde::Serialize;

use super::progress::Steps;

/// Draws where the model looks in a picture, and prints its windows' scores.
#[derive(clap::Args)]
#[command(arg = super::here_only::coordinator())]
#[command(group = ArgGroup::new("sentences").required(true).args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// The picture.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// Where the drawings go: a name that ends in .png gets the sheet of all; a folder, the sheet and each map in the
    /// picture's size.
    #[arg(long, env = "DQA_OUT", value_name = "PATH")]
    out: PathBuf,

    /// Attention in this layer, 1 the first [default: through all layers, by attention rollout].
    #[arg(long, env = "DQA_LAYER", value_name = "N")]
    layer: Option<usize>,

    /// Draw what this window's class token looks at, with the numbers of the list that is printed [default: the mean of all].
    #[arg(long, env = "DQA_WINDOW", value_name = "N")]
    window: Option<usize>,

    /// How windows are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let (name, views) = (args.image.display(), &args.model.views);
    let limits = Limits::of(args.model.limits.limits(), views.side_min());
    let bytes = read_file(&args.image, limits.bytes_max).with_context(|| format!("cannot score {name}"))?;
    let picture = decode(&bytes, &limits).with_context(|| format!("cannot score {name}"))?;
    let size = (picture.width(), picture.height());
    let prepared = Prepared::new(picture.clone(), views).with_context(|| format!("cannot score {name}"))?;
    let explainer = args.model.explainer()?;
    let look = look(args.layer, explainer.layers())?;
    let window = window(args.window, prepared.windows())?;
    let mut steps = Steps::new(prepared.windows() as u64, "windows");
    let explained = explainer.explain(&prepared, |more| steps.more(more as u64)).context("cannot run the model")?;
    steps.finish();
    let title = args.image.file_name().unwrap_or_default().to_string_lossy();
    write_drawings(&args.out, &drawings(&title, &picture, &explained, &Shown { views: *views, look, window }))?;
    let origins = if views.sees == ViewMode::Global { Vec::new() } else { views.origins(size.0, size.1) };
    let rows = (0..explained.windows.len()).map(|window| {
        let attention = look.of(&explained.windows[window]);
        let origin = origins.get(window);
        Row {
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

fn look(layer: Option<usize>, layers: usize) -> anyhow::Result<Look> {
    match layer {
        None => Ok(Look::Rollout),
        Some(layer) if (1..=layers).contains(&layer) => Ok(Look::Layer(layer - 1)),
        Some(layer) => {
            Err(with_hint(anyhow!("the model has no layer {layer}"), format!("its layers are 1 to {layers}")))
        }
    }
}

fn window(window: Option<usize>, windows: usize) -> anyhow::Result<Option<usize>> {
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
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    for drawing in &drawings[..if only_sheet { 1 } else { drawings.len() }] {
        let path = if only_sheet { out.to_owned() } else { out.join(format!("{}.png", drawing.name)) };
        fs::write(&path, drawing.png()).with_context(|| format!("cannot write {}", path.display()))?;
        note(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// A window: where it is, what it gets, and how its class token divides its attention.
#[derive(Serialize)]
struct Row {
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

fn print(explained: &Explained, rows: impl Iterator<Item = Row>, format: Format) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    match format {
        Format::Table => {
            writeln!(out, "window        at       size   score   attention on window, whole view, itself, prompts")?;
            for row in rows {
                let (at, size) = (format!("{},{}", row.x, row.y), format!("{}x{}", row.width, row.height));
                let [window, whole, class, prompts] =
                    [row.on_window, row.on_whole, row.on_class, row.on_prompts].map(|part| 100.0 * part);
                writeln!(
                    out,
                    "{:>6} {at:>9} {size:>10}  {:.4}   {window:.1}% {whole:.1}% {class:.1}% {prompts:.1}%",
                    row.window, row.score
                )?;
            }
            writeln!(out, "score {:.4}", explained.score.score)?;
        }
        Format::Json => {
            for row in rows {
                writeln!(out, "{}", serde_json::to_string(&row).expect("it has text for keys"))?;
            }
        }
        Format::Csv => {
            let mut table = csv::Writer::from_writer(&mut out);
            for row in rows {
                table.serialize(row).map_err(std::io::Error::from)?;
            }
            table.flush()?;
        }
    }
    Ok(out.flush()?)
}
