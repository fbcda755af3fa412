//! Names of data sets, algorithms, runs and studies, as types. A valid name can be a folder, an object key, a Hive partition
//! and a word on a command line without being escaped.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick};

/// Maximum length of a name in bytes. A file name made from it stays below the limits of file systems.
const NAME_BYTES_MAX: usize = 100;

/// A text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid name for {what}: expected 1 to {NAME_BYTES_MAX} letters, digits and . _ + -, starting with a letter or digit"
)]
pub struct NameError {
    /// What the name is for, with its article.
    pub what: &'static str,
    /// The text that was given.
    pub text: String,
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let good = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inside);
    if good { Ok(()) } else { Err(NameError { what, text: text.to_owned() }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($what, text).map(|()| $type(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a data set. Cheap to clone.
    DatasetName,
    "a data set"
);
name!(
    /// The name of a dehazing algorithm. Cheap to clone.
    AlgorithmName,
    "an algorithm"
);
name!(
    /// The name of a metric. Cheap to clone.
    MetricName,
    "a metric"
);
name!(
    /// The name of a run. Cheap to clone.
    RunName,
    "a run"
);

name!(
    /// The name of a study. Cheap to clone.
    StudyName,
    "a study"
);

/// Returns `text` in Unicode's normal form NFC, in which names are compared: macOS writes `é` as `e` and an accent, Linux and
/// Windows as one character. Addresses are not normalized.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

/// Returns whether a text that is equal in NFC may be written differently.
pub(crate) fn has_other_forms(text: &str) -> bool {
    !text.is_ascii() && is_nfd_quick(text.chars()) != IsNormalized::Yes
}

/// Returns the names in `all` that are similar to `text`, the most similar first, at most three.
pub fn similar_names<'a>(text: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let folded = text.to_lowercase();
    let mut scored: Vec<(f64, &str)> = all
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// Returns the end of an error about an unknown name: the similar names that exist, or nothing.
pub fn suggestion(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; similar names: {}", similar.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_escape_are_refused() {
        for text in ["", ".", "..", "a/b", "a b", "a=b", "-x", "é", &"a".repeat(101)] {
            assert!(text.parse::<RunName>().is_err(), "{text}");
        }
        for text in ["dcp", "AOD-Net", "He09", "2021.v1+x_y", &"a".repeat(100)] {
            assert_eq!(text.parse::<AlgorithmName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_of_two_unicode_forms_are_one() {
        assert_eq!(nfc("caf\u{65}\u{301}/\u{1112}\u{1161}\u{11ab}"), "caf\u{e9}/\u{d55c}");
        for text in ["", "plain.png", "caf\u{e9}", "\u{96fe}", "\u{d55c}"] {
            assert!(matches!(nfc(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert!(has_other_forms("caf\u{e9}") && has_other_forms("\u{d55c}"));
        assert!(!has_other_forms("plain.png") && !has_other_forms("\u{96fe}"));
    }

    #[test]
    fn similar_names_are_found_in_any_case() {
        let all = ["dehazeformer", "AOD-Net", "dcp", "DCPDN"];
        assert_eq!(similar_names("dehazformer", all), ["dehazeformer"]);
        assert_eq!(similar_names("aodnet", all), ["AOD-Net"]);
        assert_eq!(similar_names("dcpd", all), ["DCPDN", "dcp"]);
        assert!(similar_names("xyz", all).is_empty());
    }
}
