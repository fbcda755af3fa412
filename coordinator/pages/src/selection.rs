//! The choice of a data set and of a metric: rows of links, folded where there are many.

use maud::{Markup, html};

use crate::context::Context;
use crate::route::Route;

/// More choices than this are folded.
const TABS_MAX: usize = 12;

/// Returns the links to the same page of other data sets; nothing if the run has one. `None` is all data sets.
pub(crate) fn dataset_tabs(context: &Context, current: Option<&str>, route: &dyn Fn(Option<&str>) -> Route) -> Markup {
    let Some(run) = &context.run else { return html! {} };
    let all = run.has_overall.then_some((None, "all data sets"));
    let choices = run.datasets.iter().map(|name| (Some(name.as_str()), name.as_str())).chain(all);
    let choices = choices.map(|(dataset, label)| Choice {
        label,
        title: None,
        is_current: dataset == current,
        route: route(dataset),
    });
    tabs(context, "Data set", &choices.collect::<Vec<Choice<'_>>>())
}

/// Returns the links to the same page of other data sets, where a page over all of them does not exist.
pub(crate) fn single_dataset_tabs(context: &Context, current: &str, route: &dyn Fn(&str) -> Route) -> Markup {
    let Some(run) = &context.run else { return html! {} };
    let choices: Vec<Choice<'_>> = run
        .datasets
        .iter()
        .map(|name| Choice { label: name, title: None, is_current: name == current, route: route(name) })
        .collect();
    tabs(context, "Data set", &choices)
}

/// Returns the links to the same page of other metrics; nothing if the run has one.
pub(crate) fn metric_tabs(context: &Context, current: &str, route: &dyn Fn(&str) -> Route) -> Markup {
    let Some(run) = &context.run else { return html! {} };
    let choices: Vec<Choice<'_>> = run
        .metrics
        .iter()
        .map(|metric| Choice {
            label: &metric.name,
            title: metric.title.as_deref(),
            is_current: metric.name == current,
            route: route(&metric.name),
        })
        .collect();
    tabs(context, "Metric", &choices)
}

struct Choice<'a> {
    label: &'a str,
    title: Option<&'a str>,
    is_current: bool,
    route: Route,
}

fn tabs(context: &Context, name: &str, choices: &[Choice<'_>]) -> Markup {
    let tab = |choice: &Choice<'_>| {
        let href = context.links.to(&choice.route);
        html! {
            li {
                a href=[href] aria-current=[choice.is_current.then_some("true")] title=[choice.title] { (choice.label) }
            }
        }
    };
    let list = html! { ul { @for choice in choices { (tab(choice)) } } };
    let current = choices.iter().find(|choice| choice.is_current).map_or("none", |choice| choice.label);
    html! {
        @if choices.len() > TABS_MAX {
            details.tabs { summary { (name) ": " strong { (current) } " (" (choices.len()) ")" } (list) }
        } @else if choices.len() > 1 {
            nav.tabs aria-label=(name) { span.label { (name) } (list) }
        }
    }
}
