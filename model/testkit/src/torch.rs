//! Writes checkpoints as `torch.save` does, without PyTorch: pickles of protocol 2 or 4 in a zip archive of stored
//! entries.
//!
//! It writes its input unchecked, including invalid input. Fixtures made by PyTorch show that PyTorch writes the same.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;

/// A value in a pickle.
#[derive(Clone, Debug)]
pub enum Py {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// A number of up to 64 bits.
    Int(i64),
    /// A number of any size: its bytes, the lowest first.
    Long(Vec<u8>),
    /// A fraction.
    Float(f64),
    /// A text.
    Str(String),
    /// Bytes, from protocol 4 on.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Py>),
    /// A list.
    List(Vec<Py>),
    /// A dictionary.
    Dict(Vec<(Py, Py)>),
    /// `collections.OrderedDict`, the type of state dictionaries.
    Ordered(Vec<(String, Py)>),
    /// The value of this index in [`TorchSave::shared`], written once and then recalled.
    Shared(usize),
    /// The result of a function or class for these arguments.
    Call(&'static str, &'static str, Vec<Py>),
    /// An instance of a class with these attributes.
    Object(&'static str, &'static str, Vec<(String, Py)>),
    /// A tensor.
    Tensor(PyTensor),
    /// Opcodes that are written unchanged.
    Raw(Vec<u8>),
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug)]
pub struct PyTensor {
    /// `FloatStorage` and so on.
    pub kind: &'static str,
    /// The storage's key; a name in `data/`.
    pub key: String,
    /// The number of values that the storage claims.
    pub values: i64,
    /// Offset in the storage, in values.
    pub offset: i64,
    /// Its dimensions.
    pub shape: Vec<i64>,
    /// Stride of each dimension, in values.
    pub strides: Vec<i64>,
}

impl Py {
    /// Makes a text.
    pub fn str(text: &str) -> Py {
        Py::Str(text.to_owned())
    }

    /// Makes a dictionary with texts as keys.
    pub fn dict(pairs: Vec<(&str, Py)>) -> Py {
        Py::Dict(pairs.into_iter().map(|(key, value)| (Py::str(key), value)).collect())
    }
}

/// A checkpoint under construction.
#[derive(Clone, Debug, Default)]
pub struct TorchSave {
    /// Each storage's bytes, by key.
    pub storages: BTreeMap<String, Vec<u8>>,
    /// Values that occur in several places.
    pub shared: Vec<Py>,
    /// 4 or 5; any lower number means 2.
    pub protocol: u8,
    /// The folder in the archive, which PyTorch names after the file; if empty, it is `archive`.
    pub root: String,
}

impl TorchSave {
    /// Makes a tensor of f32 values in a storage of its own.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Py {
        self.tensor("FloatStorage", shape, values.len(), bytemuck::cast_slice(values).to_vec())
    }

    /// Makes a tensor of f16 values in a storage of its own.
    pub fn halves(&mut self, shape: &[usize], values: &[f32]) -> Py {
        let bytes = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        self.tensor("HalfStorage", shape, values.len(), bytes)
    }

    /// Makes a tensor of `count` values in a storage of its own.
    pub fn tensor(&mut self, kind: &'static str, shape: &[usize], count: usize, bytes: Vec<u8>) -> Py {
        let key = self.storages.len().to_string();
        self.storages.insert(key.clone(), bytes);
        Py::Tensor(PyTensor {
            kind,
            key,
            values: count as i64,
            offset: 0,
            shape: shape.iter().map(|dim| *dim as i64).collect(),
            strides: row_major(shape),
        })
    }

    /// Returns the content of the file.
    pub fn archive(&self, value: &Py) -> Vec<u8> {
        let root = if self.root.is_empty() { "archive" } else { &self.root };
        let mut entries = vec![
            (format!("{root}/data.pkl"), self.pickle(value)),
            (format!("{root}/byteorder"), b"little".to_vec()),
            (format!("{root}/version"), b"3\n".to_vec()),
        ];
        entries.extend(self.storages.iter().map(|(key, bytes)| (format!("{root}/data/{key}"), bytes.clone())));
        zip(&entries)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path, value: &Py) {
        std::fs::write(path, self.archive(value)).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    /// Returns the pickle alone.
    pub fn pickle(&self, value: &Py) -> Vec<u8> {
        let protocol = self.protocol.max(2);
        let mut out = vec![0x80, protocol];
        let mut pickler = Pickler { save: self, written: vec![false; self.shared.len()], out: &mut out, protocol };
        pickler.write(value);
        out.push(b'.');
        out
    }
}

/// Returns the strides of values that lie row by row.
fn row_major(shape: &[usize]) -> Vec<i64> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product::<usize>() as i64).collect()
}

struct Pickler<'a> {
    save: &'a TorchSave,
    written: Vec<bool>,
    out: &'a mut Vec<u8>,
    protocol: u8,
}

impl Pickler<'_> {
    fn write(&mut self, value: &Py) {
        match value {
            Py::None => self.out.push(b'N'),
            Py::Bool(is) => self.out.push(if *is { 0x88 } else { 0x89 }),
            Py::Int(value) => match u8::try_from(*value) {
                Ok(small) => self.out.extend([b'K', small]),
                Err(_) => self.long(&value.to_le_bytes()),
            },
            Py::Long(bytes) => self.long(bytes),
            Py::Float(value) => {
                self.out.push(b'G');
                self.out.extend(value.to_be_bytes());
            }
            Py::Str(text) => self.text(text),
            Py::Bytes(bytes) => {
                self.out.push(b'B');
                self.out.extend((bytes.len() as u32).to_le_bytes());
                self.out.extend(bytes);
            }
            Py::Tuple(_) | Py::List(_) | Py::Dict(_) | Py::Ordered(_) => self.container(value),
            Py::Shared(i) if self.written[*i] => {
                self.out.push(b'j');
                self.out.extend((*i as u32).to_le_bytes());
            }
            Py::Shared(i) => {
                self.written[*i] = true;
                self.write(&self.save.shared[*i].clone());
                self.out.push(b'r');
                self.out.extend((*i as u32).to_le_bytes());
            }
            Py::Call(module, name, arguments) => {
                self.global(module, name);
                self.write(&Py::Tuple(arguments.clone()));
                self.out.push(b'R');
            }
            Py::Object(module, name, attributes) => {
                self.global(module, name);
                self.out.extend(b")\x81}(");
                for (key, value) in attributes {
                    self.text(key);
                    self.write(value);
                }
                self.out.extend(b"ub");
            }
            Py::Tensor(tensor) => self.tensor(tensor),
            Py::Raw(bytes) => self.out.extend(bytes),
        }
    }

    /// Writes a tuple, a list or a dictionary.
    fn container(&mut self, value: &Py) {
        match value {
            Py::Tuple(values) => {
                self.out.push(b'(');
                values.iter().for_each(|value| self.write(value));
                self.out.push(b't');
            }
            Py::List(values) => {
                self.out.extend(b"](");
                values.iter().for_each(|value| self.write(value));
                self.out.push(b'e');
            }
            Py::Dict(pairs) => {
                self.out.extend(b"}(");
                for (key, value) in pairs {
                    self.write(key);
                    self.write(value);
                }
                self.out.push(b'u');
            }
            Py::Ordered(pairs) => {
                self.global("collections", "OrderedDict");
                self.out.extend(b")R(");
                for (key, value) in pairs {
                    self.text(key);
                    self.write(value);
                }
                // State dictionaries have notes on versions.
                self.out.extend(b"u}");
                self.text("_metadata");
                self.out.extend(b"}sb");
            }
            _ => unreachable!("only containers are passed"),
        }
    }

    fn tensor(&mut self, tensor: &PyTensor) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.out.extend(b"((");
        self.text("storage");
        self.global("torch", tensor.kind);
        self.text(&tensor.key);
        self.text("cpu");
        self.write(&Py::Int(tensor.values));
        self.out.extend(b"tQ");
        let numbers = |values: &[i64]| Py::Tuple(values.iter().map(|value| Py::Int(*value)).collect());
        for part in [Py::Int(tensor.offset), numbers(&tensor.shape), numbers(&tensor.strides), Py::Bool(false)] {
            self.write(&part);
        }
        self.global("collections", "OrderedDict");
        self.out.extend(b")RtR");
    }

    fn global(&mut self, module: &str, name: &str) {
        if self.protocol < 4 {
            self.out.push(b'c');
            self.out.extend(format!("{module}\n{name}\n").bytes());
        } else {
            self.text(module);
            self.text(name);
            self.out.push(0x93);
        }
    }

    fn text(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(len) if self.protocol >= 4 => self.out.extend([0x8c, len]),
            _ => {
                self.out.push(b'X');
                self.out.extend((text.len() as u32).to_le_bytes());
            }
        }
        self.out.extend(text.bytes());
    }

    fn long(&mut self, bytes: &[u8]) {
        self.out.extend([0x8a, bytes.len() as u8]);
        self.out.extend(bytes);
    }
}

/// Makes a zip archive of uncompressed entries.
pub fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let start = out.len() as u32;
        // Version, flags, method, time, date, checksum (which only PyTorch checks), lengths.
        let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for len in [bytes.len(), bytes.len()] {
            header.extend((len as u32).to_le_bytes());
        }
        header.extend((name.len() as u16).to_le_bytes());
        header.extend(0u16.to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&header);
        out.extend(name.bytes());
        out.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        // Comment, disk, attributes.
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    for _ in 0..2 {
        out.extend((entries.len() as u16).to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend(0u16.to_le_bytes());
    out
}
