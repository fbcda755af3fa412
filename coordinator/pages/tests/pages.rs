//! What holds for every page: nothing of a data set is read as markup, links lead to pages of the scheme, numbers are those of
//! the rows, and the structure is one that all readers can use. The pages are those of the example `gallery`.

#![allow(clippy::unwrap_used)] // helpers too

mod markup;
#[path = "../examples/gallery/site.rs"]
mod site;
#[path = "../examples/gallery/store_pages.rs"]
mod store_pages;
#[path = "../examples/gallery/tables.rs"]
mod tables;
#[path = "../examples/gallery/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use dqa_pages::{Context, ExportedPictures, Links, Mode, Region, Route, Segment, content_security_policy};
use serde_json::Value;

use markup::{Tag, tags};
use site::{Pages, Site};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// Returns the pages of some variants, each made once.
fn variants() -> &'static BTreeMap<&'static str, (Site, Pages)> {
    static VARIANTS: OnceLock<BTreeMap<&str, (Site, Pages)>> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let known =
            world::variants().into_iter().filter(|(name, _)| ["live", "unlabelled", "single", "empty"].contains(name));
        let all = known.chain([("hostile", world::named(HOSTILE))]);
        let make = |(name, world)| {
            let site = Site::new(world);
            let pages = site.pages();
            (name, (site, pages))
        };
        all.map(make).collect()
    })
}

/// Returns the name of the variant and path, the text and the tags of each page.
fn each_page() -> impl Iterator<Item = (String, &'static str, Vec<Tag>)> {
    variants().iter().flat_map(|(name, (_, pages))| {
        let html = pages.iter().filter(|(path, _)| path.ends_with(".html"));
        html.map(move |(path, text)| (format!("{name}/{path}"), text.as_str(), tags(text)))
    })
}

#[test]
fn names_are_never_read_as_markup() {
    for (page, text, tags) in each_page().filter(|(page, ..)| page.starts_with("hostile/")) {
        let scripts = tags.iter().filter(|tag| tag.name == "script").count();
        assert_eq!(scripts, if page.contains("/scenes/") && !page.ends_with("index.html") { 2 } else { 1 }, "{page}");
        assert!(!text.contains("alert(1)</script>"), "{page}");
        for tag in &tags {
            let strange = tag.attributes.keys().find(|name| name.starts_with("on") || name.contains(['\'', '&', '<']));
            assert_eq!(strange, None, "{page}: {tag:?}");
        }
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;"), "{page} does not have the name");
    }
}

#[test]
fn the_only_script_and_style_are_those_of_the_policy() {
    for (page, text, tags) in each_page() {
        let policy = tags.iter().find(|tag| tag.get("http-equiv").is_some()).unwrap();
        assert_eq!(policy.get("content"), Some(content_security_policy()), "{page}");
        let find = |tag: &str| tags.iter().filter(|own| own.name == tag).count();
        assert_eq!((find("style"), find("iframe"), find("base"), find("object")), (1, 0, 0, 0), "{page}");
        assert!(
            find("script") <= 2 && tags.iter().all(|tag| tag.name != "script" || tag.attributes.is_empty()),
            "{page}"
        );
        assert!(tags.iter().all(|tag| tag.get("style").is_none()), "{page}");
        assert!(text.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{page}");
    }
    assert!(!content_security_policy().contains("unsafe"));
}

/// Returns the path below the root that a relative link leads to.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut folders: Vec<&str> = page.split('/').collect();
    folders.pop();
    let mut rest = link;
    while let Some(tail) = rest.strip_prefix("../") {
        folders.pop()?;
        rest = tail;
    }
    folders.push(rest);
    Some(folders.join("/"))
}

#[test]
fn every_link_leads_to_a_route() {
    for (page, _, tags) in each_page() {
        let (_, path) = page.split_once('/').unwrap();
        for tag in &tags {
            let addresses = ["href", "src", "action", "data-events", "data-poll", "data-full"];
            for address in addresses.iter().filter_map(|name| tag.get(name)) {
                if ["#main", "data:,"].contains(&address) {
                    continue;
                }
                let target = resolve(path, address).unwrap_or_else(|| panic!("{page}: {address} leaves the site"));
                let route = Route::parse(&target).unwrap_or_else(|| panic!("{page}: {address} is {target}"));
                assert_eq!(route.path(), target, "{page}");
            }
        }
    }
}

#[test]
fn links_of_a_hostile_run_decode_to_its_name() {
    let mut runs = BTreeSet::new();
    for path in variants()["hostile"].1.keys() {
        let Some(route) = Route::parse(path) else { continue };
        runs.extend(route.run().map(|run| run.name().unwrap()));
        if let Route::Comparison { dataset, metric, better, other, .. } = route {
            let names: BTreeSet<String> = [better, other].iter().map(|segment| segment.name().unwrap()).collect();
            assert_eq!(names, [HOSTILE.to_owned(), format!("{HOSTILE}2")].into());
            assert_eq!(dataset.unwrap().name().as_deref(), Some(HOSTILE));
            assert!([HOSTILE, "niqe"].contains(&metric.name().unwrap().as_str()));
        }
    }
    assert_eq!(runs, [HOSTILE.to_owned()].into());
}

#[test]
fn pages_have_a_structure_for_all_readers() {
    for (page, _, tags) in each_page() {
        let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{page}: an id is there twice: {ids:?}");
        let levels = tags.iter().filter_map(|tag| tag.name.strip_prefix('h')?.parse::<u32>().ok());
        let levels: Vec<u32> = levels.collect();
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1, "{page}");
        assert_eq!(levels[0], 1, "{page}");
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{page}: {levels:?}");
        for tag in &tags {
            let is_good = match tag.name.as_str() {
                "th" => tag.get("scope").is_some(),
                "img" => tag.get("alt").is_some(),
                "svg" => {
                    let has_role = tag.get("role").is_some_and(|role| ["img", "group"].contains(&role));
                    let is_named = has_role && tag.get("aria-label").is_some();
                    // The paths of a chart are in a chart of their own inside it.
                    is_named || tag.get("aria-hidden").is_some() || tag.get("preserveAspectRatio").is_some()
                }
                "form" => tag.get("method") == Some("post"),
                "div" if tag.has_class("scroll") => tag.get("tabindex").is_some() && tag.get("aria-label").is_some(),
                _ => true,
            };
            assert!(is_good, "{page}: {tag:?}");
        }
    }
}

/// Collects all numbers of a JSON value.
fn numbers(value: &Value, found: &mut BTreeSet<u64>) {
    match value {
        Value::Number(number) => {
            found.insert(number.as_f64().unwrap().to_bits());
        }
        Value::Array(values) => values.iter().for_each(|value| numbers(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

fn numbers_of(rows: &impl serde::Serialize) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    numbers(&serde_json::to_value(rows).unwrap(), &mut found);
    found
}

/// Returns the exact numbers that a page shows.
fn shown(page: &str) -> BTreeSet<u64> {
    let values = |tag: &Tag| ["data-value", "data-low", "data-high"].map(|name| tag.get(name).map(str::to_owned));
    let texts: Vec<String> = tags(page).iter().flat_map(values).flatten().collect();
    texts.iter().filter_map(|text| text.parse::<f64>().ok()).map(f64::to_bits).collect()
}

#[test]
fn every_number_of_a_leaderboard_is_one_of_its_rows() {
    let (site, pages) = &variants()["live"];
    for (index, metric) in site.world.metrics.iter().enumerate() {
        let data = site.leaderboard_page(index);
        let mut known = numbers_of(&(&data.rows, &data.agreement));
        for gap in &data.gaps {
            known.extend([gap.point.score, gap.point.mos, gap.rank, gap.mos_rank].map(f64::to_bits));
        }
        let route = site.routes.leaderboard(Some(&site.world.dataset), &metric.name, dqa_pages::Format::Html);
        let page = &pages[&route.path()];
        let shown = shown(page);
        let strange: Vec<f64> = shown.difference(&known).map(|bits| f64::from_bits(*bits)).collect();
        assert!(strange.is_empty(), "{}: {strange:?} are in no row", metric.name);
        // Each row, with its exact values, is also what the script writes to a file.
        let texts: Vec<String> = tags(page).iter().filter_map(|tag| Some(tag.get("data-row")?.to_owned())).collect();
        let rows: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(rows, serde_json::from_str::<Vec<Value>>(&data.json()).unwrap());
        assert_eq!(rows.len(), data.rows.len());
        for (row, text) in data.rows.iter().zip(&texts) {
            assert!(text.contains(&format!("\"adjusted_score\":{:?},", row.adjusted_score.unwrap())), "{text}");
            assert!(shown.contains(&row.adjusted_score.unwrap().to_bits()));
            assert!(shown.contains(&row.adjusted_score_high.unwrap().to_bits()));
            assert!(row.p_next.is_none_or(|p| shown.contains(&p.to_bits())));
        }
        assert_eq!(data.csv().lines().count(), data.rows.len() + 1);
    }
}

#[test]
fn every_number_of_the_metrics_and_comparisons_is_one_of_their_rows() {
    let (site, pages) = &variants()["live"];
    let world = &site.world;
    let pooled: Vec<_> = site.correlations.iter().map(|rows| rows[0].clone()).collect();
    let metrics = world.metric_rows(&pooled);
    let differences = world.metric_differences(&metrics);
    let by_algorithm: Vec<_> = site.correlations.iter().flatten().cloned().collect();
    let tables = (
        &metrics,
        world.metric_rows(&by_algorithm),
        &differences,
        world.metric_matrix(),
        world.metric_ranks(&site.leaderboards),
    );
    let known = numbers_of(&(tables, world.metric_disagreements()));
    let shown_numbers = shown(&pages[&site.routes.metrics(&world.dataset).path()]);
    assert!(shown_numbers.is_subset(&known) && shown_numbers.len() > 100);
    for row in &site.comparisons[1] {
        let pair = (row.algorithm_a.as_str(), row.algorithm_b.as_str());
        let path = site.routes.comparison(Some(&world.dataset), &world.metrics[1].name, pair).path();
        let mut known = numbers_of(row);
        let score = |name: &str, scene: usize| {
            let made = world.pictures.iter().find(|p| p.scene == scene && world.algorithms[p.algorithm] == *name);
            made.and_then(|made| made.scores[1].ok()).unwrap()
        };
        for scene in 0..world.scenes.len() {
            let (a, b) = (score(pair.0, scene), score(pair.1, scene));
            known.extend([a, b, a - b].map(f64::to_bits));
        }
        let shown_numbers = shown(&pages[&path]);
        assert!(shown_numbers.is_subset(&known) && shown_numbers.contains(&row.difference.to_bits()), "{path}");
    }
}

#[test]
fn actions_are_shown_to_those_who_may_act() {
    let (site, pages) = &variants()["live"];
    let path = Route::Progress(site.routes.run()).path();
    let forms = |page: &str| {
        let forms = tags(page).into_iter().filter(|tag| tag.name == "form");
        forms.filter_map(|tag| resolve(&path, tag.get("action")?)).collect::<Vec<String>>()
    };
    let actions = ["pause", "retry", "cancel"].map(|action| format!("runs/demo/actions/{action}"));
    let expected: Vec<String> = actions.into_iter().chain(["sign-out".to_owned()]).collect();
    assert_eq!(forms(&pages[&path]), expected);
    let context = site.context(Route::Progress(site.routes.run()), true);
    let reader = Context { mode: Mode::Served { live: true, user: None, may_act: false }, ..context.clone() };
    assert!(forms(&site.run_page().render(&reader)).is_empty());
    let exported = Context { mode: Mode::Exported { pictures: ExportedPictures::None }, ..context };
    let page = site.run_page().render(&exported);
    assert!(forms(&page).is_empty() && !page.contains("data-events="));
}

#[test]
fn a_live_region_is_the_same_alone_and_in_its_page() {
    let (site, pages) = &variants()["live"];
    let route = Route::Progress(site.routes.run());
    let region = site.run_page().render_region(&site.context(route.clone(), true));
    assert!(pages[&route.path()].contains(&region));
    let channel = Route::Live(Region::Run(site.routes.run()), dqa_pages::Channel::Events);
    assert!(pages[&route.path()].contains(&format!("data-events=\"../../{}\"", channel.path())));
}

#[test]
fn a_page_that_is_not_written_is_not_linked() {
    let (site, _) = &variants()["live"];
    let scene = site.scene_page(0);
    let route = site.routes.scene(&site.world.dataset, &scene.scene);
    let context = site.context(route.clone(), true);
    let written = [Route::Home.path(), Route::Run(site.routes.run()).path(), route.path()];
    let links = Links::new(route.clone()).only_to(std::sync::Arc::new(written.iter().cloned().collect()));
    let page = scene.render(&Context { links, ..context });
    for tag in tags(&page).iter().filter(|tag| tag.name == "a") {
        let href = tag.get("href").filter(|href| *href != "#main");
        let target = href.map(|href| resolve(&route.path(), href).unwrap());
        assert!(target.is_none_or(|target| written.contains(&target)), "{tag:?}");
    }
    assert!(page.contains("oracle"));
}

#[test]
fn routes_are_read_from_their_paths() {
    for (_, pages) in variants().values() {
        for path in pages.keys().filter(|path| *path != "404.html") {
            assert_eq!(&Route::parse(path).unwrap().path(), path);
        }
    }
    assert_eq!(Route::parse("/"), Some(Route::Home));
    assert_eq!(Route::parse("/runs/demo/"), Some(Route::Run(Segment::from_name("demo"))));
    for path in [
        "runs",
        "runs/..",
        "runs/../index.html",
        "runs/a b/index.html",
        "x.html",
        "runs/r/scenes/d/index-1.html",
        "runs/r/scenes/d/index-02.html",
        "runs/r/actions/delete",
        "runs//index.html",
    ] {
        assert_eq!(Route::parse(path), None, "{path}");
    }
}
