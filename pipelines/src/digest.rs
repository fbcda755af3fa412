//! Digests of lists of fields.

use blake3::Hasher;

/// Hashes the length and the content of a field, so that no two lists of fields hash the same bytes.
pub fn update_field(hasher: &mut Hasher, content: &[u8]) {
    hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
}
