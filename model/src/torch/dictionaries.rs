//! Finds the dictionaries of tensors in a pickle's values, wherever they lie, and modules' tensors by their dotted
//! names.
//!
//! Each value is visited once, so that one dictionary under two keys counts as one, and the work does not exceed the
//! pickle's.

use std::collections::{BTreeMap, HashSet};

use super::error::TorchError;
use super::tensor_ref::TensorRef;
use super::value::{Id, Node, Pickle};

/// Deeper than any module of a published model.
const DEPTH_MAX: usize = 64;
/// Bytes of all tensors' names together: a checkpoint of a thousand tensors with its optimizer has some 200 KB.
const NAMES_BYTES_MAX: usize = 64 << 20;
/// An entry with a longer key is ignored.
const KEY_BYTES_MAX: usize = 4096;

/// Tensors that lie in one dictionary.
#[derive(Clone, Debug)]
pub(crate) struct Dictionary {
    /// The keys that lead to it from the root, separated by dots; empty for the root itself.
    pub(crate) path: String,
    pub(crate) tensors: BTreeMap<String, TensorRef>,
}

/// The step from a value's parent to the value.
#[derive(Clone, Copy)]
enum PathStep<'a> {
    Key(&'a str),
    Index(i64),
    /// One of a module's own dictionaries, which do not show in names.
    Hidden,
}

/// A value that is visited.
#[derive(Clone, Copy)]
struct Visit<'a> {
    id: Id,
    parent: Option<usize>,
    step: PathStep<'a>,
    depth: usize,
    /// The visit whose dictionary its tensors belong to.
    root: usize,
    /// Whether objects below are parts of the same module.
    is_module: bool,
}

/// Returns all dictionaries with tensors, in breadth-first order from the root.
pub(super) fn find(pickle: &Pickle<'_>) -> Result<Vec<Dictionary>, TorchError> {
    let mut walk = Walk { pickle, visits: Vec::new(), seen: HashSet::new(), found: BTreeMap::new(), names_bytes: 0 };
    walk.visits.push(Visit {
        id: pickle.root,
        parent: None,
        step: PathStep::Hidden,
        depth: 0,
        root: 0,
        is_module: false,
    });
    walk.seen.insert(pickle.root);
    let mut next = 0;
    while next < walk.visits.len() {
        walk.visit(next)?;
        next += 1;
    }
    let Walk { visits, found, .. } = walk;
    Ok(found.into_iter().map(|(root, tensors)| Dictionary { path: path(&visits, root, None), tensors }).collect())
}

struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    visits: Vec<Visit<'a>>,
    seen: HashSet<Id>,
    /// Tensors by the visit whose dictionary they belong to.
    found: BTreeMap<usize, BTreeMap<String, TensorRef>>,
    names_bytes: usize,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, index: usize) -> Result<(), TorchError> {
        let pickle = self.pickle;
        let visit = self.visits[index];
        if visit.depth > DEPTH_MAX {
            return Ok(());
        }
        match pickle.node(visit.id) {
            Node::Tuple(ids) => self.visit_list(index, ids),
            Node::List(ids) => self.visit_list(index, ids),
            Node::Dict(pairs) => return self.visit_pairs(index, pairs),
            Node::Object(object) => {
                if let Some(state) = object.state {
                    self.enqueue(index, state, PathStep::Hidden, true);
                }
                return self.visit_pairs(index, &object.items);
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_list(&mut self, index: usize, ids: &[Id]) {
        for (i, id) in ids.iter().enumerate() {
            self.enqueue(index, *id, PathStep::Index(i as i64), false);
        }
    }

    fn visit_pairs(&mut self, index: usize, pairs: &[(Id, Id)]) -> Result<(), TorchError> {
        let pickle = self.pickle;
        let is_module = self.visits[index].is_module;
        for (key, value) in pairs {
            let key = match pickle.node(*key) {
                Node::Str(key) if key.len() <= KEY_BYTES_MAX => PathStep::Key(key),
                Node::Int(key) => PathStep::Index(*key),
                _ => continue,
            };
            match (pickle.node(*value), key) {
                (Node::Tensor(tensor), PathStep::Key(key)) => self.add(index, key, tensor)?,
                (Node::Dict(_), PathStep::Key("_parameters" | "_buffers" | "_modules")) if is_module => {
                    self.enqueue(index, *value, PathStep::Hidden, true);
                }
                (Node::Object(_), step) => self.enqueue(index, *value, step, is_module),
                (_, step) => self.enqueue(index, *value, step, false),
            }
        }
        Ok(())
    }

    /// Queues a value; `is_same` if it is a part of the module that `index` belongs to.
    fn enqueue(&mut self, index: usize, id: Id, step: PathStep<'a>, is_same: bool) {
        let holds = matches!(self.pickle.node(id), Node::Tuple(_) | Node::List(_) | Node::Dict(_) | Node::Object(_));
        if holds && self.seen.insert(id) {
            let root = if is_same { self.visits[index].root } else { self.visits.len() };
            let depth = self.visits[index].depth + 1;
            self.visits.push(Visit { id, parent: Some(index), step, depth, root, is_module: is_same });
        }
    }

    fn add(&mut self, index: usize, key: &str, tensor: &TensorRef) -> Result<(), TorchError> {
        let root = self.visits[index].root;
        let mut name = path(&self.visits, index, Some(root));
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(key);
        self.names_bytes += name.len();
        if self.names_bytes > NAMES_BYTES_MAX {
            return Err(TorchError::Limit(format!("the names of its tensors take more than {NAMES_BYTES_MAX} bytes")));
        }
        // Python's dictionaries keep the last of two equal keys.
        self.found.entry(root).or_default().insert(name, tensor.clone());
        Ok(())
    }
}

/// Returns the keys that lead to a visit, from the root or from another visit.
fn path(visits: &[Visit<'_>], mut index: usize, from: Option<usize>) -> String {
    let mut keys = Vec::new();
    while Some(index) != from {
        let Visit { parent: Some(parent), step, .. } = visits[index] else { break };
        match step {
            PathStep::Key(key) => keys.push(key.to_owned()),
            PathStep::Index(i) => keys.push(i.to_string()),
            PathStep::Hidden => {}
        }
        index = parent;
    }
    keys.reverse();
    keys.join(".")
}
