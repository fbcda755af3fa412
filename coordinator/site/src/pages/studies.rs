//! Studies and trainings.

use dqa_pages::{Route, Segment, StudiesPage, StudyPage, StudySummary, TrialPage};
use dqa_pipelines::names::StudyName;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::Study;
use dqa_pipelines::tables::epochs::{self, EPOCHS};
use dqa_pipelines::tables::studies::{self, STUDIES, StudyRow};
use dqa_pipelines::tables::study_splits::{self, STUDY_SPLITS};
use dqa_pipelines::tables::{STUDY_FOLDER_PREFIX, parquet_file, study_key};
use dqa_pipelines::train::{TrialRecord, trial_key};

use crate::error::SiteError;
use crate::site::{Site, Viewer};
use crate::table_files::{decode, read};

pub(super) async fn list(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let mut summaries = Vec::new();
    for study in names(&site.store).await? {
        let (texts, rows) = read_study(&site.store, &study).await?;
        let splits = rows.iter().filter_map(|row| row.splits).max().unwrap_or(0);
        let title = texts.map(|texts| texts.title);
        summaries.push(StudySummary { study: study.to_string(), title, lines: rows.len() as u64, splits });
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
    let name = names(&site.store).await?.into_iter().find(|name| study.is_of(name.as_str())).ok_or_else(missing)?;
    let (texts, rows) = read_study(&site.store, &name).await?;
    let texts = texts.unwrap_or_default();
    let page = StudyPage {
        title: Some(texts.title).filter(|title| !title.is_empty()),
        about: Some(texts.about).filter(|about| !about.is_empty()),
        paper: texts.paper,
        rows,
        splits: read(&site.store, &study_key(STUDY_SPLITS, &name), study_splits::from_batch).await?,
        study: name.to_string(),
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
    let epochs = read(&site.store, &trial_key(&name, &format!("{EPOCHS}.parquet")), epochs::from_batch).await?;
    let page = TrialPage { record, epochs };
    let context = site.context(route, viewer, None);
    Ok((page.render(&context), page.render_region(&context)))
}

async fn names(store: &Store) -> Result<Vec<StudyName>, SiteError> {
    let folders = store.list_folders(STUDIES).await?;
    Ok(folders.iter().filter_map(|folder| folder.strip_prefix(STUDY_FOLDER_PREFIX)?.parse().ok()).collect())
}

/// What a study says of itself.
#[derive(Default)]
struct Texts {
    title: String,
    about: String,
    paper: Option<String>,
}

/// Returns what the definition in the footer of a study's table says, and the table's rows. None if this version cannot read the
/// definition.
async fn read_study(store: &Store, study: &StudyName) -> Result<(Option<Texts>, Vec<StudyRow>), SiteError> {
    let key = study_key(STUDIES, study);
    let bytes = store.get(&key).await?;
    let invalid = |source| SiteError::Table { key: key.clone(), source };
    let definition = parquet_file::footer_value(&bytes, "dqa.definition").map_err(invalid)?;
    let study = definition.and_then(|text| Study::parse(&text, study.as_str()).ok());
    let texts = study.map(|study| match study {
        Study::Trainings(study) => Texts { title: study.title, about: study.about, paper: study.paper },
        Study::Metrics(study) => Texts { title: study.title, about: study.about, paper: study.paper },
    });
    Ok((texts, decode(bytes, &key, studies::from_batch)?))
}
