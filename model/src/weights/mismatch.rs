//! How a set of tensors differs from the set that a model needs: names, shapes and types, all at once.
//!
//! It knows no model and reads no values. A set without a difference is complete: nothing missing, nothing more.

use std::collections::BTreeMap;
use std::fmt;

/// Names listed of each kind of difference: enough to see the pattern.
const NAMES_MAX: usize = 5;

/// A name with the shape that it must have.
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

/// A tensor that is there, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub(crate) shape: Vec<usize>,
    /// As it is called in a message.
    pub(crate) dtype: String,
    /// Whether values of this type are read.
    pub(crate) readable: bool,
}

/// What is wrong with a set of tensors; at least one of the lists has an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that are not there.
    pub missing: Vec<String>,
    /// Names that should not be there.
    pub extra: Vec<String>,
    /// `name is (2, 3), not (3, 2)`
    pub misshapen: Vec<String>,
    /// `name is I32`
    pub unreadable: Vec<String>,
}

impl Mismatch {
    /// Compares what is there with what must be.
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

/// `(2, 3)`; `()` for a scalar.
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
