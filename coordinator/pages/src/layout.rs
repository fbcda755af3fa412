//! The frame of every page: head, navigation, main part, footer.

use dqa_pipelines::run::RunState;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets::{SCRIPT, STYLE, VIEWER, content_security_policy};
use crate::context::{Context, Mode, RunHeader};
use crate::number::{count_text, show_day};
use crate::route::{Channel, Region, Route};
use crate::run_routes::RunRoutes;

/// A place of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Leaderboard,
    Metrics,
    Scenes,
    Failures,
    Provenance,
    /// The page of the run's name, at the right.
    Progress,
    Runs,
    Studies,
    Workers,
    /// None of them.
    Elsewhere,
}

/// Returns a page as text.
pub(crate) fn page(context: &Context, place: Place, title: &str, body: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    nav aria-label="Pages" { (navigation(context, place)) }
                }
                main #main tabindex="-1" { (body) }
                (footer(context))
                (script(&SCRIPT))
                @if matches!(context.links.route(), Route::Scene { .. }) { (script(&VIEWER)) }
            }
        }
    };
    markup.into_string()
}

/// Returns a script. It is not escaped: it is our own text, and the policy's digest is of exactly these bytes.
fn script(text: &str) -> Markup {
    html! { script { (PreEscaped(text)) } }
}

/// Returns a page without navigation and without anything of the store.
pub(crate) fn bare_page(context: &Context, title: &str, body: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare {
                main #main { (body) }
                footer { p { "dqa " (context.version) } }
                (script(&SCRIPT))
            }
        }
    };
    markup.into_string()
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(content_security_policy());
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="same-origin";
            title { (title) " \u{b7} dqa" }
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE.as_str())) }
        }
    }
}

/// Returns the links of the navigation: the brand, the run's places, the store's places, the run.
fn navigation(context: &Context, place: Place) -> Markup {
    let link = |own: Place, label: &str, route: Option<Route>| {
        let href = route.and_then(|route| context.links.to(&route));
        let class = if matches!(own, Place::Runs | Place::Studies | Place::Workers) { "of-store" } else { "in-run" };
        html! {
            @if let Some(href) = href {
                li.(class) { a href=(href) aria-current=[(own == place).then_some("page")] { (label) } }
            }
        }
    };
    let run = context.run.as_ref();
    let routes = run.map(|run| RunRoutes::new(&run.name));
    let in_run = |make: &dyn Fn(&RunRoutes) -> Option<Route>| routes.as_ref().and_then(make);
    let dataset = current_dataset(context);
    let dataset = dataset.as_deref();
    let failures = match run.map_or(0, |run| run.failed) {
        0 => "Failures".to_owned(),
        failed => format!("Failures ({})", count_text(failed)),
    };
    html! {
        ul {
            li.brand {
                @match context.links.to(&Route::Home) {
                    Some(href) => a href=(href) { "dqa" },
                    None => "dqa",
                }
            }
            (link(Place::Leaderboard, "Leaderboard", in_run(&|routes| Some(Route::Run(routes.run())))))
            (link(Place::Metrics, "Metrics", in_run(&|routes| Some(routes.metrics(dataset?)))))
            (link(Place::Scenes, "Scenes", in_run(&|routes| Some(routes.scenes(dataset?, 1)))))
            (link(Place::Failures, &failures, in_run(&|routes| Some(Route::Failures(routes.run())))))
            (link(Place::Provenance, "Provenance", in_run(&|routes| Some(Route::Provenance(routes.run())))))
            @if run.is_some() { li.gap aria-hidden="true" {} }
            (link(Place::Runs, "Runs", Some(Route::Home)))
            (link(Place::Studies, "Studies", Some(Route::Studies)))
            @if context.is_live() { (link(Place::Workers, "Workers", Some(Route::Workers))) }
            @if let Some(run) = run { li.right { (run_label(context, run, place)) } }
        }
    }
}

/// Returns the data set that the navigation leads to: that of the current page, or else the run's first.
fn current_dataset(context: &Context) -> Option<String> {
    let run = context.run.as_ref()?;
    let current = match context.links.route() {
        Route::Leaderboard { dataset, .. } | Route::Comparison { dataset, .. } => dataset.as_ref(),
        Route::Agreement { dataset, .. }
        | Route::Metrics { dataset, .. }
        | Route::Scenes { dataset, .. }
        | Route::Scene { dataset, .. }
        | Route::Picture { dataset, .. } => Some(dataset),
        _ => None,
    };
    let named = current.and_then(|segment| run.datasets.iter().find(|name| segment.is_of(name)));
    named.or_else(|| run.datasets.first()).cloned()
}

fn run_label(context: &Context, run: &RunHeader, place: Place) -> Markup {
    let text = html! {
        span.name { (run.name) } " " span.state.(state_class(run.state)) { (run.state) } " "
        span.day { (show_day(run.created)) }
    };
    match context.links.to(&Route::Progress(RunRoutes::new(&run.name).run())) {
        Some(href) => {
            html! { a href=(href) aria-current=[(place == Place::Progress).then_some("page")] { (text) } }
        }
        None => text,
    }
}

/// Returns the class that colours a run's state.
pub(crate) fn state_class(state: RunState) -> &'static str {
    match state {
        RunState::Complete => "good",
        RunState::Planning | RunState::Running => "active",
        RunState::Paused | RunState::Interrupted => "held",
        RunState::Cancelled | RunState::Failed => "bad",
    }
}

fn footer(context: &Context) -> Markup {
    html! {
        footer {
            p {
                "dqa " (context.version)
                @if let Some(store) = &context.store { " \u{b7} " span.mono { (store) } }
            }
            @if let Mode::Served { user: Some(user), .. } = &context.mode {
                form method="post" action=(context.links.to_path(&Route::SignOut.path())) {
                    "Signed in as " (user) " " button { "Sign out" }
                }
            }
        }
    }
}

/// Returns a live region: its current HTML, and where the script gets the next from.
pub(crate) fn live_region(context: &Context, region: &Region, is_live: bool, body: &Markup) -> Markup {
    let address = |channel: Channel| {
        let route = Route::Live(region.clone(), channel);
        (is_live && !context.is_exported()).then(|| context.links.to_path(&route.path()))
    };
    html! {
        div data-events=[address(Channel::Events)] data-poll=[address(Channel::Fragment)] { (body) }
    }
}
