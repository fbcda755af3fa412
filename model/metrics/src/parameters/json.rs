//! Fields of JSON that know their path, so that each error names the field. Numbers are parsed from their text to the
//! nearest double: `serde_json` alone may miss it by a bit.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Characters of a found value that an error shows.
const SHOWN: usize = 40;

/// Why parameters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// The text is not JSON.
    #[error("parameters are not valid JSON")]
    Syntax(#[from] serde_json::Error),
    /// A field that is needed is missing.
    #[error("parameter `{0}` is missing")]
    Missing(String),
    /// A field has a name that no metric uses.
    #[error("parameter `{0}` is unknown")]
    Unknown(String),
    /// A field has another type or length.
    #[error("{field}: expected {expected}, found {found}")]
    Invalid {
        /// Which field.
        field: String,
        /// Its type or length.
        expected: String,
        /// The beginning of its text, or its length.
        found: String,
    },
}

/// A value and its path, for example `niqe.cov[3]`.
pub(super) struct Field<'a> {
    path: String,
    value: &'a RawValue,
}

impl<'a> Field<'a> {
    pub(super) fn root(text: &'a str) -> Result<Self, ParameterError> {
        Ok(Self { path: String::new(), value: serde_json::from_str(text)? })
    }

    /// Returns the members of an object, which has all the needed ones and none but the allowed ones beside.
    pub(super) fn object(&self, needed: &[&str], allowed: &[&str]) -> Result<BTreeMap<&'a str, Self>, ParameterError> {
        let members: BTreeMap<&str, &RawValue> =
            serde_json::from_str(self.value.get()).map_err(|_| self.mistyped("an object"))?;
        let path = |name: &str| if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        if let Some(name) = needed.iter().find(|name| !members.contains_key(*name)) {
            return Err(ParameterError::Missing(path(name)));
        }
        if let Some(name) = members.keys().find(|name| !needed.contains(name) && !allowed.contains(name)) {
            return Err(ParameterError::Unknown(path(name)));
        }
        Ok(members.into_iter().map(|(name, value)| (name, Self { path: path(name), value })).collect())
    }

    pub(super) fn array(&self) -> Result<Vec<Self>, ParameterError> {
        let items: Vec<&RawValue> = serde_json::from_str(self.value.get()).map_err(|_| self.mistyped("an array"))?;
        let field = |(place, value)| Self { path: format!("{}[{place}]", self.path), value };
        Ok(items.into_iter().enumerate().map(field).collect())
    }

    /// Returns an array of `N` numbers.
    pub(super) fn numbers<const N: usize>(&self) -> Result<[f64; N], ParameterError> {
        let numbers = self.array()?.iter().map(Self::number).collect::<Result<Vec<_>, _>>()?;
        let count = numbers.len();
        numbers.try_into().map_err(|_| self.invalid(format!("{N} numbers"), count.to_string()))
    }

    pub(super) fn number(&self) -> Result<f64, ParameterError> {
        // JSON has no infinite numbers, but 1e999 is read as one.
        let number: Option<f64> = self.value.get().parse().ok();
        number.filter(|number| number.is_finite()).ok_or_else(|| self.mistyped("a finite number"))
    }

    fn mistyped(&self, expected: &str) -> ParameterError {
        self.invalid(expected.to_owned(), self.value.get().chars().take(SHOWN).collect())
    }

    pub(super) fn invalid(&self, expected: String, found: String) -> ParameterError {
        let field = if self.path.is_empty() { "parameters".to_owned() } else { format!("parameter `{}`", self.path) };
        ParameterError::Invalid { field, expected, found }
    }
}
