//! The environment variables of one prefix. An empty variable counts as unset, and white space around a value is removed:
//! secrets that come from files end with a line break.

use std::ffi::OsString;
use std::str::FromStr;

use crate::store::fault::StoreFault;

/// Environment variables, sorted by name.
pub(super) struct EnvVariables(Vec<(String, OsString)>);

impl EnvVariables {
    /// Selects the variables whose names start with `prefix`.
    pub(super) fn with_prefix(prefix: &str, environment: impl Iterator<Item = (OsString, OsString)>) -> EnvVariables {
        let select = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(prefix))?;
            let is_empty = value.to_str().is_some_and(|value| value.trim().is_empty());
            (!is_empty).then_some((name, value))
        };
        let mut all: Vec<(String, OsString)> = environment.filter_map(select).collect();
        all.sort();
        EnvVariables(all)
    }

    /// Returns a variable's value, if it is set to text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.to_str()).map(str::trim)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// Returns the first of the names that is set.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        let on = ["1", "true", "on", "yes", "y"];
        self.get(name).is_some_and(|value| on.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// Returns the variables that a client knows, as name, key and value. The others belong to other programs.
    ///
    /// # Errors
    /// If a value is not UTF-8, or has a control character.
    pub(super) fn known<K: FromStr>(&self) -> Result<Vec<(String, K, String)>, StoreFault> {
        let mut known = Vec::new();
        for (name, value) in &self.0 {
            let Ok(key) = name.to_ascii_lowercase().parse::<K>() else {
                continue;
            };
            let Some(value) = value.to_str() else {
                return Err(StoreFault::setup(format!("{name} is not UTF-8"))
                    .with_hint(format!("unset {name}, or set it again")));
            };
            // Only a JSON value may have several lines.
            if value.trim().chars().any(char::is_control) && !value.trim_start().starts_with('{') {
                return Err(StoreFault::setup(format!("{name} has a line break or another control character in it")));
            }
            known.push((name.clone(), key, value.trim().to_owned()));
        }
        Ok(known)
    }
}
