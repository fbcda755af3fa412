//! The values that a pickle makes. They refer to each other by number, so that a value that contains itself is no danger.

use super::tensor_ref::{Storage, TensorRef};

/// A value's number.
pub(super) type Id = u32;

/// A value.
pub(super) enum Node<'a> {
    Int(i64),
    Bool(bool),
    Str(&'a str),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or a function, by module and name.
    Global(&'a str, &'a str),
    Object(Box<Object>),
    Storage(Box<Storage>),
    Tensor(Box<TensorRef>),
    /// What nobody looks into: none, fractions, numbers above 64 bits, bytes, sets.
    Opaque,
}

/// An instance of a class, of which nothing is known.
#[derive(Default)]
pub(super) struct Object {
    /// What it was built with; its attributes, where that is a dictionary.
    pub(super) state: Option<Id>,
    /// What was set by key.
    pub(super) items: Vec<(Id, Id)>,
}

/// All values of a pickle.
pub(super) struct Pickle<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) root: Id,
    /// Bytes that it takes.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }
}
