//! Matches labels to pictures. A label matches if it can mean only one picture: by the end of a path, in any Unicode form and
//! with any extension. Otherwise the label stays without a picture, and a hint says what the definition would have to allow.

use std::collections::{HashMap, HashSet};

use crate::dataset::definition::{Definition, Ignore};
use crate::dataset::found_pictures::NameInterner;
use crate::dataset::path_index::{PathIndex, PathMatch, plain};
use crate::dataset::picture::Picture;
use crate::file_kinds::is_picture;
use crate::names::nfc;

/// Labels whose parts are compared with all pictures for a hint: the first ones usually show the cause for all.
const EXPLAINED_MAX: usize = 20;

/// The picture that a label names.
#[derive(Clone, Debug)]
pub(super) enum LabelTarget {
    Path(String),
    Scene { scene: String, algorithm: String, group: Option<String> },
}

impl LabelTarget {
    pub(super) fn text(&self) -> String {
        match self {
            LabelTarget::Path(path) => path.clone(),
            LabelTarget::Scene { scene, algorithm, group: None } => format!("{scene} by {algorithm}"),
            LabelTarget::Scene { scene, algorithm, group: Some(group) } => format!("{group}/{scene} by {algorithm}"),
        }
    }
}

/// The differences between names that are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leniency {
    extension: bool,
    zeros: bool,
    case: bool,
}

impl Leniency {
    fn applied(self, text: &str) -> String {
        let mut text = nfc(text).into_owned();
        if self.extension && is_picture(&text) {
            text.truncate(text.rfind('.').unwrap_or(text.len()));
        }
        if self.zeros {
            text = without_zeros(&text);
        }
        if self.case { text.to_lowercase() } else { text }
    }
}

/// Removes leading zeros of numbers, and the `.0` of a whole number that was read as a real one.
fn without_zeros(text: &str) -> String {
    let whole = text.strip_suffix(".0").filter(|whole| whole.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or(text);
    let mut plain = String::with_capacity(whole.len());
    let mut characters = whole.chars().peekable();
    let mut is_in_number = false;
    while let Some(character) = characters.next() {
        let is_more = characters.peek().is_some_and(char::is_ascii_digit);
        if character == '0' && !is_in_number && is_more {
            continue;
        }
        is_in_number = character.is_ascii_digit();
        plain.push(character);
    }
    plain
}

/// Counts of labels that matched although their names differ from the pictures' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MatchStats {
    without_extension: u64,
    other_extension: u64,
    other_case_of_extension: u64,
    other_unicode_form: u64,
    ignoring: u64,
}

impl MatchStats {
    /// Returns a note for each difference that occurred.
    pub(super) fn notes(&self, ignore: &[Ignore]) -> Vec<String> {
        let ignored = ignore.iter().map(|ignore| match ignore {
            Ignore::Zeros => "leading zeros",
            Ignore::Case => "upper and lower case",
        });
        let ignored = ignored.collect::<Vec<_>>().join(" and ");
        let all = [
            (self.without_extension, "without their extension".to_owned()),
            (self.other_extension, "though they name another extension".to_owned()),
            (self.other_case_of_extension, "though their extension is in another case".to_owned()),
            (self.other_unicode_form, "though their names are in another Unicode form".to_owned()),
            (self.ignoring, format!("without regard to {ignored}")),
        ];
        all.into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, how)| format!("{count} labels matched {how}"))
            .collect()
    }
}

/// Finds the pictures that labels name.
pub(super) struct Matcher<'d> {
    definition: &'d Definition,
    /// The pictures, sorted by algorithm and scene.
    pictures: &'d [Picture],
}

impl<'d> Matcher<'d> {
    pub(super) fn new(definition: &'d Definition, pictures: &'d [Picture]) -> Matcher<'d> {
        Matcher { definition, pictures }
    }

    /// Finds the picture of each label, first with equal names and then with the ignored differences.
    pub(super) fn find(&self, subjects: &[&LabelTarget], ignore: &[Ignore]) -> (Vec<PathMatch>, MatchStats) {
        let mut stats = MatchStats::default();
        let mut meant = self.find_by(subjects, Leniency::default());
        for (subject, meant) in subjects.iter().zip(&meant) {
            stats.other_unicode_form += u64::from(self.is_other_unicode_form(subject, *meant));
        }
        let extension = Leniency { extension: true, ..Leniency::default() };
        let again = |meant: &mut Vec<PathMatch>, leniency: Leniency, count: &mut dyn FnMut(&LabelTarget, u32)| {
            let unmatched: Vec<usize> = (0..meant.len()).filter(|index| meant[*index] == PathMatch::None).collect();
            if unmatched.is_empty() {
                return;
            }
            let again = self.find_by(&unmatched.iter().map(|index| subjects[*index]).collect::<Vec<_>>(), leniency);
            for (index, found) in unmatched.into_iter().zip(again) {
                if let PathMatch::One(number) = found {
                    count(subjects[index], number);
                }
                meant[index] = found;
            }
        };
        again(&mut meant, extension, &mut |subject, number| self.count_extension(subject, number, &mut stats));
        if !ignore.is_empty() {
            let (zeros, case) = (ignore.contains(&Ignore::Zeros), ignore.contains(&Ignore::Case));
            again(&mut meant, Leniency { extension: true, zeros, case }, &mut |_, _| stats.ignoring += 1);
        }
        (meant, stats)
    }

    fn count_extension(&self, subject: &LabelTarget, number: u32, found: &mut MatchStats) {
        let (LabelTarget::Path(text) | LabelTarget::Scene { scene: text, .. }) = subject;
        let extension = |path: &str| path.rsplit_once('.').map(|(_, extension)| extension.to_owned());
        let picture = extension(&self.pictures[number as usize].image);
        let count = match extension(text).filter(|_| is_picture(text)) {
            None => &mut found.without_extension,
            Some(own) if picture.is_some_and(|picture| picture.eq_ignore_ascii_case(&own)) => {
                &mut found.other_case_of_extension
            }
            Some(_) => &mut found.other_extension,
        };
        *count += 1;
    }

    fn is_other_unicode_form(&self, subject: &LabelTarget, meant: PathMatch) -> bool {
        let PathMatch::One(number) = meant else { return false };
        let picture = &self.pictures[number as usize];
        let (text, own) = match subject {
            LabelTarget::Path(path) => (plain(path), &*picture.image),
            LabelTarget::Scene { scene, .. } => (scene.clone(), &*picture.scene),
        };
        let is_decomposed = |text: &str| nfc(text) != text;
        let is_same = own.ends_with(&*text) || text.ends_with(own);
        !is_same && (is_decomposed(&text) || is_decomposed(own))
    }

    fn find_by(&self, subjects: &[&LabelTarget], leniency: Leniency) -> Vec<PathMatch> {
        let is_path = |subject: &&&LabelTarget| matches!(subject, LabelTarget::Path(_));
        let keys: Vec<String> = match subjects.iter().any(|subject| is_path(&subject)) {
            true => self.pictures.iter().map(|picture| leniency.applied(&picture.image)).collect(),
            false => Vec::new(),
        };
        let paths = PathIndex::new(keys.iter().map(String::as_str));
        let scenes = match subjects.iter().all(|subject| is_path(&subject)) {
            true => SceneIndex::default(),
            false => SceneIndex::new(self.pictures, leniency),
        };
        let mut names = NameInterner::new(self.definition);
        let find = |subject: &&LabelTarget| match subject {
            LabelTarget::Path(path) => find_path(&paths, path, leniency),
            LabelTarget::Scene { scene, algorithm, group } => {
                // An algorithm's name in the table may be an alias. An invalid name matches no algorithm.
                let algorithm =
                    names.algorithm(algorithm, "").map_or_else(|_| algorithm.clone(), |name| name.to_string());
                scenes.find(self.pictures, leniency, (scene, &algorithm, group.as_deref()))
            }
        };
        subjects.iter().map(find).collect()
    }

    /// Returns the likely reason why these labels have no picture, and what the user can do about it. `accepting` says how
    /// the differences with these names are accepted.
    pub(super) fn explain(&self, subjects: &[&LabelTarget], accepting: impl Fn(&[&str]) -> String) -> Option<String> {
        let zeros = Leniency { extension: true, zeros: true, case: false };
        let case = Leniency { extension: true, zeros: false, case: true };
        let both = Leniency { extension: true, zeros: true, case: true };
        let causes = [
            (zeros, "leading zeros, which spreadsheets take away", &["zeros"][..]),
            (case, "upper and lower case", &["case"]),
            (both, "leading zeros and upper and lower case", &["zeros", "case"]),
        ];
        for (leniency, differ, options) in causes {
            let meant = self.find_by(subjects, leniency);
            let mut fits = subjects.iter().zip(&meant).filter_map(|(subject, meant)| match meant {
                PathMatch::One(number) => Some((subject, *number)),
                _ => None,
            });
            if let Some((subject, number)) = fits.next() {
                let (count, image) = (1 + fits.count(), &self.pictures[number as usize].image);
                let name = self.own_text(subject, number);
                return Some(format!(
                    "{count} of them differ from pictures in {differ} (`{}` and `{name}` of {image}): {}",
                    subject.text(),
                    accepting(options)
                ));
            }
        }
        self.explain_parts(subjects)
    }

    fn own_text(&self, subject: &LabelTarget, number: u32) -> String {
        let picture = &self.pictures[number as usize];
        match subject {
            LabelTarget::Path(_) => picture.image.to_string(),
            LabelTarget::Scene { .. } => format!("{} by {}", picture.scene_key(), picture.algorithm),
        }
    }

    /// Explains labels of which one part is right. A picture that is only missing needs no explanation.
    fn explain_parts(&self, subjects: &[&LabelTarget]) -> Option<String> {
        let leniency = Leniency { extension: true, zeros: true, case: true };
        let file = |path: &str| leniency.applied(path.rsplit('/').next().unwrap_or(path));
        let by_file: HashMap<String, &str> =
            self.pictures.iter().map(|picture| (file(&picture.image), &*picture.image)).collect();
        let known: HashSet<&str> = self.pictures.iter().flat_map(|picture| folders(&picture.image)).collect();
        let mut is_any_only_absent = false;
        for subject in subjects.iter().take(EXPLAINED_MAX) {
            match subject {
                LabelTarget::Path(path) => {
                    let path = plain(path);
                    let image = by_file.get(&file(&path));
                    let is_known = folders(&path).last().is_some_and(|folder| known.contains(folder));
                    match image {
                        Some(image) if !is_known => {
                            return Some(format!(
                                "`{path}` may be {image} in another folder: folders count as far as both have them"
                            ));
                        }
                        _ => is_any_only_absent |= is_known,
                    }
                }
                LabelTarget::Scene { scene, algorithm, .. } => {
                    let is_scene = |picture: &&Picture| leniency.applied(&picture.scene) == leniency.applied(scene);
                    let is_algorithm = |picture: &&Picture| picture.algorithm.as_str() == algorithm.as_str();
                    let known_algorithm = self.pictures.iter().find(is_algorithm);
                    match (known_algorithm, self.pictures.iter().any(|picture| is_scene(&picture))) {
                        (Some(_), true) => is_any_only_absent = true,
                        (Some(first), false) => {
                            return Some(format!(
                                "`{algorithm}` has no scene `{scene}`; it has `{}`",
                                first.scene_key()
                            ));
                        }
                        (None, true) => {
                            return Some(format!(
                                "there is a scene `{scene}` and no algorithm `{algorithm}`; add an alias: [algorithms] \
                                 \"{algorithm}\" = \"{}\"",
                                self.pictures[0].algorithm
                            ));
                        }
                        (None, false) => {}
                    }
                }
            }
        }
        let first = self.pictures.first().filter(|_| !is_any_only_absent)?;
        let like = match subjects.first()? {
            LabelTarget::Path(_) => first.image.to_string(),
            LabelTarget::Scene { .. } => format!("{} by {}", first.scene_key(), first.algorithm),
        };
        Some(format!("a picture is `{like}`"))
    }
}

/// Iterates over the folders of a path, from the first to the last.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/').map_or("", |(folders, _)| folders).split('/').filter(|folder| !folder.is_empty())
}

/// Finds the picture of a path. An address is also looked up without its escapes and its query.
fn find_path(paths: &PathIndex<'_>, path: &str, leniency: Leniency) -> PathMatch {
    let found = paths.find(&leniency.applied(path));
    if found != PathMatch::None || !path.contains("://") {
        return found;
    }
    let Ok(url) = url::Url::parse(path.trim()) else { return found };
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
    paths.find(&leniency.applied(&path))
}

/// Indices of pictures by algorithm and scene.
#[derive(Default)]
struct SceneIndex {
    numbers: HashMap<(String, String), Vec<u32>>,
}

impl SceneIndex {
    fn new(pictures: &[Picture], leniency: Leniency) -> SceneIndex {
        let mut scenes = SceneIndex::default();
        for (number, picture) in (0..).zip(pictures) {
            let key = (algorithm(picture.algorithm.as_str(), leniency), leniency.applied(&picture.scene));
            scenes.numbers.entry(key).or_default().push(number);
        }
        scenes
    }

    fn find(&self, pictures: &[Picture], leniency: Leniency, target: (&str, &str, Option<&str>)) -> PathMatch {
        let (scene, algorithm_name, group) = target;
        let algorithm_name = algorithm(algorithm_name, leniency);
        let numbers = |scene: &str| self.numbers.get(&(algorithm_name.clone(), leniency.applied(scene)));
        let is_in = |number: &u32, group: &str| {
            let own = pictures[*number as usize].scene_group.as_deref();
            own.is_some_and(|own| leniency.applied(own) == leniency.applied(group))
        };
        let one = |found: Vec<u32>| match found[..] {
            [] => PathMatch::None,
            [number] => PathMatch::One(number),
            _ => PathMatch::Ambiguous,
        };
        match (numbers(scene), group) {
            (Some(numbers), None) => one(numbers.clone()),
            (Some(numbers), Some(group)) => {
                one(numbers.iter().copied().filter(|number| is_in(number, group)).collect())
            }
            // `O-HAZE/01`, the form in which scenes are shown.
            (None, None) => match scene.rsplit_once('/') {
                Some((group, scene)) => self.find(pictures, leniency, (scene, &algorithm_name, Some(group))),
                None => PathMatch::None,
            },
            (None, Some(_)) => PathMatch::None,
        }
    }
}

fn algorithm(name: &str, leniency: Leniency) -> String {
    Leniency { extension: false, ..leniency }.applied(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_taken_from_numbers_only() {
        for (text, plain) in [
            ("0001", "1"),
            ("s0012_0.80", "s12_0.80"),
            ("0", "0"),
            ("000", "0"),
            ("100", "100"),
            ("1.0", "1"),
            ("a0b", "a0b"),
            ("dcp/007.png", "dcp/7.png"),
        ] {
            assert_eq!(without_zeros(text), plain, "{text}");
        }
    }
}
