//! Finds the key that a path in a table means. The path may have backslashes, the folders of another machine before it, or no
//! folders at all.

use std::collections::HashMap;

/// An index of keys that are found by paths.
pub(super) struct PathIndex<'k> {
    keys: Vec<&'k str>,
    whole: HashMap<&'k str, PathMatch>,
    by_file: HashMap<&'k str, Vec<u32>>,
}

/// The result of looking up a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    None,
    /// The key with this index.
    One(u32),
    Ambiguous,
}

impl<'k> PathIndex<'k> {
    pub(super) fn new(keys: impl Iterator<Item = &'k str>) -> PathIndex<'k> {
        let keys: Vec<&str> = keys.collect();
        let mut whole = HashMap::with_capacity(keys.len());
        let mut by_file: HashMap<&str, Vec<u32>> = HashMap::with_capacity(keys.len());
        for (number, key) in (0..).zip(&keys) {
            whole.entry(*key).and_modify(|meant| *meant = PathMatch::Ambiguous).or_insert(PathMatch::One(number));
            by_file.entry(key.rsplit('/').next().unwrap_or(key)).or_default().push(number);
        }
        PathIndex { keys, whole, by_file }
    }

    /// Finds the key that equals the path or is its end, or else the only key that ends with the path. Whole folders are
    /// compared.
    pub(super) fn find(&self, path: &str) -> PathMatch {
        let path = plain(path);
        // `results//dcp/./1.png` is `results/dcp/1.png`.
        let is_part = |part: &&str| !part.is_empty() && *part != ".";
        let path = path.split('/').filter(is_part).collect::<Vec<_>>().join("/");
        let ends = std::iter::successors(Some(path.as_str()), |end| end.split_once('/').map(|(_, rest)| rest));
        if let Some(meant) = ends.filter_map(|end| self.whole.get(end)).next() {
            return *meant;
        }
        let same_file = self.by_file.get(path.rsplit('/').next().unwrap_or(&path));
        let ends_so = |number: &&u32| {
            self.keys[**number as usize].strip_suffix(path.as_str()).is_some_and(|before| before.ends_with('/'))
        };
        let mut found = same_file.into_iter().flatten().filter(ends_so);
        match (found.next(), found.next()) {
            (Some(number), None) => PathMatch::One(*number),
            (Some(_), Some(_)) => PathMatch::Ambiguous,
            (None, _) => PathMatch::None,
        }
    }
}

/// Returns a path with slashes, and without `./` or `/` at its start.
pub(super) fn plain(path: &str) -> String {
    let path = path.trim().replace('\\', "/");
    path.trim_start_matches("./").trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_form_are_found() {
        let keys = ["Dehaze/0001.png", "Dehaze/0002.png", "a/x.png", "b/x.png", "x/c/y.png", "y.png"];
        let paths = PathIndex::new(keys.into_iter());
        for (path, meant) in [
            ("Dehaze/0001.png", PathMatch::One(0)),
            ("Dehaze\\0002.png", PathMatch::One(1)),
            (".\\Dehaze\\0002.png ", PathMatch::One(1)),
            ("D:\\sets\\DHQ\\Dehaze\\0002.png", PathMatch::One(1)),
            ("0001.png", PathMatch::One(0)),
            ("x.png", PathMatch::Ambiguous),
            ("b/x.png", PathMatch::One(3)),
            ("c/y.png", PathMatch::One(5)), // `y.png` is a whole key, and the path ends with it
            ("001.png", PathMatch::None),
            ("haze/0001.png", PathMatch::None),
            ("", PathMatch::None),
            ("Dehaze//./0002.png", PathMatch::One(1)),
        ] {
            assert_eq!(paths.find(path), meant, "{path}");
        }
    }
}
