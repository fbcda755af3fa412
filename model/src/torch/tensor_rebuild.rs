//! Reads the descriptions of storages and tensors from the arguments of a pickle's `_rebuild_tensor` calls: types,
//! shapes and offsets, but no values.

use safetensors::Dtype;

use super::tensor_ref::{Storage, TensorRef};
use super::value::{Id, Node};

/// Maximum number of dimensions of a tensor in PyTorch.
const DIMENSIONS_MAX: usize = 64;
/// Maximum length of a storage's key. Keys are numbers in practice.
const KEY_BYTES_MAX: usize = 256;

/// Reads a storage from `("storage", type, key, location, values[, view])`.
pub(super) fn storage(nodes: &[Node<'_>], parts: &[Id]) -> Option<Storage> {
    let part = |i: usize| parts.get(i).map(|id| &nodes[*id as usize]);
    let name = match part(1)? {
        Node::Global(_, name) => name,
        _ => return None,
    };
    let key = match part(2)? {
        Node::Str(key) => (*key).to_owned(),
        Node::Int(key) => key.to_string(),
        _ => return None,
    };
    let values = match part(4)? {
        Node::Int(values) => u64::try_from(*values).ok()?,
        _ => return None,
    };
    // Before PyTorch 1.6 a storage could be a part of another one.
    let is_part = matches!(part(5), Some(Node::Tuple(_)));
    if key.len() > KEY_BYTES_MAX || is_part {
        return None;
    }
    let (dtype, width) = storage_dtype(name);
    Some(Storage { key, width, dtype, values })
}

/// Returns the type of a storage's values, and the bytes of one.
fn storage_dtype(name: &str) -> (Option<Dtype>, Option<usize>) {
    let dtype = match name {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
        "CharStorage" => Dtype::I8,
        "ShortStorage" => Dtype::I16,
        "IntStorage" => Dtype::I32,
        "LongStorage" => Dtype::I64,
        "BoolStorage" => Dtype::BOOL,
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => return (None, Some(1)),
        "QInt32Storage" => return (None, Some(4)),
        "ComplexFloatStorage" => return (None, Some(8)),
        "ComplexDoubleStorage" => return (None, Some(16)),
        _ => return (None, None),
    };
    (Some(dtype), Some(dtype.bitsize() / 8))
}

/// Returns the type that `torch.NAME` stands for.
fn dtype_by_name(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" | "float" => Dtype::F32,
        "float64" | "double" => Dtype::F64,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "int16" => Dtype::I16,
        "uint16" => Dtype::U16,
        "int32" => Dtype::I32,
        "uint32" => Dtype::U32,
        "int64" => Dtype::I64,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        _ => return None,
    })
}

/// Returns the tensor that `torch._utils.REBUILD` would return for `(storage, offset, size, stride, ...)`, or `None` if
/// it is of a kind that weights never have, such as quantised ones.
pub(super) fn tensor(nodes: &[Node<'_>], rebuild: &str, parts: &[Id]) -> Result<Option<TensorRef>, &'static str> {
    let part = |i: usize| parts.get(i).map(|id| &nodes[*id as usize]);
    let Some(Node::Storage(storage)) = part(0) else { return Ok(None) };
    let (dtype, storage_bytes) = match (rebuild, part(6)) {
        // The storage is untyped: its length is in bytes.
        ("_rebuild_tensor_v3", Some(Node::Global(_, name))) => match dtype_by_name(name) {
            Some(dtype) => (dtype, Some(storage.values)),
            None => return Ok(None),
        },
        ("_rebuild_tensor_v3", _) => return Ok(None),
        _ => match (storage.dtype, storage.width) {
            (Some(dtype), Some(width)) => (dtype, storage.values.checked_mul(width as u64)),
            _ => return Ok(None),
        },
    };
    let storage_bytes = storage_bytes.ok_or("a storage is larger than any file")?;
    let malformed = "a tensor is malformed";
    let Some(Node::Int(offset)) = part(1) else { return Err(malformed) };
    let offset = usize::try_from(*offset).map_err(|_| malformed)?;
    let shape = sizes(nodes, part(2)).ok_or(malformed)?;
    let strides = sizes(nodes, part(3)).ok_or(malformed)?;
    if shape.len() != strides.len() {
        return Err(malformed);
    }
    let width = dtype.bitsize() / 8;
    let tensor = TensorRef { dtype, shape, strides, offset, key: storage.key.clone(), storage_bytes, width };
    if tensor.span().is_none_or(|span| span > storage_bytes / width as u64) {
        return Err("a tensor reaches past its storage");
    }
    Ok(Some(tensor))
}

/// Reads a tuple or list of non-negative numbers.
fn sizes(nodes: &[Node<'_>], node: Option<&Node<'_>>) -> Option<Vec<usize>> {
    let ids: &[Id] = match node? {
        Node::Tuple(ids) => ids,
        Node::List(ids) => ids,
        _ => return None,
    };
    if ids.len() > DIMENSIONS_MAX {
        return None;
    }
    let size = |id: &Id| match &nodes[*id as usize] {
        Node::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    ids.iter().map(size).collect()
}
