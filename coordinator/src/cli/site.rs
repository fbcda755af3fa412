//! `dqa-coord site`: writes the pages of a run as a folder that opens from a disk or any web server.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use dqa_pages::ExportedPictures;
use dqa_pipelines::count_text::counted;
use dqa_service::program::{ExitStatus, note, with_hint};
use dqa_site::{Export, ExportError, ExportOptions, ExportSummary, Site};

use super::args::StoreArgs;
use super::local_only;
use super::progress::StepProgress;
use super::run_selector::RunSelector;

/// More bytes are written only if the user asks for them by --scenes.
const BYTES_MAX: u64 = 10 << 30;

/// Writes the pages of a run as a folder, which opens from a disk, GitHub Pages or any web server.
#[derive(clap::Args)]
#[command(arg = local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    /// Folder to write: a new one, or that of an earlier export.
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    run: RunSelector,

    #[command(flatten)]
    store: StoreArgs,

    /// Pictures beside the pages.
    #[arg(long, env = "DQA_SITE_PICTURES", value_enum, default_value_t = PicturesArg::Thumbnails, value_name = "WHICH")]
    pictures: PicturesArg,

    /// Give pages to N scenes alone, spread evenly over the data set. Leaderboards and statistics are of all.
    #[arg(long, env = "DQA_SITE_SCENES", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    scenes: Option<u64>,

    /// Show how large it would be, and stop.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PicturesArg {
    /// No pictures.
    None,
    /// Small JPEGs, whose longest side is 480 pixels.
    Thumbnails,
    /// The pictures themselves too.
    Full,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    let record = args.run.find_record(&store).await?;
    let site = Arc::new(Site::new(store, Arc::new(|_: &str| true), None));
    let options = ExportOptions {
        pictures: match args.pictures {
            PicturesArg::None => ExportedPictures::None,
            PicturesArg::Thumbnails => ExportedPictures::Thumbnails,
            PicturesArg::Full => ExportedPictures::Full,
        },
        scenes_max: args.scenes.map(|scenes| usize::try_from(scenes).unwrap_or(usize::MAX)),
    };
    let export = Export::plan(site, record.name.as_str(), &options).await?;
    note(format_args!("run {}: about {}", record.name, text(&export.summary)));
    if args.dry_run {
        return Ok(ExitStatus::All);
    }
    if args.scenes.is_none() && export.summary.bytes > BYTES_MAX {
        let error = anyhow::anyhow!("the site of run {} would be too large to publish", record.name);
        return Err(with_hint(
            error,
            "--scenes 200 gives pages to a sample of the scenes; --pictures none leaves out pictures",
        ));
    }
    let mut progress = StepProgress::new(export.files() as u64, "files");
    let written = export.write(&args.out, || progress.add(1)).await;
    progress.finish();
    let summary = written.map_err(|error| match &error {
        ExportError::NotEmpty { .. } => with_hint(error.into(), "name a new folder, or that of an earlier export"),
        _ => error.into(),
    })?;
    note(format_args!("wrote {}", text(&summary)));
    note(format_args!("open {}", args.out.join("index.html").display()));
    Ok(ExitStatus::All)
}

fn text(summary: &ExportSummary) -> String {
    let ExportSummary { pages, pictures, bytes, scenes: (all, kept) } = summary;
    let scenes = if kept == all { counted(all, "scene") } else { format!("{kept} of {}", counted(all, "scene")) };
    let (pages, pictures) = (counted(pages, "page"), counted(pictures, "picture"));
    format!("{} in {pages} and {pictures}, of {scenes}", indicatif::HumanBytes(*bytes))
}
