//! Tests data sets of tars: they are found like those of loose files, and their pictures are read by byte range.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use dqa_pipelines::causes;
use dqa_pipelines::dataset::{DataSet, DatasetError, Picture, ReferenceKind, check, find_definition, load};
use dqa_pipelines::store::StoreResolver;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a tar in which each member's content is its name as it will be listed.
    fn tar(&self, name: &str, members: &[&str]) {
        let mut tar = tar::Builder::new(Vec::new());
        for member in members {
            let content = member.trim_start_matches("./").as_bytes();
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, member, content).unwrap();
        }
        self.file(name, tar.into_inner().unwrap());
    }

    async fn load(&self, text: &str) -> Result<DataSet, DatasetError> {
        load(&find_definition(text, self.0.path())?).await
    }

    async fn define(&self, toml: &str) -> Result<DataSet, DatasetError> {
        self.file("d.toml", format!("name = \"s\"\nroot = \"s\"\n{toml}"));
        self.load("d.toml").await
    }
}

fn algorithms_and_scenes(data: &DataSet) -> Vec<(String, String)> {
    data.pictures.iter().map(|picture| (picture.algorithm.to_string(), picture.scene.to_string())).collect()
}

/// Returns the four pairs that each data set of `each_common_arrangement_is_found_with_and_without_a_definition` has.
fn expected_pairs() -> Vec<(String, String)> {
    [("aod", "1"), ("aod", "2"), ("dcp", "1"), ("dcp", "2")].map(|(a, s)| (a.to_owned(), s.to_owned())).to_vec()
}

/// Asserts that the picture, whose content is its member name, can be read by its URI.
async fn assert_is_readable(data: &DataSet, stores: &StoreResolver, picture: &Picture) {
    let uri = data.uri(picture);
    let bytes = stores.read(&uri).await.unwrap();
    let member = picture.image.split_once(".tar/").unwrap().1;
    assert_eq!(bytes, member, "{uri}");
    assert_eq!(stores.read_first(&uri, 3).await.unwrap(), member[..3]);
    let object = stores.head(&uri).await.unwrap();
    assert_eq!((object.bytes, object.version.as_str()), (picture.bytes, &*picture.version));
}

#[tokio::test]
async fn each_common_arrangement_is_found_with_and_without_a_definition() {
    type Tars = &'static [(&'static str, &'static [&'static str])];
    let arrangements: [(&str, Tars); 4] = [
        (
            "{algorithm}.tar/{scene}.png",
            &[("aod.tar", &["1.png", "2.png", "2.json"]), ("dcp.tar", &["./1.png", "2.png"])],
        ),
        (
            "{algorithm}/{}.tar/{scene}.{ext}",
            &[("aod/0.tar", &["1.png"]), ("aod/1.tar", &["2.png"]), ("dcp/0.tar", &["1.png", "2.png"])],
        ),
        (
            "{}.tar/{algorithm}/{scene}.png",
            &[("0.tar", &["aod/1.png", "dcp/2.png"]), ("1.tar", &["aod/2.png", "dcp/1.png"])],
        ),
        (
            "{}.tar/{scene}.{algorithm}.png",
            &[("0.tar", &["1.aod.png", "1.dcp.png", "1.json", "2.aod.png", "2.dcp.png"])],
        ),
    ];
    for (index, (layout, tars)) in arrangements.into_iter().enumerate() {
        let dir = Dir::new();
        for (name, members) in tars {
            dir.tar(&format!("s/{name}"), members);
        }
        let data = dir.define(&format!("layout = \"{layout}\"")).await.unwrap();
        assert_eq!(algorithms_and_scenes(&data), expected_pairs(), "{layout}");
        assert!(check(&data, &|_| None).is_clean(), "{layout}");
        let stores = StoreResolver::default();
        for picture in &data.pictures {
            assert_is_readable(&data, &stores, picture).await;
        }
        // Without a definition, `1.aod.png` cannot be recognized as a scene and an algorithm.
        if index < 3 {
            assert_eq!(dir.load("s").await.unwrap().pictures, data.pictures, "{layout}");
        }
    }
}

#[tokio::test]
async fn labels_and_references_match_pictures_in_tars() {
    let dir = Dir::new();
    dir.tar("s/0.tar", &["dcp/1.png", "dcp/2.png", "hazy/1.png", "hazy/2.png", "odd.png"]);
    dir.tar("s/clear/0.tar", &["1.png", "2.png"]);
    dir.tar("s/old.tar", &["dcp/1.png"]);
    dir.file("s/by_image.csv", "image,mos\ndcp/1.png,0.5\n0.tar/dcp/2.png,0.25\n");
    dir.file("s/by_scene.csv", "scene,algorithm,mos\n1,dcp,0.5\n2,dcp,0.25\n");
    for table in ["by_image", "by_scene"] {
        let data = dir
            .define(&format!(
                "layout = \"{{}}.tar/{{algorithm}}/{{scene}}.png\"\nskip = \"old.tar\"\n\
                 [hazy]\nlayout = \"{{}}.tar/hazy/{{scene}}.png\"\n\
                 [clear]\nlayout = \"clear/{{}}.tar/{{scene}}.png\"\n[labels]\nfile = \"{table}.csv\""
            ))
            .await
            .unwrap();
        assert_eq!(data.pictures.iter().map(|picture| picture.mos).collect::<Vec<_>>(), [Some(0.5), Some(0.25)]);
        for (kind, image) in [(ReferenceKind::Hazy, "0.tar/hazy/2.png"), (ReferenceKind::Clear, "clear/0.tar/2.png")] {
            let reference = data.reference(&data.pictures[1], kind).unwrap();
            assert_is_readable(&data, &StoreResolver::default(), reference).await;
            assert_eq!(&*reference.image, image);
        }
        let faults: Vec<String> = data.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["1 picture files match no layout: 0.tar/odd.png"]);
    }
    let toml = "layout = \"{}.tar/{algorithm}/{scene}.png\"\n[labels]\nfile = \"{}.tar/{scene}.csv\"";
    assert!(causes(&dir.define(toml).await.unwrap_err()).to_string().contains("labels are only read from files"));
}

#[tokio::test]
async fn a_manifest_names_tar_members_by_uri() {
    let dir = Dir::new();
    dir.tar("s/dcp.tar", &["a/1.png", "a/2.png"]);
    let data = dir.define("layout = \"{algorithm}.tar/a/{scene}.png\"").await.unwrap();
    let rows = data.pictures.iter().map(|picture| format!("dcp,{}\n", data.uri(picture)));
    dir.file("reloaded.csv", format!("algorithm,uri\n{}", rows.collect::<String>()));
    let reloaded = dir.load("reloaded.csv").await.unwrap();
    assert_eq!(algorithms_and_scenes(&reloaded), algorithms_and_scenes(&data));
    for (original, reread) in data.pictures.iter().zip(&reloaded.pictures) {
        assert_eq!(
            (data.uri(original), original.bytes, &original.version),
            (reloaded.uri(reread), reread.bytes, &reread.version)
        );
        assert!(reread.image.ends_with(&*original.image), "{}", reread.image);
    }
}

#[tokio::test]
async fn a_changed_tar_changes_its_pictures() {
    let dir = Dir::new();
    dir.tar("s/dcp.tar", &["1.png", "2.png"]);
    let layout = "layout = \"{algorithm}.tar/{scene}.png\"";
    let before = dir.define(layout).await.unwrap();
    dir.tar("s/dcp.tar", &["1.png", "2.png", "3.png"]);
    let after = dir.define(layout).await.unwrap();
    assert_ne!(before.pictures[0].version, after.pictures[0].version);
    assert_eq!(before.uri(&before.pictures[0]), after.uri(&after.pictures[0]));
    dir.file("s/dcp.tar", "cut");
    let error = StoreResolver::default().read(&before.uri(&before.pictures[1])).await.unwrap_err();
    assert!(causes(&error).to_string().contains("dcp.tar"), "{error}");
}

#[tokio::test]
async fn unreadable_tars_are_refused_with_their_name_and_a_hint() {
    let layout = "layout = \"{algorithm}.tar/{scene}.png\"";
    for (file, part) in [("dcp.tar.gz", "gzip"), ("dcp.tgz", "gzip"), ("dcp.tar.zst", "zstd"), ("dcp.tar.xz", "xz")] {
        let dir = Dir::new();
        dir.file(&format!("s/{file}"), "any");
        for error in [dir.define(layout).await.unwrap_err(), dir.load("s").await.unwrap_err()] {
            let message = causes(&error).to_string();
            assert!(message.contains(file) && message.contains(part) && message.contains("unpack it"), "{message}");
        }
        dir.tar("s/dcp.tar", &["1.png"]);
        dir.define(&format!("{layout}\nskip = \"{file}\"")).await.unwrap();
    }
    let dir = Dir::new();
    dir.tar("s/dcp.tar", &["1.png", "2.png"]);
    let whole = std::fs::read(dir.0.path().join("s/dcp.tar")).unwrap();
    dir.file("s/dcp.tar", &whole[..1024]);
    let message = causes(&dir.define(layout).await.unwrap_err()).to_string();
    assert!(message.contains("s/dcp.tar: it ends at offset 1024"), "{message}");
    // A tar that no layout enters is treated like any other file.
    dir.file("s/dcp/1.png", "1");
    assert_eq!(dir.define("layout = \"{algorithm}/{scene}.png\"").await.unwrap().pictures.len(), 1);
    assert_eq!(dir.load("s").await.unwrap().pictures.len(), 1);
}
