//! The values that a pickle makes. They refer to each other by number, so that a value that contains itself is no danger.

use super::tensor_ref::{Storage, TensorRef};

/// The number of a value.
pub(super) type Id = u32;

/// A value that a pickle makes.
pub(super) enum Node<'a> {
    Int(i64),
    Bool(bool),
    Str(&'a str),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or a function, by module and name.
    Global(&'a str, &'a str),
    Object(Box<PickledObject>),
    Storage(Box<Storage>),
    Tensor(Box<TensorRef>),
    /// A value that is never read: none, a fraction, a number above 64 bits, bytes, a set.
    Opaque,
}

/// An instance of an unknown class.
#[derive(Default)]
pub(super) struct PickledObject {
    /// The state that it was built with; its attributes if that is a dictionary.
    pub(super) state: Option<Id>,
    /// The items that were set by key.
    pub(super) items: Vec<(Id, Id)>,
}

/// All values of a pickle.
pub(super) struct Pickle<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) root: Id,
    /// The pickle's length in bytes.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }
}
