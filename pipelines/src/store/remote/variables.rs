//! The environment's variables of one prefix. A variable that is empty counts as one that is not set, and white space around a
//! value as none: secrets that come from files end with a line break.

use std::ffi::OsString;
use std::str::FromStr;

use super::super::fault::StoreFault;

/// Variables by their names, sorted.
pub(super) struct Variables(Vec<(String, OsString)>);

impl Variables {
    /// Those of an environment whose names begin so.
    pub(super) fn of(prefix: &str, environment: impl Iterator<Item = (OsString, OsString)>) -> Variables {
        let own = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(prefix))?;
            let is_empty = value.to_str().is_some_and(|value| value.trim().is_empty());
            (!is_empty).then_some((name, value))
        };
        let mut all: Vec<(String, OsString)> = environment.filter_map(own).collect();
        all.sort();
        Variables(all)
    }

    /// A variable's value, if it is set to text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.to_str()).map(str::trim)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// The first of these that is set.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        let on = ["1", "true", "on", "yes", "y"];
        self.get(name).is_some_and(|value| on.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// Those that a client knows: name, key and value. The others are of other programs.
    ///
    /// # Errors
    /// A value that is no text, which the client cannot take.
    pub(super) fn known<K: FromStr>(&self) -> Result<Vec<(String, K, String)>, StoreFault> {
        let mut known = Vec::new();
        for (name, value) in &self.0 {
            let Ok(key) = name.to_ascii_lowercase().parse::<K>() else {
                continue;
            };
            let Some(value) = value.to_str() else {
                return Err(
                    StoreFault::setup(format!("{name} is not UTF-8")).hint_at(format!("unset {name}, or set it again"))
                );
            };
            // JSON of several lines is the one value that may have them.
            if value.trim().chars().any(char::is_control) && !value.trim_start().starts_with('{') {
                return Err(StoreFault::setup(format!("{name} has a line break or another control character in it")));
            }
            known.push((name.clone(), key, value.trim().to_owned()));
        }
        Ok(known)
    }
}
