//! A pickle's opcodes, of protocols 0 to 5, read into values. Nothing that a pickle names is ever called.
//!
//! What PyTorch uses to write dictionaries and tensors is understood by its name; every other class becomes an object of which
//! nothing is known but what was put into it. An opcode makes at most one value, texts are slices of the file, and values refer
//! to each other by number: so memory grows with the number of opcodes, which is limited, and not with what they stand for. No
//! function here calls itself.

use std::collections::HashMap;

use super::TorchError;
use super::tensors::{self, Storage, TensorRef};

/// A checkpoint of a thousand tensors with its optimizer has some 100,000. At most 60 bytes are kept for each.
const OPCODES_MAX: usize = 4_000_000;

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
    /// The pickle at the beginning of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Pickle<'a>, TorchError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
        };
        for _ in 0..OPCODES_MAX {
            let opcode = machine.byte()?;
            if opcode == b'.' {
                let root = machine.pop()?;
                return Ok(Pickle { nodes: machine.nodes, root, len: machine.at });
            }
            machine.step(opcode)?;
        }
        Err(TorchError::Limit(format!("its pickle has more than {OPCODES_MAX} opcodes")))
    }

    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Places in the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Pairs that were taken over from other values: more than one for an opcode, so they are counted.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn wrong(&self, why: &'static str) -> TorchError {
        TorchError::Pickle { at: self.at, why }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], TorchError> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() as u64 {
            return Err(self.wrong("it ends in the middle of a value"));
        }
        self.at += len as usize;
        Ok(&rest[..len as usize])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TorchError> {
        Ok(self.take(N as u64)?.try_into().expect("as many bytes as were taken"))
    }

    fn byte(&mut self) -> Result<u8, TorchError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, TorchError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, TorchError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A text up to the end of its line.
    fn line(&mut self) -> Result<&'a str, TorchError> {
        let rest = &self.bytes[self.at..];
        // Names and numbers: what is longer is no pickle.
        let window = &rest[..rest.len().min(1 << 16)];
        let end = window.iter().position(|byte| *byte == b'\n').ok_or_else(|| self.wrong("a line has no end"))?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| self.wrong("a name is not UTF-8"))
    }

    fn push(&mut self, node: Node<'a>) {
        let id = self.add(node);
        self.stack.push(id);
    }

    fn add(&mut self, node: Node<'a>) -> Id {
        self.nodes.push(node);
        // At most one for each opcode, of which there are fewer.
        (self.nodes.len() - 1) as Id
    }

    fn text(&mut self, len: u64) -> Result<(), TorchError> {
        // Python's texts may hold halves of surrogate pairs, which are no UTF-8: no name that is looked for does.
        let node = std::str::from_utf8(self.take(len)?).map_or(Node::Opaque, Node::Str);
        self.push(node);
        Ok(())
    }

    fn skipped(&mut self, len: u64) -> Result<(), TorchError> {
        self.take(len)?;
        self.push(Node::Opaque);
        Ok(())
    }

    /// The lowest place that a value may be taken from: above the last mark.
    fn pop(&mut self) -> Result<Id, TorchError> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(self.wrong("it takes a mark for a value"));
        }
        self.stack.pop().ok_or_else(|| self.wrong("it takes a value that is not there"))
    }

    fn top(&mut self) -> Result<Id, TorchError> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    /// What lies above the last mark, which goes too.
    fn marked(&mut self) -> Result<Vec<Id>, TorchError> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("it takes a mark that is not there"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pairs(&self, values: &[Id]) -> Result<Vec<(Id, Id)>, TorchError> {
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.wrong("a key has no value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn remember(&mut self, index: u64) -> Result<(), TorchError> {
        let id = self.top()?;
        self.memo.insert(index, id);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), TorchError> {
        let id = *self.memo.get(&index).ok_or_else(|| self.wrong("it recalls what it never remembered"))?;
        self.stack.push(id);
        Ok(())
    }

    fn line_index(&mut self) -> Result<u64, TorchError> {
        let line = self.line()?;
        line.parse().map_err(|_| self.wrong("a number is none"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            0x80 => {
                if self.byte()? > 5 {
                    return Err(self.wrong("its protocol is newer than 5"));
                }
            }
            // A frame: how many bytes follow is known to the file's reader only.
            0x95 => _ = self.u64()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // Takes a mark too, where that is what lies on top.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => _ = self.marked()?,
            b'2' => {
                let id = self.top()?;
                self.stack.push(id);
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let index = match opcode {
                    b'p' => self.line_index()?,
                    b'q' => u64::from(self.byte()?),
                    b'r' => u64::from(self.u32()?),
                    _ => self.memo.len() as u64,
                };
                self.remember(index)?;
            }
            b'g' | b'h' | b'j' => {
                let index = match opcode {
                    b'g' => self.line_index()?,
                    b'h' => u64::from(self.byte()?),
                    _ => u64::from(self.u32()?),
                };
                self.recall(index)?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 | b'R' | 0x81 | 0x92 | b'b' | b'i' | b'o' | b'c' | 0x93 | b'P' | b'Q' => {
                self.combine(opcode)?;
            }
            _ => self.constant(opcode)?,
        }
        Ok(())
    }

    /// Opcodes that make a value of their own bytes or of what is on the stack.
    fn constant(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            b'N' => self.push(Node::Opaque),
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88)),
            b'K' => {
                let value = self.byte()?;
                self.push(Node::Int(i64::from(value)));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(i64::from(value)));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(i64::from(value)));
            }
            0x8a => {
                let len = u64::from(self.byte()?);
                self.long(len)?;
            }
            0x8b => {
                let len = u64::from(self.u32()?);
                self.long(len)?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                self.push(line.trim_end_matches('L').parse().map_or(Node::Opaque, Node::Int));
            }
            b'F' => {
                self.line()?;
                self.push(Node::Opaque);
            }
            b'G' => self.skipped(8)?,
            b'X' | b'T' => {
                let len = u64::from(self.u32()?);
                self.text(len)?;
            }
            0x8c | b'U' => {
                let len = u64::from(self.byte()?);
                self.text(len)?;
            }
            0x8d => {
                let len = self.u64()?;
                self.text(len)?;
            }
            b'S' => {
                let line = self.line()?;
                self.push(Node::Str(line.trim_matches(['\'', '"'])));
            }
            b'V' => {
                let line = self.line()?;
                self.push(Node::Str(line));
            }
            b'C' => {
                let len = u64::from(self.byte()?);
                self.skipped(len)?;
            }
            b'B' => {
                let len = u64::from(self.u32()?);
                self.skipped(len)?;
            }
            0x8e | 0x96 => {
                let len = self.u64()?;
                self.skipped(len)?;
            }
            0x82 => self.skipped(1)?,
            0x83 => self.skipped(2)?,
            0x84 => self.skipped(4)?,
            b')' => self.push(Node::Tuple(Box::default())),
            0x85..=0x87 => {
                let mut values = [0; 3];
                let values = &mut values[..usize::from(opcode - 0x84)];
                for value in values.iter_mut().rev() {
                    *value = self.pop()?;
                }
                self.push(Node::Tuple((&*values).into()));
            }
            b't' => {
                let values = self.marked()?.into_boxed_slice();
                self.push(Node::Tuple(values));
            }
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let values = self.marked()?;
                self.push(Node::List(values));
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let values = self.marked()?;
                let pairs = self.pairs(&values)?;
                self.push(Node::Dict(pairs));
            }
            0x8f => self.push(Node::Opaque),
            0x91 => {
                self.marked()?;
                self.push(Node::Opaque);
            }
            _ => return Err(self.wrong("an opcode is unknown")),
        }
        Ok(())
    }

    /// An integer of any size.
    fn long(&mut self, len: u64) -> Result<(), TorchError> {
        let bytes = self.take(len)?;
        let mut value = [if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }; 8];
        let node = match value.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Node::Int(i64::from_le_bytes(value))
            }
            None => Node::Opaque,
        };
        self.push(node);
        Ok(())
    }

    /// Opcodes that put values into others, or make objects.
    fn combine(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            b'a' => {
                let value = self.pop()?;
                self.append(&[value])?;
            }
            b'e' | 0x90 => {
                let values = self.marked()?;
                self.append(&values)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])?;
            }
            b'u' => {
                let values = self.marked()?;
                let pairs = self.pairs(&values)?;
                self.set_items(pairs)?;
            }
            b'R' | 0x81 => {
                let (arguments, of) = (self.pop()?, self.pop()?);
                self.call(of, arguments)?;
            }
            0x92 => {
                let (_named, arguments, of) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(of, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let of = self.top()?;
                // An object with slots has a pair: its dictionary, and theirs.
                let state = match &self.nodes[state as usize] {
                    Node::Tuple(pair) if pair.len() == 2 => pair[0],
                    _ => state,
                };
                // An OrderedDict's own attributes are PyTorch's notes on versions.
                if let Node::Object(object) = &mut self.nodes[of as usize] {
                    object.state = Some(state);
                }
            }
            b'i' => {
                self.line()?;
                self.line()?;
                self.marked()?;
                self.push(Node::Object(Box::default()));
            }
            b'o' => {
                self.marked()?;
                self.push(Node::Object(Box::default()));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let node = match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                    (Node::Str(module), Node::Str(name)) => Node::Global(module, name),
                    _ => return Err(self.wrong("a class has no name")),
                };
                self.push(node);
            }
            b'P' => {
                self.line()?;
                self.push(Node::Opaque);
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?;
            }
            _ => unreachable!("the caller has these opcodes alone"),
        }
        Ok(())
    }

    fn append(&mut self, values: &[Id]) -> Result<(), TorchError> {
        let of = self.top()?;
        match &mut self.nodes[of as usize] {
            Node::List(list) => list.extend_from_slice(values),
            Node::Object(_) | Node::Opaque => {}
            _ => return Err(self.wrong("it appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), TorchError> {
        let of = self.top()?;
        match &mut self.nodes[of as usize] {
            Node::Dict(items) => items.extend(pairs),
            Node::Object(object) => object.items.extend(pairs),
            Node::Opaque => {}
            _ => return Err(self.wrong("it sets a key of what is no dictionary")),
        }
        Ok(())
    }

    /// What stands for a storage in PyTorch's pickles; anything else of that kind is looked into by nobody.
    fn persistent(&mut self, id: Id) -> Result<(), TorchError> {
        let node = match &self.nodes[id as usize] {
            Node::Tuple(parts) => match parts.first().map(|part| &self.nodes[*part as usize]) {
                Some(Node::Str("storage")) => {
                    let storage =
                        tensors::storage(&self.nodes, parts).ok_or_else(|| self.wrong("a storage is malformed"))?;
                    Node::Storage(Box::new(storage))
                }
                // Before 1.6: a module's class, with its source text.
                Some(Node::Str("module")) if parts.len() > 1 => {
                    self.stack.push(parts[1]);
                    return Ok(());
                }
                _ => Node::Opaque,
            },
            _ => Node::Opaque,
        };
        self.push(node);
        Ok(())
    }

    /// What a class or function would make of its arguments, where it is one that PyTorch writes data with.
    fn call(&mut self, mut of: Id, mut arguments: Id) -> Result<(), TorchError> {
        loop {
            let parts: &[Id] = match &self.nodes[arguments as usize] {
                Node::Tuple(parts) => parts,
                _ => return Err(self.wrong("a call has no arguments")),
            };
            let Node::Global(module, name) = self.nodes[of as usize] else {
                self.push(Node::Object(Box::default()));
                return Ok(());
            };
            let node = match (module, name) {
                ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
                    let pairs = listed_pairs(&self.nodes, parts);
                    self.copied += pairs.len();
                    if self.copied > OPCODES_MAX {
                        return Err(TorchError::Limit(format!(
                            "dictionaries are copied more than {OPCODES_MAX} times"
                        )));
                    }
                    Node::Dict(pairs)
                }
                ("torch._utils", rebuild @ ("_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3")) => {
                    match tensors::tensor(&self.nodes, rebuild, parts) {
                        Ok(Some(tensor)) => Node::Tensor(Box::new(tensor)),
                        Ok(None) => Node::Opaque,
                        Err(why) => return Err(self.wrong(why)),
                    }
                }
                // They hand on what is inside.
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
                | ("torch", "Size")
                | ("torch.jit._pickle", _) => match parts.first() {
                    Some(first) => {
                        self.stack.push(*first);
                        return Ok(());
                    }
                    None => Node::Opaque,
                },
                // (function, type, arguments, state): a tensor of a type of its own. What it is beside a tensor is not kept.
                ("torch._tensor", "_rebuild_from_type_v2") if parts.len() == 4 => {
                    (of, arguments) = (parts[0], parts[2]);
                    // Only ever once: no function there calls this one again.
                    match self.nodes[of as usize] {
                        Node::Global("torch._tensor", _) => Node::Opaque,
                        _ => continue,
                    }
                }
                _ => Node::Object(Box::default()),
            };
            self.push(node);
            return Ok(());
        }
    }
}

/// The pairs in `[(key, value), ...]`, the last argument, where that is what a dictionary is made of.
fn listed_pairs(nodes: &[Node<'_>], arguments: &[Id]) -> Vec<(Id, Id)> {
    let Some(last) = arguments.last() else { return Vec::new() };
    match &nodes[*last as usize] {
        Node::Dict(pairs) => pairs.clone(),
        Node::List(list) => {
            let pair = |id: &Id| match &nodes[*id as usize] {
                Node::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
                Node::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
                _ => None,
            };
            list.iter().filter_map(pair).collect()
        }
        _ => Vec::new(),
    }
}
