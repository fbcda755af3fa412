//! The session of a browser: a cookie that a users' token was exchanged for. The cookie holds only when it ends, and a
//! signature by a key that is derived from the token, so that every coordinator of the store knows it.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use dqa_pages::{Route, SignInPage};
use jiff::Timestamp;

use super::headers::{respond, see_other};
use crate::site::{Content, Site, Viewer};

/// The bytes of a form that are read: a token and a path.
const FORM_BYTES_MAX: usize = 16 << 10;

const COOKIE: &str = "dqa_session";

/// A working day.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// How users sign in.
pub struct SignIn {
    /// Says whether a text is the users' token.
    is_token: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Signs sessions. It must not reveal the token.
    key: [u8; 32],
    /// Whether browsers reach the site by HTTPS: the cookie is then sent by nothing else.
    is_secure: bool,
}

impl SignIn {
    /// Returns the sign-in for the token that `is_token` knows. Sessions are signed with a key that is derived from it.
    pub fn new(is_token: impl Fn(&str) -> bool + Send + Sync + 'static, key: [u8; 32], is_secure: bool) -> SignIn {
        SignIn { is_token: Box::new(is_token), key, is_secure }
    }

    /// Returns the user of a session, or None without a valid one. All users share a token, so they have one name.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE && self.is_valid(value, Timestamp::now())).then(|| "user".to_owned())
    }

    fn is_valid(&self, session: &str, now: Timestamp) -> bool {
        let Some((end, _)) = session.split_once('.') else { return false };
        let Ok(seconds) = end.parse::<i64>() else { return false };
        let expected = self.session(seconds);
        // Digests are compared, so that the time does not depend on how much of a wrong signature is right.
        now.as_second() < seconds && blake3::hash(expected.as_bytes()) == blake3::hash(session.as_bytes())
    }

    /// Returns the session that ends at this second.
    fn session(&self, end: i64) -> String {
        let signature = blake3::keyed_hash(&self.key, &end.to_le_bytes());
        format!("{end}.{}", signature.to_hex())
    }

    fn cookie(&self, session: &str, age: u64) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!("{COOKIE}={session}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&text).expect("a session is ASCII")
    }

    /// Checks the token of a form, and begins a session.
    pub(super) async fn submit(&self, site: &Site, viewer: &Viewer, request: Request) -> Response {
        let Ok(body) = to_bytes(request.into_body(), FORM_BYTES_MAX).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let form = String::from_utf8_lossy(&body).into_owned();
        let token = field(&form, "token").unwrap_or_default();
        let next = field(&form, "next");
        if !(self.is_token)(token.trim()) {
            return page(site, viewer, StatusCode::UNAUTHORIZED, SignInPage { is_refused: true, next });
        }
        let end = Timestamp::now().as_second() + SESSION.as_secs() as i64;
        let mut response = see_other(next.as_deref().filter(|next| is_local(next)).unwrap_or("/"));
        response.headers_mut().insert(header::SET_COOKIE, self.cookie(&self.session(end), SESSION.as_secs()));
        response
    }

    /// Ends a session: the browser forgets it.
    pub(super) fn sign_out(&self) -> Response {
        let mut response = see_other(&format!("/{}", Route::SignIn.path()));
        response.headers_mut().insert(header::SET_COOKIE, self.cookie("", 0));
        response
    }
}

/// Shows the form.
pub(super) fn show(site: &Site, viewer: &Viewer, uri: &Uri) -> Response {
    page(site, viewer, StatusCode::OK, SignInPage { is_refused: false, next: field(uri.query().unwrap_or(""), "next") })
}

/// Sends a browser to the form, and anything else away.
pub(super) fn require(route: &Route, uri: &Uri) -> Response {
    if !route.path().ends_with(".html") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    see_other(&format!(
        "/{}?next={}",
        Route::SignIn.path(),
        encode(uri.path_and_query().map_or("/", |text| text.as_str()))
    ))
}

fn page(site: &Site, viewer: &Viewer, status: StatusCode, page: SignInPage) -> Response {
    let html = page.render(&site.context(&Route::SignIn, viewer, None));
    respond(status, &Route::SignIn, Content::html(html))
}

/// Returns whether a path is one of this site: `//host` and `/\host` lead away from it.
fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && !path.contains(char::is_control)
}

/// Returns the field of a form or a query.
fn field(form: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in() -> SignIn {
        SignIn::new(|token| token == "secret", [7; 32], true)
    }

    #[test]
    fn a_session_ends_and_cannot_be_made_without_the_token() {
        let sign_in = sign_in();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let session = sign_in.session(1000);
        assert!(sign_in.is_valid(&session, at(999)) && !sign_in.is_valid(&session, at(1000)));
        let longer = session.replacen("1000", "2000", 1);
        for forged in [longer.as_str(), "1000.", "1000", "", "x.y"] {
            assert!(!sign_in.is_valid(forged, at(1)), "{forged}");
        }
        let cookie = sign_in.cookie(&session, 5);
        let cookie = cookie.to_str().unwrap();
        assert!(["HttpOnly", "SameSite=Strict", "Secure"].iter().all(|part| cookie.contains(part)), "{cookie}");
    }

    #[test]
    fn a_sign_in_never_leads_to_another_site() {
        assert!(is_local("/runs/r/index.html?x=1"));
        for path in ["//evil.example", "/\\evil.example", "https://evil.example", "", "runs"] {
            assert!(!is_local(path), "{path}");
        }
    }
}
