//! How a set of tensors differs from the set that a model needs: all names, shapes and types at once.
//!
//! It knows no model and reads no values. A set without a difference is complete: no tensor is missing, none is
//! unexpected.

use std::collections::BTreeMap;
use std::fmt;

/// Names listed for each kind of difference, enough to see the pattern.
const NAMES_MAX: usize = 5;

/// A tensor that a model needs: its name and its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpectedTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

impl ExpectedTensor {
    pub(crate) fn new(name: impl Into<String>, shape: &[usize]) -> ExpectedTensor {
        ExpectedTensor { name: name.into(), shape: shape.to_vec() }
    }
}

/// The properties of a tensor that are compared.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub(crate) shape: Vec<usize>,
    /// The name of the type in messages.
    pub(crate) dtype: String,
    /// Whether values of this type can be read.
    pub(crate) readable: bool,
}

/// The differences of a set of tensors; at least one of the lists has an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Names of missing tensors.
    pub missing: Vec<String>,
    /// Names of unexpected tensors.
    pub extra: Vec<String>,
    /// Tensors of a wrong shape, as `name is (2, 3), not (3, 2)`.
    pub misshapen: Vec<String>,
    /// Tensors of a type that cannot be read, as `name is I32`.
    pub unreadable: Vec<String>,
}

impl Mismatch {
    /// Compares the tensors of a file with those that a model needs.
    pub(crate) fn compare<'a>(
        expected: impl IntoIterator<Item = &'a ExpectedTensor>,
        mut found: BTreeMap<&str, TensorInfo>,
    ) -> Result<(), Mismatch> {
        let mut mismatch = Mismatch::default();
        for ExpectedTensor { name, shape } in expected {
            match found.remove(name.as_str()) {
                None => mismatch.missing.push(name.clone()),
                Some(tensor) if !tensor.readable => mismatch.unreadable.push(format!("{name} is {}", tensor.dtype)),
                Some(tensor) if tensor.shape != *shape => {
                    mismatch.misshapen.push(format!("{name} is {}, not {}", dims(&tensor.shape), dims(shape)));
                }
                Some(_) => {}
            }
        }
        mismatch.extra = found.into_keys().map(str::to_owned).collect();
        if mismatch == Mismatch::default() { Ok(()) } else { Err(mismatch) }
    }
}

/// Formats a shape as `(2, 3)`; a scalar's is `()`.
pub(crate) fn dims(shape: &[usize]) -> String {
    let numbers: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", numbers.join(", "))
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kinds = [
            ("missing", &self.missing),
            ("unexpected", &self.extra),
            ("of another shape", &self.misshapen),
            ("of a type other than F32, F16 and BF16", &self.unreadable),
        ];
        let mut separator = "";
        for (kind, names) in kinds.iter().filter(|(_, names)| !names.is_empty()) {
            let shown = names[..names.len().min(NAMES_MAX)].join(", ");
            let rest = if names.len() > NAMES_MAX { ", ..." } else { "" };
            write!(f, "{separator}{} {kind}: {shown}{rest}", names.len())?;
            separator = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for Mismatch {}
