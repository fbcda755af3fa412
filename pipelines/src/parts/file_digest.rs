//! The digest of a part's file, which is in the file's own footer. It is computed over the whole file as if the digest's
//! digits were zeros, so any changed bit is found: in a page, in a statistic that queries rely on, or in the footer.

use blake3::{Hash, Hasher};
use bytes::Bytes;

/// The name of the digest in the footer.
pub(super) const DIGEST: &str = "dqa.digest";

/// The name of the digest's function in the footer. It tells a file without its digest from one of an older version.
pub(super) const FUNCTION: &str = "dqa.digest_function";

/// The digits that a file has before it is sealed.
pub(super) const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Between the name and the digits: the header of a text field and its length, 64, in Thrift's compact protocol.
const BETWEEN: &[u8] = b"\x18\x40";

/// Returns a file with the digits of its digest in the place of [`UNSEALED`].
///
/// # Panics
/// If the file's footer does not have the entry.
pub(super) fn seal(file: Bytes) -> Bytes {
    let at = find(&file, UNSEALED).expect("the writer puts every entry into the footer");
    let digest = hash_without_digits(&file, at).to_hex();
    let mut sealed = Vec::from(file);
    sealed[at..at + UNSEALED.len()].copy_from_slice(digest.as_bytes());
    sealed.into()
}

/// Returns the digest of a file whose footer states this one. None if the file is not the one that was sealed.
pub(super) fn check(file: &[u8], stated: &str) -> Option<Hash> {
    let at = find(file, stated)?;
    let digest = hash_without_digits(file, at);
    (digest.to_hex().as_str() == stated).then_some(digest)
}

/// Returns the position of the digest's digits.
fn find(file: &[u8], digits: &str) -> Option<usize> {
    let entry = [DIGEST.as_bytes(), BETWEEN, digits.as_bytes()].concat();
    // From the end, where the footer is.
    let at = file.windows(entry.len()).rposition(|bytes| bytes == entry)?;
    Some(at + entry.len() - digits.len())
}

fn hash_without_digits(file: &[u8], at: usize) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&file[..at]).update(UNSEALED.as_bytes()).update(&file[at + UNSEALED.len()..]);
    hasher.finalize()
}
