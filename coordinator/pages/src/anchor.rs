//! Links as elements: text where the site has no such page, and never an address with another scheme than HTTP.

use maud::{Markup, Render, html};

use crate::context::Context;
use crate::picture::SceneRef;
use crate::route::{PicturePart, Route};
use crate::run_routes::RunRoutes;

/// Returns a link to a route, or only its content if the site has no such page.
pub(crate) fn link(context: &Context, route: &Route, content: impl Render) -> Markup {
    match context.links.to(route) {
        Some(href) => html! { a href=(href) { (content) } },
        None => html! { (content) },
    }
}

/// Returns a name that the style sheet cuts where it is too long; the whole of it shows when the pointer is over it.
pub(crate) fn clipped(name: &str) -> Markup {
    html! { span.long title=(name) { (name) } }
}

/// Returns a link to a picture's page. `picture` is its data set and its name there.
pub(crate) fn picture_link(context: &Context, routes: &RunRoutes, picture: (&str, &str), name: &str) -> Markup {
    let (dataset, image) = picture;
    link(context, &routes.picture(dataset, image, PicturePart::Page), clipped(name))
}

/// Returns a link to a scene.
pub(crate) fn scene_link(context: &Context, routes: &RunRoutes, dataset: &str, scene: &SceneRef) -> Markup {
    link(context, &routes.scene(dataset, scene), clipped(&scene.label()))
}

/// Returns the address of a file that a page's data names: a path below the site's root, or an address with `http:` or
/// `https:`. None for other addresses, which a browser could not open.
pub(crate) fn file_address(context: &Context, file: &str) -> Option<String> {
    if is_outside(file) {
        return Some(file.to_owned());
    }
    // Only paths of the scheme: what a data set names is never an address by itself.
    Route::parse(file).filter(|route| route.path() == file).and_then(|route| context.links.to(&route))
}

/// Returns whether a file is at an address of another site.
pub(crate) fn is_outside(file: &str) -> bool {
    file.starts_with("https://") || file.starts_with("http://")
}

/// Returns a form that asks the server for something, folded behind the action's name, so that it takes a second click.
pub(crate) fn action(context: &Context, route: &Route, name: &str, consequence: &str) -> Markup {
    html! {
        details.action {
            summary { (name) }
            form method="post" action=(context.links.to_path(&route.path())) {
                p { (consequence) }
                button { (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::context::{Context, Mode};
    use crate::links::Links;
    use crate::route::Route;
    use crate::segment::Segment;

    use super::*;

    #[test]
    fn addresses_are_of_the_site_or_of_the_web() {
        let context = Context {
            links: Links::new(Route::Failures(Segment::from_name("r"))),
            mode: Mode::Served { live: false, user: None, may_act: false },
            run: None,
            version: String::new(),
            store: None,
        };
        let address = |file: &str| file_address(&context, file);
        assert_eq!(address("runs/r/files/d/a.png").as_deref(), Some("../../runs/r/files/d/a.png"));
        assert_eq!(address("https://example.org/a.png").as_deref(), Some("https://example.org/a.png"));
        for file in
            ["javascript:alert(1)", "s3://bucket/a.png", "//example.org/a", "/etc/passwd", "../a", "runs/../a", ""]
        {
            assert_eq!(address(file), None, "{file}");
        }
    }
}
