//! Reads and writes the texts that a safetensors file holds beside its tensors. It reads the header alone, and does not
//! interpret the texts.
//!
//! Texts do not change a tensor, so they do not change a digest or a fingerprint.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::checkpoint::{self, CheckpointError, CheckpointFormat, HEADER_BYTES_MAX};

/// The header's key of the texts.
const METADATA: &str = "__metadata__";

/// Bytes before the header, which hold its length.
const LENGTH_BYTES: usize = 8;

/// Tensors begin at a multiple of this number of bytes.
const ALIGNMENT: usize = 8;

/// Returns the texts of a safetensors file by their keys. A PyTorch checkpoint has none.
///
/// # Errors
/// Fails with [`CheckpointError`] when the file cannot be read, or is of neither kind.
pub fn read_metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    if checkpoint::detect_kind(path)? == CheckpointFormat::Torch {
        return Ok(BTreeMap::new());
    }
    let read = || {
        let mut file = File::open(path)?;
        let mut start = [0; LENGTH_BYTES];
        file.read_exact(&mut start)?;
        let mut header = Vec::new();
        file.take(header_bytes(&start).unwrap_or(0)).read_to_end(&mut header)?;
        Ok(header)
    };
    let header = read().map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
    Ok(parse_metadata(&header))
}

/// Returns the length of the header that follows the first eight bytes of a safetensors file; `None` if they are not
/// such a file's.
pub fn header_bytes(start: &[u8]) -> Option<u64> {
    let bytes = u64::from_le_bytes(*start.first_chunk()?);
    (bytes <= HEADER_BYTES_MAX).then_some(bytes)
}

/// Returns the texts in a header. A header that is not JSON has none; the reader of the tensors reports what is wrong
/// with it.
pub fn parse_metadata(header: &[u8]) -> BTreeMap<String, String> {
    let Ok(Value::Object(mut header)) = serde_json::from_slice(header) else { return BTreeMap::new() };
    let Some(Value::Object(texts)) = header.remove(METADATA) else { return BTreeMap::new() };
    let text = |(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    };
    texts.into_iter().filter_map(text).collect()
}

/// Adds texts to a safetensors file. The same file and texts give the same bytes.
///
/// # Panics
/// Panics when `file` is not a safetensors file.
pub fn with_metadata(mut file: Vec<u8>, texts: &[(&str, &str)]) -> Vec<u8> {
    let length = header_bytes(&file).expect("a safetensors file begins with its header's length") as usize;
    let header = LENGTH_BYTES..LENGTH_BYTES + length;
    // Sorted maps: the library writes its hash map in an order that differs from one process to the next.
    let mut entries: BTreeMap<String, Value> =
        serde_json::from_slice(&file[header.clone()]).expect("a safetensors file's header is JSON");
    let mut metadata = parse_metadata(&file[header.clone()]);
    metadata.extend(texts.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())));
    entries.insert(METADATA.to_owned(), serde_json::to_value(metadata).expect("texts are JSON"));
    let mut written = serde_json::to_vec(&entries).expect("what was read as JSON is written as JSON");
    written.resize(written.len().next_multiple_of(ALIGNMENT), b' ');
    let length = (written.len() as u64).to_le_bytes();
    file.splice(0..header.end, length.into_iter().chain(written));
    file
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::SafeTensors;
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    fn file(metadata: Option<HashMap<String, String>>) -> Vec<u8> {
        let (a, b) = ([1.0_f32, 2.0], [3.0_f32]);
        let view = |values| {
            TensorView::new(
                Dtype::F32,
                vec![bytemuck::cast_slice::<f32, u8>(values).len() / 4],
                bytemuck::cast_slice(values),
            )
            .unwrap()
        };
        safetensors::serialize([("b", view(&b[..])), ("a", view(&a[..]))], metadata).unwrap()
    }

    #[test]
    fn texts_are_added_and_tensors_stay() {
        let plain = file(Some(HashMap::from([("format".to_owned(), "pt".to_owned())])));
        let with = with_metadata(plain.clone(), &[("x", "{\"a\": \"ü\"}"), ("b", "2")]);
        assert_eq!(with, with_metadata(plain.clone(), &[("b", "2"), ("x", "{\"a\": \"ü\"}")]), "one order of keys");
        let (old, new) = (SafeTensors::deserialize(&plain).unwrap(), SafeTensors::deserialize(&with).unwrap());
        for name in ["a", "b"] {
            assert_eq!(old.tensor(name).unwrap(), new.tensor(name).unwrap());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, &with).unwrap();
        let texts = read_metadata(&path).unwrap();
        let expected = [("b", "2"), ("format", "pt"), ("x", "{\"a\": \"ü\"}")];
        assert_eq!(texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect::<Vec<_>>(), expected);
        let again = with_metadata(with, &[("b", "3")]);
        assert_eq!(parse_metadata(&again[8..8 + header_bytes(&again).unwrap() as usize])["b"], "3");
    }

    #[test]
    fn a_file_without_texts_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, file(None)).unwrap();
        assert_eq!(read_metadata(&path).unwrap(), BTreeMap::new());
        assert_eq!(header_bytes(b"\xff\xff\xff\xff\xff\xff\xff\x7f"), None, "longer than a header may be");
        assert_eq!(parse_metadata(b"no JSON"), BTreeMap::new());
        assert_eq!(parse_metadata(br#"{"__metadata__": {"a": 1, "b": "c"}}"#).len(), 1);
    }
}
