//! The style sheet and the scripts of the pages, without their comments, and the policy that allows them and nothing else.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// The style sheet of all pages.
pub(crate) static STYLE: LazyLock<String> = LazyLock::new(|| compact_style(include_str!("assets/pages.css")));

/// The script of all pages.
pub(crate) static SCRIPT: LazyLock<String> = LazyLock::new(|| compact_script(include_str!("assets/pages.js")));

/// The script of pages with two pictures under a slider.
pub(crate) static VIEWER: LazyLock<String> = LazyLock::new(|| compact_script(include_str!("assets/viewer.js")));

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |asset: &str| STANDARD.encode(digest(&SHA256, asset.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}' 'sha256-{}'; img-src 'self' data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'",
        hash(&STYLE),
        hash(&SCRIPT),
        hash(&VIEWER),
    )
});

/// Returns the content security policy of all pages. Each page has it as a `meta` element; a server adds
/// `; frame-ancestors 'none'` to its header, which a `meta` element cannot have.
pub fn content_security_policy() -> &'static str {
    &POLICY
}

/// Returns a script without indentation and without lines that are only a comment. Other lines stay, so that statements end
/// where they did.
fn compact_script(script: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.collect::<Vec<&str>>().join("\n")
}

/// Returns a style sheet without comments and without the spaces that mean nothing. Our own sheet has no text with such spaces
/// in it.
fn compact_style(style: &str) -> String {
    let mut text = String::with_capacity(style.len());
    for (index, piece) in style.split("/*").enumerate() {
        let kept = if index == 0 { piece } else { piece.split_once("*/").map_or("", |(_, after)| after) };
        text.push_str(kept);
    }
    let mut text = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<&str>>().join(" ");
    for (spaced, compact) in [("; ", ";"), (": ", ":"), (", ", ","), (" {", "{"), ("{ ", "{"), (" }", "}"), ("} ", "}")]
    {
        text = text.replace(spaced, compact);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_compact_and_cannot_end_their_element() {
        assert!(STYLE.len() < 21_000 && SCRIPT.len() < 9_000 && VIEWER.len() < 5_500);
        for asset in [&STYLE, &SCRIPT, &VIEWER] {
            assert!(!asset.contains("</") && !asset.contains("<!--") && !asset.contains("/*"));
        }
        assert_eq!(STYLE.matches('{').count(), STYLE.matches('}').count());
        assert_eq!(compact_style("/* a */\n.a { b: c; d: e, f }\n.g {\n  h: i;\n}"), ".a{b:c;d:e,f}.g{h:i;}");
    }
}
