//! The page that asks for a users' token.

use maud::html;

use crate::context::Context;
use crate::layout::bare_page;
use crate::route::Route;

/// The page that asks for a users' token. Its form posts `token` and `next` to [`Route::SignIn`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInPage {
    /// Whether a token was refused just now.
    pub is_refused: bool,
    /// The path to go to afterwards.
    pub next: Option<String>,
}

impl SignInPage {
    /// Renders the page. It shows nothing of the store, whatever the context holds.
    pub fn render(&self, context: &Context) -> String {
        let body = html! {
            h1 { "dqa" }
            p.sub { "This coordinator shows its pages to users with a token." }
            @if self.is_refused { p.notice.bad role="alert" { "This token is not valid." } }
            form method="post" action=(context.links.to_path(&Route::SignIn.path())) {
                label.field {
                    "Token" input type="password" name="token" required autofocus autocomplete="current-password";
                }
                @if let Some(next) = &self.next { input type="hidden" name="next" value=(next); }
                button { "Sign in" }
            }
            p.note { "The token is one of those that the coordinator was started with." }
        };
        bare_page(context, "Sign in", &body)
    }
}
