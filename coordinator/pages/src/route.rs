//! The addresses of pages and files: which path each has below the site's root, the same when it is served and when it is
//! exported. Reading a path gives the route back.

use crate::segment::Segment;

/// The address of a page or a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The runs of the store: `index.html`.
    Home,
    /// The leaderboard of a run's first data set and metric: `runs/<run>/index.html`.
    Run(Segment),
    /// `runs/<run>/leaderboard/<dataset or ~all>/<metric>.html`, and its tables beside it.
    Leaderboard {
        /// The run.
        run: Segment,
        /// The data set. None for all of the run.
        dataset: Option<Segment>,
        /// The metric.
        metric: Segment,
        /// The page, or its table.
        format: Format,
    },
    /// Two algorithms, the better one first: `runs/<run>/compare/<dataset>/<metric>/<a>/<b>.html`.
    Comparison {
        /// The run.
        run: Segment,
        /// The data set. None for all of the run.
        dataset: Option<Segment>,
        /// The metric.
        metric: Segment,
        /// The algorithm with the better score.
        better: Segment,
        /// The other algorithm.
        other: Segment,
    },
    /// A metric against labels: `runs/<run>/metrics/<dataset>/<metric>.html`.
    Agreement {
        /// The run.
        run: Segment,
        /// The data set.
        dataset: Segment,
        /// The metric.
        metric: Segment,
    },
    /// The metrics beside each other: `runs/<run>/metrics/<dataset>/index.html`.
    Metrics {
        /// The run.
        run: Segment,
        /// The data set.
        dataset: Segment,
    },
    /// A list of scenes: `runs/<run>/scenes/<dataset>/index.html`, then `index-2.html`.
    Scenes {
        /// The run.
        run: Segment,
        /// The data set.
        dataset: Segment,
        /// The number of the page, from 1.
        page: u32,
    },
    /// A scene: `runs/<run>/scenes/<dataset>/<group or ~none>/<scene>.html`.
    Scene {
        /// The run.
        run: Segment,
        /// The data set.
        dataset: Segment,
        /// The scene's group.
        group: Option<Segment>,
        /// The scene.
        scene: Segment,
    },
    /// What belongs to one picture.
    Picture {
        /// The run.
        run: Segment,
        /// The data set.
        dataset: Segment,
        /// The picture's name in its data set.
        image: Segment,
        /// The page, or a file.
        part: PicturePart,
    },
    /// `runs/<run>/failures.html`.
    Failures(Segment),
    /// A run's progress: `runs/<run>/run.html`.
    Progress(Segment),
    /// `runs/<run>/provenance.html`.
    Provenance(Segment),
    /// `studies/index.html`.
    Studies,
    /// `studies/<study>.html`.
    Study(Segment),
    /// `trials/<trial>.html`.
    Trial(Segment),
    /// `workers.html`.
    Workers,
    /// `sign-in.html`, to which its form is posted too.
    SignIn,
    /// Takes a sign-out by POST: `sign-out`.
    SignOut,
    /// Takes a request about a run by POST: `runs/<run>/actions/<action>`.
    RunAction(Segment, RunAction),
    /// Takes a request to drain a worker by POST: `workers/<worker>/drain`.
    DrainWorker(Segment),
    /// The HTML of a live region, once or as server-sent events.
    Live(Region, Channel),
}

/// The form of a leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The page.
    Html,
    /// The rows as CSV.
    Csv,
    /// The rows as JSON.
    Json,
}

/// What there is of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PicturePart {
    /// `runs/<run>/pictures/<dataset>/<image>.html`.
    Page,
    /// A JPEG whose longest side is 480: `runs/<run>/thumbnails/<dataset>/<image>.jpg`.
    Thumbnail,
    /// The file itself: `runs/<run>/files/<dataset>/<image>`.
    File,
    /// The scores of its windows: `runs/<run>/maps/<dataset>/<image>-windows.png`.
    WindowMap,
    /// Where the model looks: `runs/<run>/maps/<dataset>/<image>-attention.png`.
    AttentionMap,
}

/// What a user can ask of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunAction {
    /// No shard is scheduled until the run is resumed.
    Pause,
    /// A paused, failed or cancelled run continues.
    Resume,
    /// Failed pictures are scored again.
    Retry,
    /// The run ends; what was scored is kept.
    Cancel,
}

impl RunAction {
    /// All of them, in the order of their display.
    pub const ALL: [RunAction; 4] = [RunAction::Pause, RunAction::Resume, RunAction::Retry, RunAction::Cancel];

    /// Returns the name in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            RunAction::Pause => "pause",
            RunAction::Resume => "resume",
            RunAction::Retry => "retry",
            RunAction::Cancel => "cancel",
        }
    }
}

/// A part of a page that changes while it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// The runs of the store, on the home page.
    Runs,
    /// The workers.
    Workers,
    /// A run's progress.
    Run(Segment),
    /// A trial's epochs.
    Trial(Segment),
}

/// How a live region arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Server-sent events: `<region>.events`. The data of each is the region's HTML. One named `end` is the last: the page then
    /// closes the stream.
    Events,
    /// The region's HTML, once: `<region>.fragment`.
    Fragment,
}

impl Channel {
    fn suffix(self) -> &'static str {
        match self {
            Channel::Events => ".events",
            Channel::Fragment => ".fragment",
        }
    }
}

const ALL_DATASETS: &str = "~all";
const NO_GROUP: &str = "~none";

impl Route {
    /// Returns the path below the site's root, without a leading slash.
    pub fn path(&self) -> String {
        let all = |dataset: &Option<Segment>| dataset.as_ref().map_or(ALL_DATASETS.to_owned(), Segment::to_string);
        match self {
            Route::Home => "index.html".to_owned(),
            Route::Run(run) => format!("runs/{run}/index.html"),
            Route::Leaderboard { run, dataset, metric, format } => {
                let extension = match format {
                    Format::Html => "html",
                    Format::Csv => "csv",
                    Format::Json => "json",
                };
                format!("runs/{run}/leaderboard/{}/{metric}.{extension}", all(dataset))
            }
            Route::Comparison { run, dataset, metric, better, other } => {
                format!("runs/{run}/compare/{}/{metric}/{better}/{other}.html", all(dataset))
            }
            Route::Agreement { run, dataset, metric } => format!("runs/{run}/metrics/{dataset}/{metric}.html"),
            Route::Metrics { run, dataset } => format!("runs/{run}/metrics/{dataset}/index.html"),
            Route::Scenes { run, dataset, page: 0 | 1 } => format!("runs/{run}/scenes/{dataset}/index.html"),
            Route::Scenes { run, dataset, page } => format!("runs/{run}/scenes/{dataset}/index-{page}.html"),
            Route::Scene { run, dataset, group, scene } => {
                let group = group.as_ref().map_or(NO_GROUP, Segment::as_str);
                format!("runs/{run}/scenes/{dataset}/{group}/{scene}.html")
            }
            Route::Picture { run, dataset, image, part } => {
                let (folder, suffix) = part.folder_and_suffix();
                format!("runs/{run}/{folder}/{dataset}/{image}{suffix}")
            }
            Route::Failures(run) => format!("runs/{run}/failures.html"),
            Route::Progress(run) => format!("runs/{run}/run.html"),
            Route::Provenance(run) => format!("runs/{run}/provenance.html"),
            Route::Studies => "studies/index.html".to_owned(),
            Route::Study(study) => format!("studies/{study}.html"),
            Route::Trial(trial) => format!("trials/{trial}.html"),
            Route::Workers => "workers.html".to_owned(),
            Route::SignIn => "sign-in.html".to_owned(),
            Route::SignOut => "sign-out".to_owned(),
            Route::RunAction(run, action) => format!("runs/{run}/actions/{}", action.as_str()),
            Route::DrainWorker(worker) => format!("workers/{worker}/drain"),
            Route::Live(region, channel) => {
                let region = match region {
                    Region::Runs => "index".to_owned(),
                    Region::Workers => "workers".to_owned(),
                    Region::Run(run) => format!("runs/{run}/run"),
                    Region::Trial(trial) => format!("trials/{trial}"),
                };
                region + channel.suffix()
            }
        }
    }

    /// Reads a path below the site's root, with or without a leading slash. A path that ends in a slash, and the empty one,
    /// are those of a folder's `index.html`. None if no route has the path.
    pub fn parse(path: &str) -> Option<Route> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() || path.ends_with('/') {
            return Route::parse(&format!("{path}index.html"));
        }
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            ["index.html"] => Some(Route::Home),
            ["workers.html"] => Some(Route::Workers),
            ["sign-in.html"] => Some(Route::SignIn),
            ["sign-out"] => Some(Route::SignOut),
            ["studies", "index.html"] => Some(Route::Studies),
            ["studies", file] => Some(Route::Study(stem(file, ".html")?)),
            ["trials", file] => trial(file),
            ["workers", worker, "drain"] => Some(Route::DrainWorker(Segment::parse(worker)?)),
            ["runs", run, ref rest @ ..] => in_run(Segment::parse(run)?, rest),
            ["index.events"] => Some(Route::Live(Region::Runs, Channel::Events)),
            ["index.fragment"] => Some(Route::Live(Region::Runs, Channel::Fragment)),
            ["workers.events"] => Some(Route::Live(Region::Workers, Channel::Events)),
            ["workers.fragment"] => Some(Route::Live(Region::Workers, Channel::Fragment)),
            _ => None,
        }
    }

    /// Returns the run that the route belongs to.
    pub fn run(&self) -> Option<&Segment> {
        match self {
            Route::Run(run)
            | Route::Leaderboard { run, .. }
            | Route::Comparison { run, .. }
            | Route::Agreement { run, .. }
            | Route::Metrics { run, .. }
            | Route::Scenes { run, .. }
            | Route::Scene { run, .. }
            | Route::Picture { run, .. }
            | Route::Failures(run)
            | Route::Progress(run)
            | Route::Provenance(run)
            | Route::RunAction(run, _)
            | Route::Live(Region::Run(run), _) => Some(run),
            _ => None,
        }
    }
}

impl PicturePart {
    fn folder_and_suffix(self) -> (&'static str, &'static str) {
        match self {
            PicturePart::Page => ("pictures", ".html"),
            PicturePart::Thumbnail => ("thumbnails", ".jpg"),
            PicturePart::File => ("files", ""),
            PicturePart::WindowMap => ("maps", "-windows.png"),
            PicturePart::AttentionMap => ("maps", "-attention.png"),
        }
    }
}

fn stem(file: &str, suffix: &str) -> Option<Segment> {
    Segment::parse(file.strip_suffix(suffix)?)
}

fn trial(file: &str) -> Option<Route> {
    if let Some(trial) = stem(file, ".html") {
        return Some(Route::Trial(trial));
    }
    let live = |channel: Channel| Some(Route::Live(Region::Trial(stem(file, channel.suffix())?), channel));
    live(Channel::Events).or_else(|| live(Channel::Fragment))
}

/// Returns the route of a path below a run's folder.
fn in_run(run: Segment, rest: &[&str]) -> Option<Route> {
    match *rest {
        ["index.html"] => Some(Route::Run(run)),
        ["failures.html"] => Some(Route::Failures(run)),
        ["run.html"] => Some(Route::Progress(run)),
        ["provenance.html"] => Some(Route::Provenance(run)),
        ["run.events"] => Some(Route::Live(Region::Run(run), Channel::Events)),
        ["run.fragment"] => Some(Route::Live(Region::Run(run), Channel::Fragment)),
        ["actions", action] => {
            let action = RunAction::ALL.into_iter().find(|known| known.as_str() == action)?;
            Some(Route::RunAction(run, action))
        }
        ["leaderboard", dataset, file] => {
            let dataset = or_all(dataset)?;
            let forms = [(Format::Html, ".html"), (Format::Csv, ".csv"), (Format::Json, ".json")];
            let (format, metric) =
                forms.into_iter().find_map(|(format, suffix)| Some((format, stem(file, suffix)?)))?;
            Some(Route::Leaderboard { run, dataset, metric, format })
        }
        ["compare", dataset, metric, better, file] => {
            let (metric, better) = (Segment::parse(metric)?, Segment::parse(better)?);
            Some(Route::Comparison { run, dataset: or_all(dataset)?, metric, better, other: stem(file, ".html")? })
        }
        ["metrics", dataset, "index.html"] => Some(Route::Metrics { run, dataset: Segment::parse(dataset)? }),
        ["metrics", dataset, file] => {
            Some(Route::Agreement { run, dataset: Segment::parse(dataset)?, metric: stem(file, ".html")? })
        }
        ["scenes", dataset, file] => {
            Some(Route::Scenes { run, dataset: Segment::parse(dataset)?, page: page_number(file)? })
        }
        ["scenes", dataset, group, file] => {
            let group = if group == NO_GROUP { None } else { Some(Segment::parse(group)?) };
            Some(Route::Scene { run, dataset: Segment::parse(dataset)?, group, scene: stem(file, ".html")? })
        }
        [folder, dataset, file] => {
            use PicturePart::{AttentionMap, File, Page, Thumbnail, WindowMap};
            let of_file = |part: &PicturePart| {
                let (own, suffix) = part.folder_and_suffix();
                if own == folder { stem(file, suffix) } else { None }
            };
            let parts = [Page, Thumbnail, File, WindowMap, AttentionMap];
            let (part, image) = parts.into_iter().find_map(|part| Some((part, of_file(&part)?)))?;
            Some(Route::Picture { run, dataset: Segment::parse(dataset)?, image, part })
        }
        _ => None,
    }
}

fn or_all(dataset: &str) -> Option<Option<Segment>> {
    if dataset == ALL_DATASETS { Some(None) } else { Segment::parse(dataset).map(Some) }
}

/// Returns the number of a page of scenes: 1 for `index.html`, 2 for `index-2.html`.
fn page_number(file: &str) -> Option<u32> {
    if file == "index.html" {
        return Some(1);
    }
    let digits = file.strip_prefix("index-")?.strip_suffix(".html")?;
    let page: u32 = digits.parse().ok().filter(|page| *page >= 2)?;
    (page.to_string() == digits).then_some(page)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(names: [&str; 4]) -> Vec<Route> {
        let [run, dataset, first, second] = names.map(Segment::from_name);
        let picture = |part: PicturePart| Route::Picture {
            run: run.clone(),
            dataset: dataset.clone(),
            image: first.clone(),
            part,
        };
        let leaderboard = |dataset: Option<Segment>, format: Format| Route::Leaderboard {
            run: run.clone(),
            dataset,
            metric: first.clone(),
            format,
        };
        let scene = |group: Option<Segment>| Route::Scene {
            run: run.clone(),
            dataset: dataset.clone(),
            group,
            scene: second.clone(),
        };
        let regions = [Region::Runs, Region::Workers, Region::Run(run.clone()), Region::Trial(first.clone())];
        let live = regions.into_iter().flat_map(|region| {
            [Channel::Events, Channel::Fragment].map(|channel| Route::Live(region.clone(), channel))
        });
        let parts = [
            PicturePart::Page,
            PicturePart::Thumbnail,
            PicturePart::File,
            PicturePart::WindowMap,
            PicturePart::AttentionMap,
        ];
        let (better, other) = (first.clone(), second.clone());
        let comparison = Route::Comparison { run: run.clone(), dataset: None, metric: dataset.clone(), better, other };
        let fixed = [
            Route::Home,
            Route::Run(run.clone()),
            leaderboard(None, Format::Html),
            leaderboard(Some(dataset.clone()), Format::Csv),
            leaderboard(Some(second.clone()), Format::Json),
            comparison,
            Route::Agreement { run: run.clone(), dataset: dataset.clone(), metric: first.clone() },
            Route::Metrics { run: run.clone(), dataset: dataset.clone() },
            Route::Scenes { run: run.clone(), dataset: dataset.clone(), page: 1 },
            Route::Scenes { run: run.clone(), dataset: dataset.clone(), page: 7 },
            scene(None),
            scene(Some(first.clone())),
            Route::Failures(run.clone()),
            Route::Progress(run.clone()),
            Route::Provenance(run.clone()),
            Route::Studies,
            Route::Study(first.clone()),
            Route::Trial(first.clone()),
            Route::Workers,
            Route::SignIn,
            Route::SignOut,
            Route::DrainWorker(first.clone()),
        ];
        let actions = RunAction::ALL.map(|action| Route::RunAction(run.clone(), action));
        fixed.into_iter().chain(actions).chain(parts.map(picture)).chain(live).collect()
    }

    proptest! {
        #[test]
        fn a_path_is_read_back_and_no_two_routes_share_one(
            names in prop::array::uniform4("(index|con|\\.|~)?[-a-z.~/<é]{1,40}(\\.html|\\.events|-windows\\.png)?"),
        ) {
            let routes = routes([&names[0], &names[1], &names[2], &names[3]]);
            let mut paths = std::collections::HashSet::new();
            for route in &routes {
                let path = route.path();
                prop_assert_eq!(Route::parse(&path), Some(route.clone()), "{}", &path);
                let is_file_name = |part: &str| !part.is_empty() && part.len() <= 140 && !part.starts_with('.');
                prop_assert!(path.split('/').all(is_file_name));
                prop_assert!(paths.insert(path));
            }
        }
    }
}
