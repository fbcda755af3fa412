//! Keys of a bucket that are not valid paths for `object_store`: with `//`, a control character, or a slash at an end. A
//! bucket allows any key, but one such key makes `object_store` drop a whole page of a listing. So invalid keys are escaped in
//! a listing's response before `object_store` parses it, and unescaped afterwards.
//!
//! This module owns that escape both ways. It knows where S3, Google Cloud Storage and Azure put keys in their responses, and
//! leaves a response unchanged if it cannot parse it or if all its keys are valid.

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::entry::{UnusableEntry, UnusableKind, escape_path};

/// Starts an escaped key. The character is reserved for private use, so no key has it by chance.
const ESCAPE: &str = "\u{e000}dqa-odd-key-";

/// Creates HTTP clients whose listings have all keys.
#[derive(Debug, Default)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(KeyEscapingClient(ReqwestConnector::default().connect(options)?)))
    }
}

/// Escapes the invalid keys in responses to list requests.
#[derive(Debug)]
struct KeyEscapingClient(HttpClient);

#[async_trait]
impl HttpService for KeyEscapingClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let is_listing = request.method().as_str() == "GET"
            && query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"));
        let response = self.0.execute(request).await?;
        if !is_listing || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let body = escape_keys(&body).map_or(body, Bytes::from);
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}

/// Returns a listing's response with its invalid keys escaped. None if it stays unchanged.
fn escape_keys(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text);
    let (mut parents, mut written, mut taken) = (Vec::new(), String::new(), 0);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let element = (parents.last().map_or(&b""[..], Vec::as_slice), start.local_name().into_inner());
                let is_prefix = match element {
                    (b"Contents", b"Key") | (b"Blob", b"Name") => false,
                    (b"CommonPrefixes", b"Prefix") | (b"BlobPrefix", b"Name") => true,
                    (_, name) => {
                        parents.push(name.to_owned());
                        continue;
                    }
                };
                let begin = reader.buffer_position() as usize;
                let raw = reader.read_text(start.name()).ok()?;
                let end = begin + raw.len();
                let raw = text.get(begin..end)?;
                let key = unescape(raw).ok()?;
                if is_invalid(&key, is_prefix) {
                    written.push_str(&text[taken..begin]);
                    written.push_str(ESCAPE);
                    written.extend(utf8_percent_encode(&key, NON_ALPHANUMERIC));
                    taken = end;
                }
            }
            Event::End(_) => {
                parents.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    (taken > 0).then(|| written + &text[taken..])
}

/// Returns whether `object_store` would reject the key, or parse it as another one.
fn is_invalid(key: &str, is_prefix: bool) -> bool {
    let key = if is_prefix { key.strip_suffix('/').unwrap_or(key) } else { key };
    Path::parse(key).map_or(true, |path| path.as_ref() != key)
}

/// Returns whether a segment of a path is an escaped key.
pub(super) fn is_escaped(part: &str) -> bool {
    part.starts_with(ESCAPE)
}

/// Unescapes a location of a listing below `prefix`. None if it is not an escaped key.
pub(super) fn find(location: &str, prefix: &str) -> Option<UnusableEntry> {
    let escaped = location.strip_prefix(ESCAPE)?;
    let key = percent_decode_str(escaped).decode_utf8_lossy();
    let below = key.strip_prefix(prefix).filter(|_| !prefix.is_empty()).and_then(|rest| rest.strip_prefix('/'));
    let key = below.unwrap_or(&key);
    if key.is_empty() {
        return Some(UnusableEntry::marker("./".to_owned())); // stands for the listed folder
    }
    if let Some(folder) = key.strip_suffix('/').filter(|folder| !is_invalid(folder, false)) {
        return Some(UnusableEntry::marker(format!("{folder}/")));
    }
    let why = if key.chars().any(char::is_control) {
        "its key has a control character"
    } else {
        "its key is not a valid path (`//`, `.`, `..`, or a slash at an end)"
    };
    Some(UnusableEntry {
        key: key.to_owned(),
        shown: escape_path(key.as_ref()),
        kind: UnusableKind::Name,
        why: why.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(answer: &str) -> Vec<String> {
        let parts = answer.split("<Key>").skip(1).map(|part| part.split("</Key>").next().unwrap());
        parts
            .map(|key| find(key, "results").map_or(key.to_owned(), |entry| format!("{} {:?}", entry.shown, entry.kind)))
            .collect()
    }

    #[test]
    fn invalid_keys_are_escaped_in_a_listing_and_found_again() {
        let answer = "<?xml version='1.0'?><ListBucketResult xmlns='x'><Prefix>results/</Prefix>\
            <Contents><Key>results/a&amp;b.png</Key><Size>1</Size></Contents>\
            <Contents><Key>results/notes//old &amp; new.txt</Key></Contents>\
            <Contents><Key>results/</Key></Contents><Contents><Key>results/dcp/</Key></Contents>\
            <Contents><Key>/results/x.png</Key></Contents>\
            <Contents><Key>results/a&#x9;b</Key></Contents>\
            <Contents><Key>results/雾.png</Key></Contents></ListBucketResult>";
        let found = escape_keys(answer.as_bytes()).unwrap();
        assert_eq!(
            keys(&found),
            [
                "results/a&amp;b.png",
                "notes//old & new.txt Name",
                "./ Marker",
                "dcp/ Marker",
                "/results/x.png Name",
                "a\\tb Name",
                "results/雾.png"
            ]
        );
        assert!(found.contains("<Prefix>results/</Prefix>") && found.ends_with("</ListBucketResult>"));
        for key in found.split("<Key>").skip(1).map(|part| part.split("</Key>").next().unwrap()) {
            Path::parse(unescape(key).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_response_without_invalid_keys_is_unchanged() {
        for body in [
            &b"<ListBucketResult><Contents><Key>a/b.png</Key></Contents><CommonPrefixes><Prefix>a/</Prefix>\
               </CommonPrefixes></ListBucketResult>"[..],
            b"<EnumerationResults><Blobs><Blob><Name>a.png</Name></Blob><BlobPrefix><Name>b/</Name></BlobPrefix></Blobs>\
              </EnumerationResults>",
            b"",
            b"\xff",
            b"no XML",
            b"<a><Contents><Key>a//b",
        ] {
            assert_eq!(escape_keys(body), None, "{}", String::from_utf8_lossy(body));
        }
        let prefixes = b"<R><CommonPrefixes><Prefix>a//</Prefix></CommonPrefixes><CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes></R>";
        let found = escape_keys(prefixes).unwrap();
        assert!(found.contains(&format!("<Prefix>{ESCAPE}a%2F%2F</Prefix>")) && found.contains("<Prefix>b/</Prefix>"));
        let blobs = b"<E><Blobs><Blob><Name>a//b</Name><Properties/></Blob></Blobs></E>";
        assert!(escape_keys(blobs).unwrap().contains(ESCAPE));
    }
}
