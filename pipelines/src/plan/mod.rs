//! Cuts a data set into shards. The plan is pure: it uses no IO and no clock, and the same input gives the same shards. The
//! `README.md` beside this file explains the algorithm.

mod shard;

use std::ops::Range;

use blake3::Hasher;

use crate::dataset::{DataSet, Picture, Raters};
use crate::digest;
use crate::metric::MetricSpec;
use crate::names::AlgorithmName;
use crate::picture_limits::PictureLimits;
use crate::tables::scores::{SCORES, SCORES_VERSION};

pub use shard::{Shard, ShardPart, ShardPicture, ShardReference, join_part_names, shard_pictures};

/// Maximum number of windows in a shard, unless one picture has more. It takes minutes on a CPU and a second on a GPU, so that
/// a lost machine loses little, and a part is still large enough to be read efficiently.
pub const SHARD_WINDOWS_MAX: u64 = 2048;

/// Bits of a picture's hash. Among a million pictures, two share one of 2^64 hashes with odds of 1 to 10^7. Then they only
/// cannot be cut into two shards.
const HASH_BITS: u32 = u64::BITS;

/// Hexadecimal digits of the digest in a part's name.
const DIGEST_DIGITS: usize = 32;

/// A planned shard: some pictures of one algorithm, by their numbers in the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardCut {
    /// The first bits of the hashes of its pictures.
    pub prefix: HashPrefix,
    /// Indices of its pictures in [`DataSet::pictures`], ascending.
    pub pictures: Vec<u32>,
    /// Windows to score, by the pictures' headers. A picture without a readable header counts as one.
    pub windows: u64,
}

/// The first bits of a picture's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashPrefix {
    bits: u64,
    length: u32,
}

impl HashPrefix {
    const ALL: HashPrefix = HashPrefix { bits: 0, length: 0 };

    fn child(self, bit: u64) -> HashPrefix {
        HashPrefix { bits: self.bits << 1 | bit, length: self.length + 1 }
    }

    /// Returns whether a hash can have both prefixes: one is the beginning of the other.
    pub fn overlaps(self, other: HashPrefix) -> bool {
        let shared = self.length.min(other.length);
        let beginning = |p: HashPrefix| p.bits.checked_shr(p.length - shared).unwrap_or(0);
        beginning(self) == beginning(other)
    }

    /// Parses the text that [`HashPrefix`] displays as: `s`, followed by the bits.
    pub fn parse(text: &str) -> Option<HashPrefix> {
        let bits = text.strip_prefix('s')?;
        let length = u32::try_from(bits.len()).ok().filter(|length| *length <= HASH_BITS)?;
        let is_binary = bits.bytes().all(|bit| matches!(bit, b'0' | b'1'));
        let value = if bits.is_empty() { 0 } else { u64::from_str_radix(bits, 2).ok()? };
        is_binary.then_some(HashPrefix { bits: value, length })
    }
}

impl std::fmt::Display for HashPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("s")?;
        (0..self.length).rev().try_for_each(|bit| write!(f, "{}", self.bits >> bit & 1))
    }
}

/// Cuts the pictures of one algorithm, `pictures` of `dataset`, into shards. `windows` has the number of windows of each
/// picture, in the same order.
///
/// # Panics
/// If the two lengths differ.
pub fn cut_shards(dataset: &DataSet, pictures: Range<usize>, windows: &[u32], windows_max: u64) -> Vec<ShardCut> {
    assert_eq!(pictures.len(), windows.len(), "each picture has its windows");
    let mut hashes: Vec<HashedPicture> = pictures
        .zip(windows)
        .map(|(index, windows)| HashedPicture {
            hash: name_hash(&dataset.pictures[index]),
            index: u32::try_from(index).expect("a data set has less than 2^32 pictures"),
            windows: (*windows).max(1),
        })
        .collect();
    hashes.sort_unstable_by_key(|hashed| (hashed.hash, hashed.index));
    let mut cuts = Vec::new();
    split(&hashes, HashPrefix::ALL, windows_max, &mut cuts);
    cuts
}

/// Returns the range of each algorithm's pictures in a data set, in its order.
pub fn algorithm_ranges(dataset: &DataSet) -> Vec<(AlgorithmName, Range<usize>)> {
    let mut start = 0;
    let by_algorithm = dataset.pictures.chunk_by(|a, b| a.algorithm == b.algorithm);
    let range = |pictures: &[Picture]| {
        let range = start..start + pictures.len();
        start = range.end;
        (pictures[0].algorithm.clone(), range)
    };
    by_algorithm.map(range).collect()
}

struct HashedPicture {
    hash: u64,
    index: u32,
    windows: u32,
}

/// Returns the hash of a picture's name. It does not change when other properties of the picture do.
fn name_hash(picture: &Picture) -> u64 {
    let digest = blake3::hash(picture.image.as_bytes());
    u64::from_be_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

fn split(hashes: &[HashedPicture], prefix: HashPrefix, windows_max: u64, cuts: &mut Vec<ShardCut>) {
    let windows: u64 = hashes.iter().map(|hashed| u64::from(hashed.windows)).sum();
    if hashes.is_empty() {
        return;
    }
    if windows <= windows_max || hashes.len() == 1 || prefix.length == HASH_BITS {
        let mut pictures: Vec<u32> = hashes.iter().map(|hashed| hashed.index).collect();
        pictures.sort_unstable();
        cuts.push(ShardCut { prefix, pictures, windows });
        return;
    }
    let bit = HASH_BITS - 1 - prefix.length;
    let half = hashes.partition_point(|hashed| hashed.hash >> bit & 1 == 0);
    split(&hashes[..half], prefix.child(0), windows_max, cuts);
    split(&hashes[half..], prefix.child(1), windows_max, cuts);
}

/// Returns the name of the part that holds a metric's rows of a shard: the beginning of the fingerprint, the prefix, and a
/// digest of everything else that determines its content. `limits` are those on a picture's size: a larger picture gets
/// no score. If the part exists, it need not be made.
pub fn part_name(dataset: &DataSet, cut: &ShardCut, metric: &MetricSpec, limits: PictureLimits) -> String {
    let fingerprint = &metric.fingerprint;
    let reference = metric.reference();
    let mut hasher = Hasher::new_derive_key("dqa 2026 name of a part");
    let mut field = |bytes: &[u8]| digest::update_field(&mut hasher, bytes);
    field(&SCORES_VERSION.to_le_bytes());
    field(fingerprint.as_bytes());
    field(dataset.name.as_str().as_bytes());
    for picture in cut.pictures.iter().map(|index| &dataset.pictures[*index as usize]) {
        field(picture.algorithm.as_str().as_bytes());
        field(picture.scene.as_bytes());
        field(picture.scene_group.as_deref().unwrap_or("").as_bytes());
        field(&[u8::from(picture.scene_group.is_some()), u8::from(picture.mos.is_some())]);
        field(picture.image.as_bytes());
        field(dataset.uri(picture).as_bytes());
        field(picture.version.as_bytes());
        field(&picture.mos.unwrap_or(0.0).to_bits().to_le_bytes());
        // Hashed only if there are raters, so that parts whose labels have none keep their names.
        if let Some(Raters { count, std }) = picture.raters {
            field(b"raters");
            field(&count.to_le_bytes());
            field(&[u8::from(std.is_some())]);
            field(&std.unwrap_or(0.0).to_bits().to_le_bytes());
        }
        if let Some(kind) = reference {
            let reference = dataset.reference(picture, kind);
            field(b"reference");
            field(reference.map(|reference| dataset.uri(reference)).unwrap_or_default().as_bytes());
            field(reference.map_or("", |reference| &reference.version).as_bytes());
        }
    }
    // Hashed only if they differ from the default, so that parts of older versions keep their names.
    if !limits.is_default() {
        let PictureLimits { pixels_max, side_max, bytes_max } = limits;
        field(b"limits");
        field(&pixels_max.to_le_bytes());
        field(&side_max.to_le_bytes());
        field(&bytes_max.to_le_bytes());
    }
    let digest = hasher.finalize().to_hex();
    format!("{}-{}-{}", fingerprint_prefix(fingerprint), cut.prefix, &digest[..DIGEST_DIGITS])
}

/// Returns the name of a part with the rows of some pictures of the part `name`, which is still being made. It has the
/// same prefix and half of the same digest, so that whoever makes the part finds the rows; the other half is a digest of
/// the pictures.
pub fn kept_part_name<'a>(name: &str, images: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Hasher::new_derive_key("dqa 2026 name of a part with kept rows");
    digest::update_field(&mut hasher, name.as_bytes());
    images.for_each(|image| digest::update_field(&mut hasher, image.as_bytes()));
    format!("{}{}", shared_beginning(name), &hasher.finalize().to_hex()[..DIGEST_DIGITS / 2])
}

/// Returns whether `other` has rows that were kept while the part `name` was made.
pub fn is_kept_part(other: &str, name: &str) -> bool {
    other != name && other.len() == name.len() && other.starts_with(shared_beginning(name))
}

/// Returns what the key of a part and those of its kept rows have in common. None if the object is no part.
pub(crate) fn kept_beginning(key: &str) -> Option<&str> {
    key.strip_suffix(".parquet").filter(|_| is_part_key(key)).map(shared_beginning)
}

/// Returns what the names of a part and of its kept rows have in common.
fn shared_beginning(name: &str) -> &str {
    &name[..name.len().saturating_sub(DIGEST_DIGITS / 2)]
}

/// Returns the beginning of the fingerprint, which a part's name starts with.
pub fn fingerprint_prefix(fingerprint: &str) -> &str {
    &fingerprint[..fingerprint.len().min(12)]
}

/// Parses the hash prefix in a part's name. None if the part is of another metric.
pub fn hash_prefix_of_part(part: &str, fingerprint: &str) -> Option<HashPrefix> {
    let rest = part.strip_prefix(fingerprint_prefix(fingerprint))?.strip_prefix('-')?;
    HashPrefix::parse(rest.split_once('-')?.0)
}

/// Returns whether an object's key has the form of a part's: another file in the folder of parts is none.
pub fn is_part_key(key: &str) -> bool {
    let names: Vec<&str> = key.split('/').collect();
    let [SCORES, dataset, algorithm, file] = names[..] else { return false };
    let Some(part) = file.strip_suffix(".parquet") else { return false };
    let fields: Vec<&str> = part.split('-').collect();
    let is_name = matches!(fields[..], [_, prefix, _] if HashPrefix::parse(prefix).is_some());
    is_name && dataset.starts_with("by_dataset=") && algorithm.starts_with("by_algorithm=")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;

    fn picture(algorithm: u8, number: u16) -> Picture {
        Picture {
            algorithm: format!("a{algorithm}").parse().unwrap(),
            scene: format!("scene{number}").into(),
            scene_group: None,
            image: format!("a{algorithm}/{number}.png").into(),
            uri: None,
            bytes: 1,
            version: "v1".into(),
            mos: None,
            raters: None,
            hazy: None,
            clear: None,
        }
    }

    fn dataset(pictures: &BTreeSet<(u8, u16)>) -> DataSet {
        let root = Store::open("/", Path::new("")).unwrap();
        DataSet::new("d".parse().unwrap(), root, pictures.iter().map(|(a, n)| picture(*a, *n)).collect())
    }

    /// Derives a number of windows from the picture's name, so that it does not depend on other pictures.
    fn windows(picture: &Picture) -> u32 {
        15 + (name_hash(picture) % 400) as u32
    }

    fn plan(dataset: &DataSet, max: u64) -> Vec<ShardCut> {
        let cut_one = |(_, range): (AlgorithmName, Range<usize>)| {
            let windows: Vec<u32> = dataset.pictures[range.clone()].iter().map(windows).collect();
            cut_shards(dataset, range, &windows, max)
        };
        algorithm_ranges(dataset).into_iter().flat_map(cut_one).collect()
    }

    fn names(dataset: &DataSet, max: u64) -> BTreeSet<String> {
        plan(dataset, max).iter().map(|cut| name(dataset, cut, "0123456789abcdef")).collect()
    }

    fn name(dataset: &DataSet, cut: &ShardCut, fingerprint: &str) -> String {
        part_name(dataset, cut, &MetricSpec::clip_dqa(fingerprint), PictureLimits::default())
    }

    fn pictures() -> impl Strategy<Value = BTreeSet<(u8, u16)>> {
        proptest::collection::btree_set((0..4u8, 0..2000u16), 1..300)
    }

    proptest! {
        #[test]
        fn every_picture_is_in_one_shard_of_its_algorithm(pictures in pictures(), max in 1..4000u64) {
            let dataset = dataset(&pictures);
            let cuts = plan(&dataset, max);
            let mut seen: Vec<u32> = cuts.iter().flat_map(|cut| cut.pictures.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..dataset.pictures.len() as u32).collect::<Vec<_>>());
            for cut in &cuts {
                let algorithms: BTreeSet<_> = cut.pictures.iter().map(|i| &dataset.pictures[*i as usize].algorithm).collect();
                prop_assert_eq!(algorithms.len(), 1);
                let sum: u64 = cut.pictures.iter().map(|i| u64::from(windows(&dataset.pictures[*i as usize]))).sum();
                prop_assert_eq!(cut.windows, sum);
                prop_assert!(sum <= max || cut.pictures.len() == 1);
            }
        }

        #[test]
        fn one_picture_more_changes_at_most_one_shard(pictures in pictures(), more in (0..4u8, 2000..3000u16), max in 400..4000u64) {
            let before = names(&dataset(&pictures), max);
            let mut larger = pictures.clone();
            larger.insert(more);
            let after = names(&dataset(&larger), max);
            prop_assert!(before.difference(&after).count() <= 1, "one shard's worth is scored again");
        }

        #[test]
        fn another_algorithm_changes_no_shard(pictures in pictures(), max in 400..4000u64) {
            let before = names(&dataset(&pictures), max);
            let mut larger = pictures.clone();
            larger.extend((0..50).map(|n| (9, n)));
            prop_assert!(before.is_subset(&names(&dataset(&larger), max)));
        }

        #[test]
        fn a_prefix_reads_as_it_is_written(bits: u64, length in 0..=64u32) {
            let prefix = HashPrefix { bits: bits.checked_shr(64 - length).unwrap_or(0), length };
            prop_assert_eq!(HashPrefix::parse(&prefix.to_string()), Some(prefix));
            prop_assert!(prefix.overlaps(HashPrefix::ALL) && prefix.overlaps(prefix));
            if length < 64 {
                prop_assert!(prefix.overlaps(prefix.child(1)) && !prefix.child(0).overlaps(prefix.child(1)));
            }
        }
    }

    #[test]
    fn all_that_determines_a_part_is_in_its_name() {
        let base = dataset(&BTreeSet::from([(0, 1), (0, 2)]));
        let changed = |change: &dyn Fn(&mut DataSet)| {
            let mut dataset = base.clone();
            change(&mut dataset);
            names(&dataset, 4000)
        };
        let all: Vec<BTreeSet<String>> = vec![
            names(&base, 4000),
            changed(&|d| d.name = "other".parse().unwrap()),
            changed(&|d| d.pictures[0].version = "v2".into()),
            changed(&|d| d.pictures[0].scene = "x".into()),
            changed(&|d| d.pictures[0].scene_group = Some("x".into())),
            changed(&|d| d.pictures[0].scene_group = Some("".into())),
            changed(&|d| d.pictures[0].uri = Some("s3://x/y.png".into())),
            changed(&|d| d.pictures[0].mos = Some(0.0)),
            changed(&|d| d.pictures[0].mos = Some(0.5)),
            changed(&|d| d.pictures[0].raters = Some(Raters { count: 1, std: None })),
            changed(&|d| d.pictures[0].raters = Some(Raters { count: 2, std: None })),
            changed(&|d| d.pictures[0].raters = Some(Raters { count: 2, std: Some(0.0) })),
            changed(&|d| d.pictures[0].raters = Some(Raters { count: 2, std: Some(0.5) })),
        ];
        for (i, one) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{i}");
        }
        let cut = &plan(&base, 4000)[0];
        assert_ne!(name(&base, cut, &"1".repeat(64)), name(&base, cut, &"2".repeat(64)));
        let usual = PictureLimits::default();
        let metric = MetricSpec::clip_dqa("0123456789abcdef");
        let limited = |limits: PictureLimits| part_name(&base, cut, &metric, limits);
        let names = BTreeSet::from([
            limited(usual),
            limited(PictureLimits { pixels_max: 1 << 20, ..usual }),
            limited(PictureLimits { side_max: 1 << 20, ..usual }),
            limited(PictureLimits { bytes_max: 1 << 20, ..usual }),
        ]);
        assert_eq!(names.len(), 4);
        // The name in every earlier version: parts of existing stores must be found again.
        assert_eq!(limited(usual), "0123456789ab-s-bd5f86c9b82db0f6f083212f1dfa48ae");
    }

    #[test]
    fn a_part_s_name_says_where_it_belongs() {
        let dataset = dataset(&(0..200).map(|n| (0, n)).collect());
        let fingerprint = "ab".repeat(32);
        for cut in plan(&dataset, 2000) {
            let name = name(&dataset, &cut, &fingerprint);
            assert_eq!(hash_prefix_of_part(&name, &fingerprint), Some(cut.prefix));
            assert_eq!(hash_prefix_of_part(&name, &"cd".repeat(32)), None);
            let kept = [["a", "b"], ["a", "c"]].map(|images| kept_part_name(&name, images.into_iter()));
            assert_ne!(kept[0], kept[1]);
            assert!(kept.iter().all(|kept| is_kept_part(kept, &name)) && !is_kept_part(&name, &name), "{kept:?}");
            let mut another = dataset.clone();
            another.pictures.iter_mut().for_each(|picture| picture.version = "v2".into());
            assert!(!is_kept_part(&kept[0], &self::name(&another, &cut, &fingerprint)), "of other pictures");
            assert_eq!(hash_prefix_of_part(&kept[0], &fingerprint), Some(cut.prefix), "its rows can be reused");
            assert!(is_part_key(&crate::tables::scores::part_key("d", "a0", &kept[0])));
        }
    }

    #[test]
    fn shards_are_of_about_equal_work() {
        let dataset = dataset(&(0..20_000u16).map(|n| (0, n)).collect());
        let cuts = plan(&dataset, SHARD_WINDOWS_MAX);
        let mean = cuts.iter().map(|cut| cut.windows).sum::<u64>() / cuts.len() as u64;
        let uneven = cuts.iter().filter(|cut| cut.windows * 3 < mean).count();
        assert!(mean > SHARD_WINDOWS_MAX / 2, "{mean}");
        assert!(uneven * 20 < cuts.len(), "{uneven} of {}", cuts.len());
    }
}
