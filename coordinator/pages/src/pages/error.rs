//! The page of an error.

use maud::html;

use crate::anchor::link;
use crate::context::Context;
use crate::layout::{Place, page};
use crate::route::Route;

/// The page of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What was found, as a sentence.
    pub message: String,
    /// What the user can do, as a sentence.
    pub hint: Option<String>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404.
    NotFound,
    /// 403.
    NotAllowed,
    /// 413: the answer would be too large.
    TooLarge,
    /// 503: the store does not answer.
    Unavailable,
    /// 500.
    Internal,
}

impl ErrorKind {
    /// Returns the status code of HTTP.
    pub fn status(self) -> u16 {
        match self {
            ErrorKind::NotFound => 404,
            ErrorKind::NotAllowed => 403,
            ErrorKind::TooLarge => 413,
            ErrorKind::Unavailable => 503,
            ErrorKind::Internal => 500,
        }
    }

    fn title(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Not found",
            ErrorKind::NotAllowed => "Not allowed",
            ErrorKind::TooLarge => "Too large to show",
            ErrorKind::Unavailable => "The store does not answer",
            ErrorKind::Internal => "Something went wrong",
        }
    }
}

impl ErrorPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let body = html! {
            h1 { (self.kind.title()) }
            p.sub { (self.message) }
            @if let Some(hint) = &self.hint { p { (hint) } }
            p { (link(context, &Route::Home, "The runs of this store")) }
        };
        page(context, Place::Elsewhere, self.kind.title(), &body)
    }
}
