//! Reads the tags of our own pages, which are well-formed: names, attributes with their references resolved, nesting.

use std::collections::BTreeMap;

/// A start tag.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.get("class").is_some_and(|classes| classes.split(' ').any(|own| own == class))
    }
}

fn resolved(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Elements without an end tag.
const VOID: [&str; 6] = ["meta", "link", "img", "input", "br", "hr"];

/// Returns the start tags of a page in their order.
///
/// # Panics
/// If the page is not well-formed: an end tag that fits no start tag, or a stray `<`.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap_or(page);
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(tail) = rest.strip_prefix('/') {
            let (name, tail) = tail.split_once('>').unwrap();
            assert_eq!(open.pop().as_deref(), Some(name));
            rest = tail;
            continue;
        }
        let (tag, tail) = start_tag(rest);
        rest = tail;
        if ["style", "script"].contains(&tag.name.as_str()) {
            rest = &rest[rest.find(&format!("</{}>", tag.name)).unwrap()..];
        }
        if !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        tags.push(tag);
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    tags
}

fn start_tag(text: &str) -> (Tag, &str) {
    let end = text.find([' ', '>']).unwrap();
    let name = text[..end].to_owned();
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "a stray <: {}", &text[..20]);
    let mut attributes = BTreeMap::new();
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start();
        if let Some(tail) = rest.strip_prefix('>') {
            return (Tag { name, attributes }, tail);
        }
        let end = rest.find(['=', ' ', '>']).unwrap();
        let attribute = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = "";
        if let Some(tail) = rest.strip_prefix("=\"") {
            (value, rest) = tail.split_once('"').unwrap();
        }
        assert!(attributes.insert(attribute.clone(), resolved(value)).is_none(), "{attribute} twice in {name}");
    }
}
