//! Pictures on pages: small ones with their captions, and what stands where a picture cannot be shown.

use maud::{Markup, html};

use crate::anchor::{file_address, is_outside, link};
use crate::context::Context;
use crate::picture::Picture;
use crate::route::Route;

/// Endings of the files that browsers show.
const SHOWN: [&str; 8] = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif", ".svg"];

/// Returns a small picture, or a box that says that there is none.
pub(crate) fn thumbnail(context: &Context, file: Option<&str>, alt: &str) -> Markup {
    match file.and_then(|file| file_address(context, file)) {
        Some(address) => html! { img src=(address) alt=(alt) loading="lazy" decoding="async"; },
        None => html! { span.none role="img" aria-label=(format!("{alt}: no picture")) { "no picture" } },
    }
}

/// Returns the address at which a picture is shown large: the picture itself where the site has it and browsers show its
/// format, or else the small one.
pub(crate) fn shown_address(context: &Context, picture: &Picture) -> Option<String> {
    let is_shown = |file: &&String| {
        let name = file.to_lowercase();
        !is_outside(file) && SHOWN.iter().any(|ending| name.ends_with(ending))
    };
    let full = picture.full.as_ref().filter(is_shown).and_then(|file| file_address(context, file));
    full.or_else(|| file_address(context, picture.thumbnail.as_deref()?))
}

/// Returns a figure: the picture that leads to its page, its name, and what is said of it.
pub(crate) fn figure(context: &Context, picture: &Picture, route: &Route, name: &str, value: &Markup) -> Markup {
    html! {
        figure {
            (link(context, route, thumbnail(context, picture.thumbnail.as_deref(), name)))
            figcaption { span.name { (link(context, route, name)) } span.value { (value) } }
        }
    }
}
