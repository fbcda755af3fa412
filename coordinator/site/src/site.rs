//! The site of a store: answers each route with a page or a file. It keeps what was read: runs, parts, small pictures.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dqa_pages::{Context, HomePage, Links, Mode, Route, Segment};
use dqa_pipelines::names::RunName;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::run_progress::ProgressCounter;
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::leaderboard::LEADERBOARD;
use dqa_pipelines::tables::report_key;
use dqa_pipelines::tables::scores::ScoreRow;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::error::SiteError;
use crate::live::LiveSource;
use crate::loaded_run::LoadedRun;
use crate::part_rows::PartRows;
use crate::pictures::{AddressCheck, MapMaker, PictureFiles};
use crate::run_rows::RowPlace;
use crate::speeds::Speeds;
use crate::table_files::ReportTables;

/// Runs that are kept, with their rows if a page needed these.
const RUNS_MAX: usize = 8;

/// A page, a table or a picture.
#[derive(Clone, Debug)]
pub struct Content {
    /// As in the header `content-type`.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Bytes,
}

impl Content {
    pub(crate) fn html(text: String) -> Content {
        Content { media_type: "text/html; charset=utf-8", bytes: text.into() }
    }
}

/// For whom pages are made.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Whether they are served, and to whom, or exported.
    pub mode: Mode,
    /// The paths of an exported site: nothing else is linked to. None if every page exists.
    pub written: Option<Arc<HashSet<String>>>,
    /// Whether pages name the store's address.
    pub shows_store: bool,
}

/// The site of a store.
pub struct Site {
    pub(crate) store: Store,
    pub(crate) files: PictureFiles,
    pub(crate) maps: Arc<MapMaker>,
    pub(crate) live: Option<Arc<dyn LiveSource>>,
    pub(crate) speeds: Speeds,
    /// The runs of the store, and when they were read.
    pub(crate) home: Mutex<Option<(Instant, Arc<HomePage>)>>,
    counter: ProgressCounter,
    runs: Cache<RunName, Arc<LoadedRun>>,
    parts: PartRows,
}

impl Site {
    /// Returns the site of a store. `allows` says which addresses of pictures may be read, and `live` is a coordinator's
    /// knowledge of runs and workers.
    pub fn new(store: Store, allows: AddressCheck, live: Option<Arc<dyn LiveSource>>) -> Site {
        Site {
            store,
            files: PictureFiles::new(allows),
            maps: Arc::default(),
            live,
            speeds: Speeds::default(),
            home: Mutex::default(),
            counter: ProgressCounter::default(),
            runs: Cache::new(RUNS_MAX),
            parts: PartRows::default(),
        }
    }

    /// Returns what a page knows besides its own data.
    pub(crate) fn context(&self, route: &Route, viewer: &Viewer, run: Option<&LoadedRun>) -> Context {
        let links = Links::new(route.clone());
        let links = match &viewer.written {
            Some(written) => links.only_to(written.clone()),
            None => links,
        };
        Context {
            links,
            mode: viewer.mode.clone(),
            run: run.map(LoadedRun::header),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: viewer.shows_store.then(|| self.store.url().to_string()),
        }
    }

    /// Returns the page of an error.
    pub fn error_page(&self, route: &Route, viewer: &Viewer, error: &SiteError) -> Content {
        Content::html(error.page().render(&self.context(route, viewer, None)))
    }

    /// Returns the page that says that there is nothing at a path.
    pub fn unknown_path_page(&self, path: &str, viewer: &Viewer) -> Content {
        let error = SiteError::NotFound(format!("There is no page {path}."));
        let context = self.context(&Route::Home, viewer, None);
        Content::html(error.page().render(&Context { links: Links::at_unknown_path(path), ..context }))
    }

    /// Returns a run as it is now.
    pub(crate) async fn run(&self, segment: &Segment) -> Result<Arc<LoadedRun>, SiteError> {
        let name = self.run_name(segment).await?;
        let versions =
            [self.version(&RunRecord::key(&name)).await?, self.version(&report_key(LEADERBOARD, &name)).await?];
        let known = self.runs.get(&name);
        if let Some(run) = known.as_ref().filter(|run| run.versions == versions && !run.is_stale()) {
            return Ok(run.clone());
        }
        let record = RunRecord::find(&self.store, &name).await?;
        let record = record.ok_or_else(|| SiteError::NotFound(format!("The store has no run {name}.")))?;
        let mut statuses = self.statuses(vec![record]).await?;
        let status = statuses.pop().expect("it is one for each record");
        let loaded = LoadedRun::new(status, ReportTables::read(&self.store, &name).await?, versions);
        let loaded = Arc::new(match known {
            Some(earlier) => loaded.with_rows_of(&earlier),
            None => loaded,
        });
        self.runs.insert(name, loaded.clone());
        Ok(loaded)
    }

    /// Returns the current status of each run.
    pub(crate) async fn statuses(&self, records: Vec<RunRecord>) -> Result<Vec<RunStatus>, StoreError> {
        RunStatus::read_each(&self.store, records, &self.counter).await
    }

    async fn run_name(&self, segment: &Segment) -> Result<RunName, SiteError> {
        let missing = || SiteError::NotFound(format!("The store has no run {segment}."));
        let name = match segment.name() {
            Some(name) => Some(name),
            None => self.store.list_folders("runs").await?.into_iter().find(|name| segment.is_of(name)),
        };
        name.ok_or_else(missing)?.parse().map_err(|_| missing())
    }

    /// Returns the version of a file. None if it does not exist.
    async fn version(&self, key: &str) -> Result<Option<String>, StoreError> {
        match self.store.head(key).await {
            Ok(object) => Ok(Some(object.version)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a whole row.
    pub(crate) async fn row(&self, record: &RunRecord, place: RowPlace) -> Result<ScoreRow, SiteError> {
        let rows = self.rows(record, &[place]).await?;
        Ok(rows.into_iter().next().expect("there is a row for each place"))
    }

    /// Returns the whole row of each place, in their order. Each part is read once.
    pub(crate) async fn rows(&self, record: &RunRecord, places: &[RowPlace]) -> Result<Vec<ScoreRow>, SiteError> {
        let mut by_part: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for place in places {
            by_part.entry(place.part).or_default().push(place.row as usize);
        }
        let mut found = HashMap::new();
        for (part, mut numbers) in by_part {
            numbers.sort_unstable();
            numbers.dedup();
            let rows = self.parts.rows(&self.store, &record.parts[part as usize], &numbers).await?;
            found.extend(numbers.into_iter().map(move |row| RowPlace { part, row: row as u32 }).zip(rows));
        }
        let gone = || SiteError::NotFound("The row is gone: its part was made again. Load the page again.".to_owned());
        places.iter().map(|place| found.get(place).cloned().ok_or_else(gone)).collect()
    }
}
