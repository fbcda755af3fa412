//! Digests of lists of texts.

use blake3::Hasher;

/// Length and content: no two lists of fields have the same bytes.
pub fn field(hasher: &mut Hasher, content: &[u8]) {
    hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
}
