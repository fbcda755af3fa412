//! Headers of answers, and the check of where a form was sent from.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dqa_pages::{PicturePart, Route, content_security_policy};

use crate::site::Content;

/// Pictures of a store may change only with the store's rows; a browser asks again after this time.
const PICTURE_CACHE: &str = "private, max-age=600";

/// A page shows the store as it is.
const PAGE_CACHE: &str = "no-store";

/// Returns the answer, with headers that keep a browser from running or embedding anything else.
pub(super) fn respond(status: StatusCode, route: &Route, content: Content) -> Response {
    let is_picture = matches!(route, Route::Picture { part, .. } if *part != PicturePart::Page);
    // A page's own copy of the policy cannot say who may frame it.
    let policy = match is_picture {
        true => "default-src 'none'; sandbox".to_owned(),
        false => format!("{}; frame-ancestors 'none'", content_security_policy()),
    };
    let cache = if is_picture && status == StatusCode::OK { PICTURE_CACHE } else { PAGE_CACHE };
    let mut response = (status, content.bytes).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        headers.insert(name, HeaderValue::from_str(value).expect("our headers are ASCII"));
    };
    set(header::CONTENT_TYPE, content.media_type);
    set(header::CONTENT_SECURITY_POLICY, &policy);
    set(header::CACHE_CONTROL, cache);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // With `no-referrer` a browser would not say that a form is of this site.
    set(header::REFERRER_POLICY, "same-origin");
    response
}

/// Returns a redirection that a browser follows with GET.
pub(super) fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}

/// Returns whether a form was sent by one of our own pages. A browser names the page's origin; a program that is no
/// browser names none, and holds no session that another site could use.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, origin_host)| origin_host == host),
        (Some(_), None) => false,
    }
}

/// Returns whether a request is addressed to this machine by a name that no other can have: `localhost`, or an IP address.
pub(super) fn is_local_name(request: &Request) -> bool {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let Some(host) = header.or_else(|| request.uri().authority().map(Authority::as_str)) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let is_ip = || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    name.eq_ignore_ascii_case("localhost") || is_ip()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_port_on_loopback_answers_to_no_name_that_others_can_have() {
        let request = |host: &str| Request::builder().header(header::HOST, host).body(Body::empty()).unwrap();
        for host in ["localhost:7080", "localhost", "127.0.0.1:7080", "[::1]:7080"] {
            assert!(is_local_name(&request(host)), "{host}");
        }
        for host in ["evil.example:7080", "localhost.evil.example", "127.0.0.1.evil.example:80", ""] {
            assert!(!is_local_name(&request(host)), "{host}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_known_by_its_origin() {
        let headers = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("dqa.example:7070"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            headers
        };
        assert!(is_same_origin(&headers(Some("https://dqa.example:7070"))) && is_same_origin(&headers(None)));
        for origin in ["https://dqa.example", "https://evil.example:7070", "null", "https://dqa.example:7070.evil"] {
            assert!(!is_same_origin(&headers(Some(origin))), "{origin}");
        }
    }
}
