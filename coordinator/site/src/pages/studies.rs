//! Studies and trainings.

use dqa_pages::{Route, Segment, StudiesPage, StudyPage, StudySummary, TrialPage};
use dqa_pipelines::store::Store;
use dqa_pipelines::study::Study;
use dqa_pipelines::tables::epochs::{self, EPOCHS};
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::studies::{self, STUDIES};
use dqa_pipelines::tables::study_splits::{self, STUDY_SPLITS};
use dqa_pipelines::train::TrialRecord;

use crate::error::SiteError;
use crate::site::{Site, Viewer};
use crate::table_files::read;

const FOLDER_PREFIX: &str = "by_study=";

pub(super) async fn list(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let mut summaries = Vec::new();
    for study in names(&site.store).await? {
        let rows = read(&site.store, &key(STUDIES, &study), studies::from_batch).await?;
        let title = definition(&site.store, &study).await?.map(|texts| texts.title);
        let splits = rows.iter().filter_map(|row| row.splits).max().unwrap_or(0);
        summaries.push(StudySummary { study, title, lines: rows.len() as u64, splits });
    }
    let page = StudiesPage { studies: summaries, trials: TrialRecord::all(&site.store).await? };
    Ok(page.render(&site.context(route, viewer, None)))
}

pub(super) async fn study(
    site: &Site,
    study: &Segment,
    (route, viewer): (&Route, &Viewer),
) -> Result<String, SiteError> {
    let missing = || SiteError::NotFound(format!("The store has no study {study}."));
    let name = names(&site.store).await?.into_iter().find(|name| study.is_of(name)).ok_or_else(missing)?;
    let texts = definition(&site.store, &name).await?.unwrap_or_default();
    let page = StudyPage {
        title: Some(texts.title).filter(|title| !title.is_empty()),
        about: Some(texts.about).filter(|about| !about.is_empty()),
        paper: texts.paper,
        rows: read(&site.store, &key(STUDIES, &name), studies::from_batch).await?,
        splits: read(&site.store, &key(STUDY_SPLITS, &name), study_splits::from_batch).await?,
        study: name,
    };
    Ok(page.render(&site.context(route, viewer, None)))
}

/// Returns the page of a training and its live region.
pub(super) async fn trial(
    site: &Site,
    trial: &Segment,
    (route, viewer): (&Route, &Viewer),
) -> Result<(String, String), SiteError> {
    let missing = || SiteError::NotFound(format!("The store has no training {trial}."));
    let name = trial.name().ok_or_else(missing)?;
    let record = TrialRecord::find(&site.store, &name).await?.ok_or_else(missing)?;
    let epochs = read(&site.store, &format!("trials/{name}/{EPOCHS}.parquet"), epochs::from_batch).await?;
    let page = TrialPage { record, epochs };
    let context = site.context(route, viewer, None);
    Ok((page.render(&context), page.render_region(&context)))
}

async fn names(store: &Store) -> Result<Vec<String>, SiteError> {
    let folders = store.list_folders(STUDIES).await?;
    Ok(folders.iter().filter_map(|folder| folder.strip_prefix(FOLDER_PREFIX)).map(str::to_owned).collect())
}

fn key(table: &str, study: &str) -> String {
    format!("{table}/{FOLDER_PREFIX}{study}/{table}.parquet")
}

/// What a study says of itself.
#[derive(Default)]
struct Texts {
    title: String,
    about: String,
    paper: Option<String>,
}

/// Returns what the definition in the footer of a study's table says. None if this version cannot read it.
async fn definition(store: &Store, study: &str) -> Result<Option<Texts>, SiteError> {
    let key = key(STUDIES, study);
    let bytes = store.get(&key).await?;
    let text = parquet_file::footer_value(&bytes, "dqa.definition");
    let text = text.map_err(|source| SiteError::Table { key, source })?;
    Ok(text.and_then(|text| Study::parse(&text, study).ok()).map(|study| match study {
        Study::Trainings(study) => Texts { title: study.title, about: study.about, paper: study.paper },
        Study::Metrics(study) => Texts { title: study.title, about: study.about, paper: study.paper },
    }))
}
