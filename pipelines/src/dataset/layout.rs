//! Layouts are patterns over the paths of files: `{scene}_{algorithm}.png` matches `park_He09.png` with the scene `park` and the
//! algorithm `He09`. This module reads no files, only paths.
//!
//! - A layout and a path have the same number of parts between `/`. A capture contains no `/` and is not empty.
//! - `{algorithm}`, `{scene}`, `{image}` and `{group}` are captures. `{}` matches anything; `{dataset}` is the data set's name;
//!   `{ext}` is the extension of a picture, in any case. A literal extension (`.png`) matches in any case too.
//! - If a path can be read in several ways, the captures on the right are as short as possible: in `a_b_c.png`,
//!   `{scene}_{algorithm}` has the algorithm `c`.
//! - A capture that occurs again must match the same text: `{group}/{group}_clear.png`.
//! - A part before the last that ends in `.tar` is a tar, and the parts after it are in the tar: `{algorithm}.tar/{scene}.png`.
//!
//! Layouts are in Unicode's NFC, and the paths that they read must be too.
//!
//! Matching does not backtrack: each text between captures is searched once, from the right.

use std::fmt;

use crate::file_kinds::is_picture;
use crate::names::{has_other_forms, nfc};

/// A text is not a valid layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{layout}` is not a valid layout: {why}")]
pub struct LayoutError {
    /// The text that was given.
    pub layout: String,
    /// Why it is invalid.
    pub why: String,
}

/// The captures of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaptureName {
    Algorithm,
    Scene,
    Image,
    Group,
}

impl CaptureName {
    const ALL: [(&'static str, CaptureName); 4] = [
        ("algorithm", CaptureName::Algorithm),
        ("scene", CaptureName::Scene),
        ("image", CaptureName::Image),
        ("group", CaptureName::Group),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Capture(CaptureName),
    Anything,
}

/// A pattern over paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    text: String,
    /// The parts between slashes. Within a part, two pieces in braces have text between them.
    parts: Vec<Vec<Piece>>,
    extension: Extension,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Extension {
    /// The layout has no extension.
    None,
    /// A literal extension with its dot.
    Text(String),
    /// `.{ext}`.
    Picture,
}

/// The texts that a layout captures from a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures<'a> {
    /// The text of `{algorithm}`.
    pub algorithm: Option<&'a str>,
    /// The text of `{scene}`.
    pub scene: Option<&'a str>,
    /// The text of `{image}`.
    pub image: Option<&'a str>,
    /// The text of `{group}`.
    pub group: Option<&'a str>,
}

impl<'a> Captures<'a> {
    pub(super) fn get(&self, name: CaptureName) -> Option<&'a str> {
        match name {
            CaptureName::Algorithm => self.algorithm,
            CaptureName::Scene => self.scene,
            CaptureName::Image => self.image,
            CaptureName::Group => self.group,
        }
    }

    fn set(&mut self, name: CaptureName, text: &'a str) {
        let slot = match name {
            CaptureName::Algorithm => &mut self.algorithm,
            CaptureName::Scene => &mut self.scene,
            CaptureName::Image => &mut self.image,
            CaptureName::Group => &mut self.group,
        };
        *slot = Some(text);
    }
}

impl Layout {
    /// Parses a layout of the data set with the name `dataset`.
    ///
    /// # Errors
    /// If braces are not closed or hold an unknown name, or if two follow each other without text between them.
    pub fn new(text: &str, dataset: &str) -> Result<Layout, LayoutError> {
        let wrong = |why: String| LayoutError { layout: text.to_owned(), why };
        let normal = nfc(text);
        let (path, extension) = split_extension(&normal);
        let parts = path.split('/').map(|part| pieces(part, dataset).map_err(wrong)).collect::<Result<Vec<_>, _>>()?;
        if parts.iter().any(Vec::is_empty) {
            return Err(wrong("a part between slashes is empty".to_owned()));
        }
        Ok(Layout { text: text.to_owned(), parts, extension })
    }

    pub(super) fn captures(&self, name: CaptureName) -> bool {
        self.parts.iter().flatten().any(|piece| *piece == Piece::Capture(name))
    }

    /// Returns the number of parts of a tar's path, if the remaining parts are inside it.
    fn tar_parts(&self) -> Option<usize> {
        let is_tar = |part: &Vec<Piece>| matches!(part.last(), Some(Piece::Text(text)) if text.ends_with(".tar"));
        self.parts[..self.parts.len() - 1].iter().position(is_tar).map(|index| index + 1)
    }

    /// Returns the number of parts of the layout's paths.
    pub(super) fn depth(&self) -> usize {
        self.parts.len()
    }

    /// Returns whether the layout spells out the part of a path at `index`: its leading dot, or all of it.
    pub(super) fn names_part(&self, index: usize, part: &str) -> bool {
        let Some([Piece::Text(text), rest @ ..]) = self.parts.get(index).map(Vec::as_slice) else { return false };
        let end = match &self.extension {
            Extension::Text(extension) if index + 1 == self.parts.len() => extension.as_str(),
            _ => "",
        };
        if text.starts_with('.') && part.starts_with(text.as_str()) {
            return true;
        }
        rest.is_empty() && part.strip_prefix(text.as_str()).is_some_and(|rest| rest.eq_ignore_ascii_case(end))
    }

    /// Returns whether the layout's paths are in tars.
    pub(super) fn is_in_tars(&self) -> bool {
        self.tar_parts().is_some()
    }

    /// Returns whether the tar with this path may contain paths of the layout.
    pub(super) fn enters(&self, tar: &str) -> bool {
        let Some(count) = self.tar_parts() else { return false };
        read_parts(&self.parts[..count], tar).is_some()
    }

    /// Returns the folder that contains all paths of the layout, or their tars, as far as it is known.
    pub(super) fn folder(&self) -> String {
        let folders = self.parts[..self.tar_parts().unwrap_or(self.parts.len()) - 1].iter();
        let known = folders.map_while(|part| match part.as_slice() {
            // A folder on a disk may have its name in another Unicode form.
            [Piece::Text(text)] if !has_other_forms(text) => Some(text.as_str()),
            _ => None,
        });
        known.collect::<Vec<_>>().join("/")
    }

    /// Matches a path. None if it has another layout.
    pub fn read<'a>(&self, path: &'a str) -> Option<Captures<'a>> {
        read_parts(&self.parts, self.extension.strip(path)?)
    }

    /// Matches a path as [`Layout::read`] does, for a path whose extension is that of another kind of picture than the layout's.
    pub(super) fn read_other_extension<'a>(&self, path: &'a str) -> Option<Captures<'a>> {
        let Extension::Text(extension) = &self.extension else { return None };
        let is_other = is_picture(extension) && is_picture(path) && self.extension.strip(path).is_none();
        let (stem, _) = path.rsplit_once('.').filter(|_| is_other)?;
        read_parts(&self.parts, stem)
    }

    /// Returns the path with these captures, with `.png` for `{ext}` and `x` for `{}`. None if a capture is missing.
    pub fn write(&self, captures: &Captures) -> Option<String> {
        let mut path = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            for piece in part {
                path.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Capture(name) => captures.get(*name)?,
                    Piece::Anything => "x",
                });
            }
        }
        path.push_str(match &self.extension {
            Extension::None => "",
            Extension::Text(text) => text,
            Extension::Picture => ".png",
        });
        Some(path)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Extension {
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self {
            Extension::None => Some(path),
            Extension::Picture if is_picture(path) => path.rsplit_once('.').map(|(stem, _)| stem),
            Extension::Picture => None,
            Extension::Text(text) => {
                let (stem, end) = path.split_at_checked(path.len().checked_sub(text.len())?)?;
                end.eq_ignore_ascii_case(text).then_some(stem)
            }
        }
    }
}

/// Splits off a layout's extension: the text after its last dot if it has no braces, or `{ext}`.
fn split_extension(text: &str) -> (&str, Extension) {
    match text.rfind('.') {
        Some(dot) if &text[dot..] == ".{ext}" => (&text[..dot], Extension::Picture),
        Some(dot) if !text[dot..].contains(['{', '}', '/']) => (&text[..dot], Extension::Text(text[dot..].to_owned())),
        _ => (text, Extension::None),
    }
}

fn pieces(part: &str, dataset: &str) -> Result<Vec<Piece>, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = part;
    while !rest.is_empty() {
        let (text, after) = match rest.split_once('{') {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        if text.contains('}') {
            return Err("`}` closes nothing".to_owned());
        }
        push_text(&mut pieces, text);
        let Some(after) = after else { break };
        let (name, after) = after.split_once('}').ok_or("`{` is not closed")?;
        match name {
            "dataset" => push_text(&mut pieces, dataset),
            _ => push_braces(&mut pieces, name)?,
        }
        rest = after;
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

fn push_braces(pieces: &mut Vec<Piece>, name: &str) -> Result<(), String> {
    if matches!(pieces.last(), Some(Piece::Capture(_) | Piece::Anything)) {
        return Err(format!("no text separates `{{{name}}}` from the braces before it"));
    }
    let known = CaptureName::ALL.iter().find(|(known, _)| *known == name);
    pieces.push(match known {
        Some((_, capture)) => Piece::Capture(*capture),
        None if name.is_empty() => Piece::Anything,
        None if name == "ext" => return Err("`{ext}` is only allowed at the end, after a dot".to_owned()),
        None => {
            return Err(format!(
                "unknown `{{{name}}}`: expected {{algorithm}} {{scene}} {{image}} {{group}} {{dataset}} {{ext}} {{}}"
            ));
        }
    });
    Ok(())
}

fn read_parts<'a>(parts: &[Vec<Piece>], path: &'a str) -> Option<Captures<'a>> {
    let mut captures = Captures::default();
    let mut texts = path.split('/');
    for part in parts {
        read_part(part, texts.next()?, &mut captures)?;
    }
    texts.next().is_none().then_some(captures)
}

/// Removes known texts from both ends, then each piece in braces from the right end, as short as the text before it allows. The
/// rightmost position of a text leaves most for the pieces before it, so that matching never has to backtrack.
fn read_part<'a>(part: &[Piece], text: &'a str, captures: &mut Captures<'a>) -> Option<()> {
    let (mut rest, mut begin, mut end) = (text, 0, part.len());
    while let Some(known) = part.get(begin).and_then(|piece| known(piece, captures)) {
        rest = rest.strip_prefix(known)?;
        begin += 1;
    }
    while end > begin {
        end -= 1;
        if let Some(known) = known(&part[end], captures) {
            rest = rest.strip_suffix(known)?;
            continue;
        }
        let from = match part[begin..end].last() {
            None => 0,
            Some(Piece::Text(before)) => split_point(rest, before)?,
            Some(_) => unreachable!("two pieces in braces have text between them"),
        };
        let (before, taken) = rest.split_at(from);
        if taken.is_empty() {
            return None;
        }
        if let Piece::Capture(name) = part[end] {
            captures.set(name, taken);
        }
        rest = before;
    }
    rest.is_empty().then_some(())
}

/// Returns the text that a piece must match, if it is known.
fn known<'p>(piece: &'p Piece, captures: &Captures<'p>) -> Option<&'p str> {
    match piece {
        Piece::Text(text) => Some(text),
        Piece::Capture(name) => captures.get(*name),
        Piece::Anything => None,
    }
}

/// Returns the end of the last `before` in `rest` that has text after it.
fn split_point(rest: &str, before: &str) -> Option<usize> {
    let last = rest.chars().next_back()?;
    Some(rest[..rest.len() - last.len_utf8()].rfind(before)? + before.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(layout: &str, path: &'a str) -> Option<[&'a str; 4]> {
        let captures = Layout::new(layout, "dhq").unwrap().read(path)?;
        Some(CaptureName::ALL.map(|(_, name)| captures.get(name).unwrap_or("")))
    }

    #[test]
    fn layouts_in_use_are_read() {
        let cases = [
            ("{algorithm}/{scene}.png", "AOD-Net/a/b.png", None),
            ("{algorithm}/{scene}.png", "AOD-Net/0001.png", Some(["AOD-Net", "0001", "", ""])),
            ("{algorithm}/{scene}.png", "AOD-Net/0001.PNG", Some(["AOD-Net", "0001", "", ""])),
            ("{algorithm}/{scene}.png", "AOD-Net/0001.jpg", None),
            ("{algorithm}/{scene}.{ext}", "AOD-Net/0001.JPEG", Some(["AOD-Net", "0001", "", ""])),
            ("{algorithm}/{scene}.{ext}", "AOD-Net/0001.txt", None),
            ("{scene}_{algorithm}.png", "a_b_He09.png", Some(["He09", "a_b", "", ""])),
            ("{scene}_{algorithm}.png", "a_b_.png", Some(["b_", "a", "", ""])), // nothing may be empty
            ("{scene}_{algorithm}.png", "_b.png", None),
            ("{scene}_{algorithm}.png", "ab.png", None),
            (
                "{dataset}/{algorithm}/imgs/{image}.png",
                "dhq/dcp/imgs/0005_0.8_0.04.png",
                Some(["dcp", "", "0005_0.8_0.04", ""]),
            ),
            ("{dataset}/{algorithm}/imgs/{image}.png", "other/dcp/imgs/1.png", None),
            ("{scene}_{}_{}", "0005_0.8_0.04", Some(["", "0005", "", ""])),
            (
                "{group}/{scene}/{}_{algorithm}.png",
                "wuhan/wuhan_1/wuhan_1_GFN.png",
                Some(["GFN", "wuhan_1", "", "wuhan"]),
            ),
            ("{group}/gt/{group}_clear.png", "wuhan/gt/wuhan_clear.png", Some(["", "", "", "wuhan"])),
            ("{group}/gt/{group}_clear.png", "wuhan/gt/beijing_clear.png", None),
            (
                "{algorithm}/{scene}_{algorithm}.png",
                "my_net_3/wuhan_1_my_net_3.png",
                Some(["my_net_3", "wuhan_1", "", ""]),
            ),
            ("{group}/{group}_{scene}.png", "a_b/a_b_c_d.png", Some(["", "c_d", "", "a_b"])),
            ("{scene}", "a/b", None),
            ("{scene}-é-{algorithm}", "ü-é-é", Some(["é", "ü", "", ""])),
        ];
        for (layout, path, expected) in cases {
            assert_eq!(read(layout, path), expected, "{layout} over {path}");
        }
    }

    #[test]
    fn tars_are_entered_as_folders() {
        for (layout, tar, is_entered) in [
            ("{algorithm}.tar/{scene}.png", "dcp.tar", true),
            ("{algorithm}.tar/{scene}.png", "dcp/1.tar", false),
            ("{algorithm}.tar/{scene}.png", "dcp.tar.gz", false),
            ("{algorithm}/shard-{}.tar/{scene}.{ext}", "dcp/shard-000123.tar", true),
            ("{algorithm}/shard-{}.tar/{scene}.{ext}", "dcp/old-000123.tar", false),
            ("all.tar/{algorithm}/{scene}.png", "all.tar", true),
            ("{algorithm}/{scene}.png", "dcp.tar", false),
            ("old/{}.tar", "old/dcp.tar", false), // the tar itself
        ] {
            assert_eq!(Layout::new(layout, "d").unwrap().enters(tar), is_entered, "{layout} into {tar}");
        }
        let samples = "{}.tar/{scene}.{algorithm}.png";
        assert_eq!(read(samples, "0.tar/s1.dcp.png"), Some(["dcp", "s1", "", ""]));
        assert_eq!(read(samples, "0.tar/s1.json"), None);
        for (layout, folder) in [("a/b.tar/c/{scene}.png", "a"), ("b.tar/{scene}.png", ""), ("a/b/{scene}.png", "a/b")]
        {
            assert_eq!(Layout::new(layout, "d").unwrap().folder(), folder, "{layout}");
        }
    }

    #[test]
    fn ambiguous_and_unknown_captures_are_refused() {
        for text in [
            "",
            "/a",
            "a//{scene}.png",
            "{scene",
            "scene}",
            "{scene}{algorithm}",
            "{}{}",
            "{algo}",
            "{ext}/{scene}.png",
        ] {
            let error = Layout::new(text, "dhq").unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(Layout::new("{algo}.png", "dhq").unwrap_err().why.contains("{algorithm}"));
    }

    proptest! {
        /// Only the leftmost capture of a part may hold the texts between captures.
        #[test]
        fn what_is_written_is_read_back(
            scene in "[a-z._#é-]{1,8}", algorithm in "[a-zA-Z0-9.+é]{1,8}", image in "[a-z0-9é]{1,5}", group in "[^/]{1,6}",
            at in 0usize..6,
        ) {
            let texts = [
                "{algorithm}/{scene}.png", "{scene}_{algorithm}.{ext}", "{dataset}/{algorithm}/imgs/{image}.png",
                "{group}/{scene}_{algorithm}_{image}", "x{group}/{scene}--{image}-{algorithm}.webp",
                "{group}/{group}_{scene}/{}_{algorithm}.png",
            ];
            let layout = Layout::new(texts[at], "dhq").unwrap();
            let all = Captures {
                algorithm: Some(&algorithm), scene: Some(&scene), image: Some(&image), group: Some(&group),
            };
            let path = layout.write(&all).unwrap();
            let read = layout.read(&path).unwrap();
            for (_, name) in CaptureName::ALL {
                let expected = if layout.captures(name) { all.get(name) } else { None };
                prop_assert_eq!(read.get(name), expected, "{} from {}", texts[at], path);
            }
        }

        #[test]
        fn whatever_the_texts_nothing_panics(layout in "[{}a-z_/.]{0,20}|(\\{(scene|algorithm|image|)\\}[_é.]?){1,4}", path in "[a-zé_./]{0,20}") {
            if let Ok(layout) = Layout::new(&layout, "dhq") {
                let _ = layout.read(&path);
            }
        }
    }
}
