//! Runs a pickle's opcodes, of protocols 0 to 5, and makes values of them. Nothing that a pickle names is ever called.
//!
//! The classes with which PyTorch writes dictionaries and tensors are recognised by name; every other class becomes an
//! opaque object that holds only what was put into it. An opcode makes at most one value, texts are slices of the file,
//! and values refer to each other by number: so memory grows with the number of opcodes, which is limited, and not with
//! what they stand for. No function here is recursive.

use std::collections::HashMap;

use super::error::TorchError;
use super::value::{Id, Node, Pickle};

/// A checkpoint of a thousand tensors with its optimizer has some 100,000 opcodes. Each keeps at most 60 bytes.
pub(super) const OPCODES_MAX: usize = 4_000_000;

/// Reads the pickle at the beginning of `bytes`.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>, TorchError> {
    let mut vm = PickleVm {
        bytes,
        position: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    for _ in 0..OPCODES_MAX {
        let opcode = vm.byte()?;
        if opcode == b'.' {
            let root = vm.pop()?;
            return Ok(Pickle { nodes: vm.nodes, root, len: vm.position });
        }
        vm.step(opcode)?;
    }
    Err(TorchError::Limit(format!("its pickle has more than {OPCODES_MAX} opcodes")))
}

pub(super) struct PickleVm<'a> {
    bytes: &'a [u8],
    position: usize,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) stack: Vec<Id>,
    /// Positions in the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Pairs that were copied from other values. One opcode may copy several, so they are counted.
    pub(super) copied: usize,
}

impl<'a> PickleVm<'a> {
    pub(super) fn wrong(&self, why: &'static str) -> TorchError {
        TorchError::Pickle { position: self.position, why }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], TorchError> {
        let rest = &self.bytes[self.position..];
        if len > rest.len() as u64 {
            return Err(self.wrong("it ends in the middle of a value"));
        }
        self.position += len as usize;
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

    /// Reads a text up to the end of its line.
    fn line(&mut self) -> Result<&'a str, TorchError> {
        let rest = &self.bytes[self.position..];
        // Lines are names and numbers: a longer one means that the file is not a pickle.
        let window = &rest[..rest.len().min(1 << 16)];
        let end = window.iter().position(|byte| *byte == b'\n').ok_or_else(|| self.wrong("a line has no end"))?;
        self.position += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| self.wrong("a name is not UTF-8"))
    }

    pub(super) fn push(&mut self, node: Node<'a>) {
        let id = self.add(node);
        self.stack.push(id);
    }

    fn add(&mut self, node: Node<'a>) -> Id {
        self.nodes.push(node);
        // Fits, since an opcode adds at most one node and [`OPCODES_MAX`] is below 2^32.
        (self.nodes.len() - 1) as Id
    }

    fn text(&mut self, len: u64) -> Result<(), TorchError> {
        // Python's texts may hold halves of surrogate pairs, which are not UTF-8; no name that is looked for does.
        let node = std::str::from_utf8(self.take(len)?).map_or(Node::Opaque, Node::Str);
        self.push(node);
        Ok(())
    }

    fn skipped(&mut self, len: u64) -> Result<(), TorchError> {
        self.take(len)?;
        self.push(Node::Opaque);
        Ok(())
    }

    /// Pops the top value, which must lie above the last mark.
    fn pop(&mut self) -> Result<Id, TorchError> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(self.wrong("it uses a mark as a value"));
        }
        self.stack.pop().ok_or_else(|| self.wrong("it pops a value from an empty stack"))
    }

    fn top(&mut self) -> Result<Id, TorchError> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    /// Takes the values above the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<Id>, TorchError> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("it pops a mark where there is none"))?;
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
        let id = *self.memo.get(&index).ok_or_else(|| self.wrong("it reads a memo entry that was never written"))?;
        self.stack.push(id);
        Ok(())
    }

    fn line_index(&mut self) -> Result<u64, TorchError> {
        let line = self.line()?;
        line.parse().map_err(|_| self.wrong("a number is invalid"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            0x80 => {
                if self.byte()? > 5 {
                    return Err(self.wrong("its protocol is newer than 5"));
                }
            }
            // A frame's length matters only to a reader of streams.
            0x95 => _ = self.u64()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // Pops a mark as well, if a mark is on top.
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

    /// Runs an opcode that makes a value of its own bytes or of the stack.
    fn constant(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            b'N' | 0x8f => self.push(Node::Opaque),
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88)),
            b'K' | b'M' | b'J' | 0x8a | 0x8b | b'I' | b'L' | b'F' | b'G' => self.number(opcode)?,
            b'X' | b'T' | 0x8c | b'U' | 0x8d | b'S' | b'V' => self.string(opcode)?,
            b'C' | b'B' | 0x8e | 0x96 | 0x82..=0x84 => self.opaque_bytes(opcode)?,
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x91 => self.container(opcode)?,
            _ => return Err(self.wrong("an opcode is unknown")),
        }
        Ok(())
    }

    /// Runs an opcode that makes a number. Fractions are not kept.
    fn number(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
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
            _ => unreachable!("only opcodes of numbers are passed"),
        }
        Ok(())
    }

    /// Runs an opcode that makes a text.
    fn string(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
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
            _ => unreachable!("only opcodes of texts are passed"),
        }
        Ok(())
    }

    /// Runs an opcode whose bytes are skipped: byte strings, and references to extensions.
    fn opaque_bytes(&mut self, opcode: u8) -> Result<(), TorchError> {
        let len = match opcode {
            b'C' => u64::from(self.byte()?),
            b'B' => u64::from(self.u32()?),
            0x8e | 0x96 => self.u64()?,
            0x82 => 1,
            0x83 => 2,
            0x84 => 4,
            _ => unreachable!("only opcodes of bytes are passed"),
        };
        self.skipped(len)
    }

    /// Runs an opcode that makes a tuple, a list, a dictionary or a set, empty or of what is on the stack.
    fn container(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
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
            0x91 => {
                self.marked()?;
                self.push(Node::Opaque);
            }
            _ => unreachable!("only opcodes of containers are passed"),
        }
        Ok(())
    }

    /// Pushes an integer of any size.
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

    /// Runs an opcode that puts values into others, or makes objects.
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
            _ => self.object(opcode)?,
        }
        Ok(())
    }

    /// Runs an opcode that names a class or a function, calls one, or sets an object's state.
    fn object(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            0x92 => {
                let (_named, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                // An object with slots has a pair: its dictionary and that of its slots.
                let state = match &self.nodes[state as usize] {
                    Node::Tuple(pair) if pair.len() == 2 => pair[0],
                    _ => state,
                };
                // An OrderedDict's own attributes are PyTorch's notes on versions.
                if let Node::Object(object) = &mut self.nodes[target as usize] {
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
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::List(list) => list.extend_from_slice(values),
            Node::Object(_) | Node::Opaque => {}
            _ => return Err(self.wrong("it appends to a value that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), TorchError> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::Dict(items) => items.extend(pairs),
            Node::Object(object) => object.items.extend(pairs),
            Node::Opaque => {}
            _ => return Err(self.wrong("it sets a key of a value that is not a dictionary")),
        }
        Ok(())
    }
}
