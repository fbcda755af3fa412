//! The definitions of published data sets that are in the program, so that it knows them wherever it runs. A file of the
//! same name in `configs/datasets` of the working directory wins over them.

/// The definitions by name, in the order of the names.
const READY: [(&str, &str); 5] = [
    ("bedde", include_str!("../../../configs/datasets/bedde.toml")),
    ("dhq", include_str!("../../../configs/datasets/dhq.toml")),
    ("exbedde", include_str!("../../../configs/datasets/exbedde.toml")),
    ("shrq-aerial", include_str!("../../../configs/datasets/shrq-aerial.toml")),
    ("shrq-regular", include_str!("../../../configs/datasets/shrq-regular.toml")),
];

/// Returns the text of a definition that is in the program.
pub(super) fn text(name: &str) -> Option<&'static str> {
    READY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Iterates over the names of the definitions that are in the program.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    READY.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_definitions_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
        let files = folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.map(|file| file.strip_suffix(".toml").unwrap().to_owned()).collect();
        files.sort();
        assert_eq!(files, names().collect::<Vec<_>>());
    }
}
