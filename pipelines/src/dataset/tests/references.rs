//! Hazy inputs and clear pictures: how they are found, linked, checked and copied.

use super::*;

/// Returns the file of a picture's reference.
fn reference_of<'d>(data: &'d DataSet, image: &str, kind: ReferenceKind) -> Option<&'d str> {
    data.reference(picture(data, image), kind).map(|reference| &*reference.image)
}

fn clear_of<'d>(data: &'d DataSet, image: &str) -> Option<&'d str> {
    reference_of(data, image, ReferenceKind::Clear)
}

const LAYOUT: &str = "name = \"s\"\nroot = \"s\"\nlayout = \"{algorithm}/{scene}.png\"\n";

#[tokio::test]
async fn clear_pictures_are_linked_by_scene_from_a_root_of_their_own() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/a/2.png", "s/b/1.png", "s/b/2.png", "hazy/1.png", "truth/1.jpg", "truth/3.jpg"]);
    let sections =
        "[hazy]\nroot = \"hazy\"\nlayout = \"{scene}.png\"\n[clear]\nroot = \"truth\"\nlayout = \"{scene}.jpg\"";
    let data = dir.define(&format!("{LAYOUT}{sections}")).await.unwrap();
    assert_eq!((data.inputs.len(), data.clear_pictures.len(), data.pictures.len()), (1, 2, 4));
    for image in ["a/1.png", "b/1.png"] {
        assert_eq!(clear_of(&data, image), Some("1.jpg"));
        assert_eq!(reference_of(&data, image, ReferenceKind::Hazy), Some("1.png"));
    }
    assert_eq!(clear_of(&data, "a/2.png"), None);
    let clear = data.reference(picture(&data, "b/1.png"), ReferenceKind::Clear).unwrap();
    assert!(data.uri(clear).ends_with("/truth/1.jpg"), "{}", data.uri(clear));
    assert_eq!((clear.algorithm.as_str(), clear.bytes > 0, clear.version.is_empty()), ("clear", true, false));
    assert_eq!(data.references_as_data_set(ReferenceKind::Clear).pictures, data.clear_pictures);
    let check = unlooked(&data);
    assert_eq!((check.without_hazy, check.without_clear, check.unlike_clear), (2, 2, 0));
    assert!(check.is_clean() && check.to_string().contains("2 pictures have no clear reference"), "{check}");
}

#[tokio::test]
async fn of_several_clear_pictures_the_first_by_name_is_used() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/clear/1_c.png", "s/clear/1_a.png", "s/clear/1_b.png"]);
    let data = dir.define(&format!("{LAYOUT}[clear]\nlayout = \"clear/{{scene}}_{{}}.png\"")).await.unwrap();
    assert_eq!(clear_of(&data, "a/1.png"), Some("clear/1_a.png"));
    assert_eq!((data.faults.len(), data.faults[0].kind), (1, FaultKind::SecondClear));
    assert_eq!(data.faults[0].named, ["clear/1_b.png", "clear/1_c.png"]);
}

#[tokio::test]
async fn clear_pictures_that_cannot_be_linked_are_set_apart_with_a_note() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/truth/x.png", "s/truth/y.png"]);
    let section = "[clear]\nlayout = \"truth/{}.png\"\n";
    let data = dir.define(&format!("{LAYOUT}{section}")).await.unwrap();
    assert_eq!((names(&data), data.clear_pictures.len()), (vec!["a".to_owned()], 0));
    assert!(unlooked(&data).is_clean());
    assert!(data.notes[0].contains("`truth/{}.png` has no capture in common"), "{:?}", data.notes);

    dir.file("s/s.csv", "algorithm,uri\na,a/1.png\n");
    let data = dir.define(&format!("name = \"s\"\nroot = \"s\"\nmanifest = \"s.csv\"\n{section}")).await.unwrap();
    assert!(data.notes[0].contains("the column `clear_uri` names them"), "{:?}", data.notes);
}

#[tokio::test]
async fn a_manifest_names_clear_pictures() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/b/1.png", "s/a/2.png", "s/a/3.png", "s/hazy/1.png", "s/gt/1.png", "elsewhere/2.png"]);
    let elsewhere = dir.path("elsewhere/2.png").canonicalize().unwrap().display().to_string();
    let rows = format!(
        "a,a/1.png,hazy/1.png,gt/1.png\nb,b/1.png,,gt/1.png\na,a/2.png,,{elsewhere}\na,a/3.png,,gt/missing.png\n"
    );
    dir.file("s/s.csv", format!("algorithm,uri,hazy_uri,clear_uri\n{rows}"));
    let data = dir.load("s/s.csv").await.unwrap();
    assert_eq!((data.pictures.len(), data.inputs.len(), data.clear_pictures.len()), (4, 1, 2));
    assert_eq!(clear_of(&data, "a/1.png"), Some("gt/1.png"));
    assert_eq!(clear_of(&data, "b/1.png"), Some("gt/1.png"));
    assert_eq!(clear_of(&data, "a/3.png"), None);
    assert_eq!(reference_of(&data, "a/1.png", ReferenceKind::Hazy), Some("hazy/1.png"));
    let second = data.reference(picture(&data, "a/2.png"), ReferenceKind::Clear).unwrap();
    assert!(data.uri(second).starts_with("file://") && data.uri(second).ends_with("/elsewhere/2.png"));
    assert_eq!((data.faults[0].kind, &*data.faults[0].named), (FaultKind::Absent, &["gt/missing.png".to_owned()][..]));
}

#[tokio::test]
async fn a_clear_folder_beside_the_algorithms_is_their_reference() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/a/2.png", "s/b/1.png", "s/hazy/1.png", "s/hazy/2.png", "s/GT/1.png", "s/GT/2.png"]);
    let data = dir.load("s").await.unwrap();
    assert_eq!((names(&data), data.inputs.len(), data.clear_pictures.len()), (vec!["a".into(), "b".into()], 2, 2));
    assert_eq!(clear_of(&data, "a/2.png"), Some("GT/2.png"));
    assert_eq!(reference_of(&data, "a/2.png", ReferenceKind::Hazy), Some("hazy/2.png"));
    let rows = data.hazy_rows();
    assert_eq!(data.reference(&rows.pictures[1], ReferenceKind::Clear).unwrap().image, "GT/2.png".into());
    // Selected by name, the inputs are compared with the clear pictures, and these with nothing.
    let all = AlgorithmSelection::Named(vec!["all".to_owned(), "hazy".to_owned(), "GT".to_owned()]);
    let data = data.select(&all).unwrap();
    assert_eq!(clear_of(&data, "hazy/1.png"), Some("GT/1.png"));
    assert_eq!(clear_of(&data, "GT/1.png"), None);
    assert_eq!(reference_of(&data, "hazy/1.png", ReferenceKind::Hazy), None);
}

#[tokio::test]
async fn a_clear_folder_does_not_replace_the_references_of_the_definition() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/gt/1.png", "truth/2.png"]);
    let toml = format!("{LAYOUT}[clear]\nroot = \"truth\"\nlayout = \"{{scene}}.png\"");
    let data = dir.define(&toml).await.unwrap();
    assert_eq!((data.clear_pictures.len(), clear_of(&data, "a/1.png")), (1, None));
}

#[tokio::test]
async fn a_hazy_row_has_the_clear_picture_that_its_pictures_share() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/b/1.png", "s/a/2.png", "s/b/2.png", "s/hazy/1.png", "s/hazy/2.png", "s/gt/x.png"]);
    dir.pictures(["s/gt/y.png"]);
    let rows = "a,a/1.png,hazy/1.png,gt/x.png\nb,b/1.png,hazy/1.png,gt/x.png\n\
                a,a/2.png,hazy/2.png,gt/x.png\nb,b/2.png,hazy/2.png,gt/y.png\n";
    dir.file("s/s.csv", format!("algorithm,uri,hazy_uri,clear_uri\n{rows}"));
    let mut data = dir.load("s/s.csv").await.unwrap();
    data.add_hazy_rows(data.hazy_rows());
    assert_eq!(clear_of(&data, "hazy/1.png"), Some("gt/x.png"));
    assert_eq!(clear_of(&data, "hazy/2.png"), None, "its pictures have two");
}

#[tokio::test]
async fn a_clear_reference_of_another_size_is_a_remark() {
    let dir = Dir::new();
    dir.pictures(["s/a/1.png", "s/a/2.png", "s/b/1.png", "s/clear/1.png", "s/clear/2.png"]);
    let data = dir.define(&format!("{LAYOUT}[clear]\nlayout = \"clear/{{scene}}.png\"")).await.unwrap();
    let header = |picture: &Picture| match &*picture.image {
        "clear/1.png" => Some(PictureHeader::Size { width: 10, height: 20 }),
        "clear/2.png" => Some(PictureHeader::Unreadable { code: "corrupt".into(), message: "it ends early".into() }),
        _ => Some(PictureHeader::Size { width: 20, height: 10 }),
    };
    let check = check(&data, &header);
    let line = "2 pictures are of another size than their clear reference: a/1.png is 20x10 and not 10x20, \
                b/1.png is 20x10 and not 10x20";
    assert_eq!((check.unlike_clear, check.without_clear, check.remarks()), (2, 0, vec![line.to_owned()]));
    assert_eq!((check.counts.unlike_input, check.faults.len()), (0, 0), "{check}");
}
