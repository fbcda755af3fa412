//! The pages of dqa: typed data in, HTML text out. This crate reads no store, no file and no clock, and does not know who
//! serves or writes the pages.
//!
//! A page is a struct with a method `render`, which takes a [`Context`]: where the page is ([`Route`], [`Links`]), for whom it
//! is made ([`Mode`]) and its run. Numbers come from the rows of the tables of `dqa-pipelines`; an element that shows one has
//! the exact value in `data-value`.
//!
//! [`content_security_policy`] is in each page; a server sends it as a header too.

mod advice;
mod anchor;
mod assets;
mod chart;
mod context;
mod hex_bins;
mod layout;
mod links;
mod measures;
mod number;
mod pages;
mod picture;
mod route;
mod run_routes;
mod scatter;
mod segment;
mod selection;
mod table;
mod thumbnail;

pub use assets::content_security_policy;
pub use context::{Context, ExportedPictures, MetricRef, Mode, RunHeader};
pub use hex_bins::HexBins;
pub use links::Links;
pub use pages::LabelGap;
pub use pages::agreement::AgreementPage;
pub use pages::comparison::{ComparisonPage, SceneDifference};
pub use pages::error::{ErrorKind, ErrorPage};
pub use pages::failures::{FailureGroup, FailureRow, FailuresPage};
pub use pages::home::{HomePage, RunSummary};
pub use pages::leaderboard::{LeaderboardPage, Pairs};
pub use pages::metrics::MetricsPage;
pub use pages::picture::{Map, MetricScore, PicturePage};
pub use pages::provenance::ProvenancePage;
pub use pages::run::{RunPage, Speed};
pub use pages::scene::ScenePage;
pub use pages::scenes::{SCENES_PER_PAGE, SceneEntry, ScenesPage};
pub use pages::sign_in::SignInPage;
pub use pages::studies::{StudiesPage, StudySummary};
pub use pages::study::StudyPage;
pub use pages::trial::TrialPage;
pub use pages::workers::{RunningShard, Worker, WorkerFailure, WorkersPage};
pub use picture::{Picture, PictureScore, SceneRef, ScorePoint};
pub use route::{Channel, Format, PicturePart, Region, Route, RunAction};
pub use run_routes::RunRoutes;
pub use scatter::{Marks, POINTS_MAX, Scatter};
pub use segment::Segment;
