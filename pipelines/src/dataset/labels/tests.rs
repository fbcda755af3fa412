//! Label files as people send them: two algorithms' pictures of three scenes, of which one algorithm's author zipped on a Mac,
//! so that an accent is a character of its own.

use std::path::Path;

use crate::causes;
use crate::dataset::table_file::workbook_for_tests;
use crate::dataset::{DataSet, DatasetError, FaultKind, Raters, check, find_definition, load};

const SCENES: [&str; 3] = ["0001", "0002", "caf\u{e9}"];
const MOS: [(&str, [f64; 3]); 2] = [("aod", [1.5, 2.0, 3.0]), ("dcp", [3.5, 2.25, 4.0])];

struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Case {
        let case = Case(tempfile::tempdir().unwrap());
        for (algorithm, _) in MOS {
            for scene in SCENES {
                let scene = if algorithm == "aod" { scene.replace('\u{e9}', "e\u{301}") } else { scene.to_owned() };
                case.file(&format!("results/{algorithm}/{scene}.png"), b"not looked at");
            }
        }
        case
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Loads the data set with labels in this file; `options` are more lines of [labels].
    async fn load(&self, file: &str, content: impl AsRef<[u8]>, options: &str) -> Result<DataSet, DatasetError> {
        self.file(&format!("results/{file}"), content.as_ref());
        let layout = "name = \"labels\"\nroot = \"results\"\nlayout = \"{algorithm}/{scene}.png\"\n";
        self.file("d.toml", format!("{layout}[labels]\nfile = \"{file}\"\n{options}").as_bytes());
        load(&find_definition(&self.0.path().join("d.toml").display().to_string(), Path::new("/"))?).await
    }

    async fn error(&self, file: &str, content: impl AsRef<[u8]>, options: &str) -> String {
        causes(&self.load(file, content, options).await.unwrap_err()).to_string()
    }

    async fn good(&self, content: impl AsRef<[u8]>, options: &str) -> DataSet {
        let text = String::from_utf8_lossy(content.as_ref()).into_owned();
        let data = self.load("mos.csv", content, options).await;
        data.unwrap_or_else(|error| panic!("{text}\n{}", causes(&error)))
    }
}

/// Makes a row for each picture.
fn rows(row: impl Fn(&str, &str, f64) -> String) -> String {
    let all =
        MOS.iter().flat_map(|(algorithm, mos)| SCENES.iter().zip(mos).map(move |(scene, mos)| (algorithm, scene, mos)));
    all.map(|(algorithm, scene, mos)| row(algorithm, scene, *mos) + "\n").collect()
}

fn labels(data: &DataSet) -> Vec<Option<f64>> {
    data.pictures.iter().map(|picture| picture.mos).collect()
}

/// Asserts that all labels are assigned and nothing is wrong.
fn assert_whole(data: &DataSet) {
    let all: Vec<Option<f64>> = MOS.iter().flat_map(|(_, mos)| mos.map(Some)).collect();
    assert_eq!(labels(data), all, "{:?} {:?}", data.faults, data.notes);
    assert!(data.faults.is_empty(), "{:?}", data.faults);
}

#[tokio::test]
async fn what_can_be_meant_in_one_way_is_matched_and_said() {
    let case = Case::new();
    let unicode = "1 labels matched though their names are in another Unicode form";
    for (row, notes) in [
        ((|a, s, m| format!("{a}/{s}.png,{m}")) as fn(&str, &str, f64) -> String, vec![unicode]),
        (|a, s, m| format!("{a}/{s},{m}"), vec!["6 labels matched without their extension"]),
        (|a, s, m| format!("{a}/{s}.bmp,{m}"), vec!["6 labels matched though they name another extension"]),
        (|a, s, m| format!("{a}/{s}.PNG,{m}"), vec!["6 labels matched though their extension is in another case"]),
        (|a, s, m| format!("D:\\my sets\\out\\{a}\\{s}.png,{m}"), vec![unicode]),
        (|a, s, m| format!("./{a}//{s}.png,{m}"), vec![unicode]),
        (|a, s, m| format!("\"/data/results/{a}/{s}.png\",\" {m} \""), vec![unicode]),
        (|a, s, m| format!("\u{201c}{a}/{s}.png\u{201d},\u{201c}{m}\u{201d}"), vec![unicode]),
        (|a, s, m| format!("https://x.org/r/{a}/{}.png?raw=true,{m}", s.replace('\u{e9}', "%C3%A9")), vec![unicode]),
    ] {
        let data = case.good(format!("image,mos\n{}", rows(row)), "").await;
        assert_whole(&data);
        assert_eq!(data.notes, notes);
    }
    let by_scene = case.good(format!("scene,algorithm,mos\n{}", rows(|a, s, m| format!("{s}.png,{a},{m}"))), "").await;
    assert_whole(&by_scene);
    assert_eq!(
        by_scene.notes,
        ["6 labels matched though their extension is in another case"],
        "of a scene that has one"
    );
}

#[tokio::test]
async fn files_are_read_as_programs_write_them() {
    let case = Case::new();
    let usual = || format!("image,mos\n{}", rows(|a, s, m| format!("{a}/{s}.png,{m}")));
    let comma = |m: f64| m.to_string().replace('.', ",");
    let utf_16 = |to: fn(u16) -> [u8; 2]| {
        "\u{feff}".encode_utf16().chain(usual().encode_utf16()).flat_map(to).collect::<Vec<u8>>()
    };
    for (what, content) in [
        ("semicolons", format!("image;mos\n{}", rows(|a, s, m| format!("{a}/{s}.png;{}", comma(m)))).into_bytes()),
        ("tabs in a .csv", usual().replace(',', "\t").into_bytes()),
        ("bars", usual().replace(',', "|").into_bytes()),
        ("a mark", format!("\u{feff}{}", usual()).into_bytes()),
        ("UTF-16", utf_16(u16::to_le_bytes)),
        ("UTF-16 of the other order", utf_16(u16::to_be_bytes)),
        ("returns", usual().replace('\n', "\r").into_bytes()),
        ("Windows", usual().replace('\n', "\r\n").into_bytes()),
        ("comments", format!("# MOS by 20 \"raters\n\n{}", usual()).into_bytes()),
        ("NumPy", format!("# {}", usual()).into_bytes()),
        ("blank rows", usual().replace('\n', "\n , \n\n").into_bytes()),
        ("a blank last column", usual().replace('\n', ",\n").into_bytes()),
        ("names in another case", usual().replace("image,mos", " Image ,MOS").into_bytes()),
        ("Excel's own line", format!("sep=;\r\n{}", usual().replace(',', ";")).into_bytes()),
        ("pandas with an index", format!(",image,mos\n{}", numbered(&usual())).into_bytes()),
        ("R with names of rows", format!("\"\",\"image\",\"mos\"\n{}", numbered(&usual())).into_bytes()),
        ("R's write.table", format!("image,mos\n{}", numbered(&usual())).into_bytes()),
        (
            "quoted decimals",
            format!("image,mos\n{}", rows(|a, s, m| format!("{a}/{s}.png,\"{}\"", comma(m)))).into_bytes(),
        ),
        (
            "more columns",
            format!("mos,subjects,image\n{}", rows(|a, s, m| format!("{m},\"a, b\",{a}/{s}.png"))).into_bytes(),
        ),
    ] {
        let data = case.load("mos.csv", content, "").await.unwrap_or_else(|error| panic!("{what}: {}", causes(&error)));
        assert_whole(&data);
    }
    let gbk = encoding_rs::GBK.encode(&usual()).0.into_owned();
    assert_whole(&case.good(&gbk, "encoding = \"gbk\"").await);
    let latin: Vec<u8> = usual().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_whole(&case.good(&latin, "encoding = \"latin1\"").await);
    let error = case.error("mos.csv", &latin, "").await;
    assert!(error.contains("mos.csv") && error.contains("line 4 is not UTF-8"), "{error}");
    assert!(error.contains("\"windows-1252\" reads `aod/caf\u{e9}.png,3`"), "{error}");
    assert!(case.error("mos.csv", usual(), "encoding = \"klingon\"").await.contains("unknown encoding `klingon`"));
}

/// Returns the rows below the header, each with its number before it.
fn numbered(table: &str) -> String {
    table.lines().skip(1).enumerate().map(|(at, line)| format!("{},{line}\n", at + 1)).collect()
}

#[tokio::test]
async fn zeros_that_a_spreadsheet_took_are_told_with_the_option_that_mends_it() {
    let case = Case::new();
    let by_scene = format!("scene,algorithm,mos\n{}", rows(|a, s, m| format!("{},{a},{m}", s.trim_start_matches('0'))));
    let data = case.good(&by_scene, "").await;
    let fault = data.faults.iter().find(|fault| fault.kind == FaultKind::LabelWithoutPicture).unwrap();
    assert_eq!(fault.count, 4);
    let text = fault.to_string();
    assert!(text.starts_with("4 labels have no picture: 1 by aod,"), "{text}");
    assert!(
        text.contains("4 of them differ from pictures in leading zeros") && text.contains("`ignore = \"zeros\"`"),
        "{text}"
    );
    assert!(!check(&data, &|_| None).is_clean());
    let data = case.good(&by_scene, "ignore = \"zeros\"").await;
    assert_whole(&data);
    assert!(data.notes.contains(&"4 labels matched without regard to leading zeros".to_owned()), "{:?}", data.notes);
    // All of them: an error.
    let no_cafe = by_scene.lines().filter(|line| line.is_ascii()).collect::<Vec<_>>().join("\n");
    let error = case.error("mos.csv", &no_cafe, "").await;
    assert!(error.contains("none of its 4 rows matches a picture: `1 by aod`"), "{error}");
    assert!(error.contains("`ignore = \"zeros\"` in [labels]"), "{error}");
    // As real numbers, and in paths.
    assert_eq!(labels(&case.good("scene,algorithm,mos\n1.0,dcp,5\n", "ignore = \"zeros\"").await)[3], Some(5.0));
    assert_eq!(labels(&case.good("image,mos\ndcp/2,5\n", "ignore = \"zeros\"").await)[4], Some(5.0));
    // A label that fits two pictures is assigned to neither.
    case.file("results/dcp/01.png", b"");
    let error = case.error("mos.csv", "image,mos\ndcp/1,5\n", "ignore = \"zeros\"").await;
    assert!(error.contains("1 of them fit more than one picture"), "{error}");
}

#[tokio::test]
async fn labels_of_no_picture_say_why() {
    let case = Case::new();
    let good = "dcp/0001.png,1\n";
    for (row, part) in [
        ("DCP/0002.PNG,1", "differ from pictures in upper and lower case (`DCP/0002.PNG` and `dcp/0002.png`"),
        ("dcp/old/0002.png,1", "in another folder"),
        ("nowhere/of/9.png,1", "a picture is `aod/0001.png`"),
    ] {
        let data = case.good(format!("image,mos\n{good}{row}\n"), "").await;
        let text = data.faults[0].to_string();
        assert!(text.contains(part), "{text}");
    }
    let good = "scene,algorithm,mos\n0001,dcp,1\n";
    for (row, part) in [
        ("0002,DCP,1", "`ignore = \"case\"`"),
        ("0009,dcp,1", "`dcp` has no scene `0009`; it has `0001`"),
        ("0002,He09,1", "there is a scene `0002` and no algorithm `He09`; add an alias: [algorithms] \"He09\" ="),
    ] {
        let data = case.good(format!("{good}{row}\n"), "").await;
        let text = data.faults[0].to_string();
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(labels(&case.good(format!("{good}0002,DCP,2\n"), "ignore = [\"case\"]").await)[4], Some(2.0));
    // The same name with two extensions.
    case.file("results/dcp/0001.jpg", b"");
    let layout =
        "name = \"d\"\nroot = \"results\"\nlayout = \"{algorithm}/{scene}.{ext}\"\n[labels]\nfile = \"l.csv\"\n";
    case.file("results/l.csv", b"image,mos\ndcp/0002,1\ndcp/0001,2\n");
    case.file("e.toml", layout.as_bytes());
    let data = load(&find_definition(&case.0.path().join("e.toml").display().to_string(), Path::new("/")).unwrap())
        .await
        .unwrap();
    let text = data.faults[0].to_string();
    assert!(text.starts_with("1 labels fit more than one picture: dcp/0001; they give no picture a label"), "{text}");
}

#[tokio::test]
async fn rows_without_a_label_are_counted() {
    let case = Case::new();
    let words = ["N/A", "NaN", "-", "null", "", "NA"];
    let table = rows(|a, s, m| format!("{a}/{s}.png,{m}"));
    let lines: Vec<String> = table.lines().map(str::to_owned).collect();
    let with = |count: usize| {
        let line = |(at, line): (usize, &String)| match at < count {
            true => format!("{},{}\n", line.split(',').next().unwrap(), words[at]),
            false => format!("{line}\n"),
        };
        format!("image,mos\n{}", lines.iter().enumerate().map(line).collect::<String>())
    };
    let data = case.good(with(5), "").await;
    assert_eq!(labels(&data), [None, None, None, None, None, Some(4.0)]);
    assert_eq!(data.notes[1], "5 rows have no label (an empty cell, N/A, NaN, -)");
    assert_eq!(check(&data, &|_| None).counts.unlabelled, 5);
    let error = case.error("mos.csv", with(6), "").await;
    assert!(error.contains("none of its 6 rows has a label in the column `mos`"), "{error}");
    let data = case.good(format!("image,mos\n{table}#dcp/0001.png,9\ndcp/0001.png,3.5\n"), "").await;
    assert_whole(&data);
    assert_eq!(
        (&*data.notes[0], &*data.notes[2]),
        ("1 lines of labels begin with # and are skipped", "1 rows repeat the label of an earlier row")
    );
}

#[tokio::test]
async fn raters_have_a_row_each() {
    let case = Case::new();
    let each = |header: &str, row: fn(&str, &str, f64) -> String| {
        let row = |a: &str, s: &str, m: f64| [-0.5, 0.0, 0.5].map(|off| row(a, s, m + off)).join("\n");
        format!("{header}\n{}", rows(row))
    };
    let table = each("subject,image,mos", |a, s, m| format!("7,{a}/{s}.png,{m}"));
    let error = case.error("mos.csv", &table, "").await;
    assert!(error.contains("line 3: `aod/0001.png` has two labels: 1 and 1.5"), "{error}");
    assert!(error.contains("`repeated = \"mean\"` in [labels]"), "{error}");
    let data = case.good(&table, "repeated = \"mean\"").await;
    assert_whole(&data);
    assert!(data.pictures.iter().all(|picture| picture.raters == Some(Raters { count: 3, std: Some(0.5) })));
    let data = case
        .good("image,mos\ndcp/0001.png,4\ndcp/0001.png,NA\ndcp/0001.png,4\ndcp/0002.png,1\n", "repeated = \"mean\"")
        .await;
    let of = |at: usize| (data.pictures[at].mos, data.pictures[at].raters);
    assert_eq!(of(0), (None, None));
    assert_eq!(of(3), (Some(4.0), Some(Raters { count: 2, std: Some(0.0) })), "who does not rate is no rater");
    assert_eq!(of(4), (Some(1.0), Some(Raters { count: 1, std: None })));
    let turned = "repeated = \"mean\"\ndirection = \"lower\"\nrange = [0, 5]";
    let data = case.good("image,mos\ndcp/0001.png,1\ndcp/0001.png,2\n", turned).await;
    assert_eq!(data.pictures[3].mos, Some(3.5));
}

#[tokio::test]
async fn what_is_wrong_names_the_file_the_row_and_the_value() {
    let case = Case::new();
    for (table, options, parts) in [
        ("image,mos\ndcp/0001.png,good\n", "", &["mos.csv", "line 2: `good` in the column `mos` is not a number"][..]),
        ("image,mos\n\n# x\ndcp/0001.png,inf\n", "", &["line 4: `inf` in the column `mos` is not finite"]),
        ("image,mos\ndcp/0001.png,6\n", "range = [1, 5]", &["line 2: the label 6 of `dcp/0001.png` is outside 1 to 5"]),
        ("image,mos\n,6\n", "", &["line 2 has no `image`"]),
        ("image,mos\ndcp/0001.png,4,5\n", "", &["line 2 has 3 cells, and the header 2", "semicolons"]),
        ("image,mos\ndcp/0001.png,85%\n", "", &["`85%` in the column `mos` is a percentage"]),
        ("image,mos\ndcp/0001.png,\"1,234\"\n", "", &["`decimal = \",\"` in [labels]"]),
        (
            "dcp/0001.png,3\ndcp/0002.png,4\n",
            "",
            &["it has no header: its first row is `dcp/0001.png, 3`", "image,mos"],
        ),
        (
            "filename,mos\ndcp/0001.png,3\n",
            "",
            &["no column `image`, nor the columns `scene` and `algorithm`", "`image = \"filename\"`"],
        ),
        ("image,score\ndcp/0001.png,3\n", "", &["no column `mos`; it has image, score; `mos = \"...\"`"]),
        ("image,mos,mos\ndcp/0001.png,3,3\n", "", &["more than one of its columns is called `mos`"]),
        ("image,mos\n\"dcp/0001.png,3\ndcp/0002.png,3\n", "", &["a quotation mark is not closed"]),
        ("image,mos\n", "", &["it has a header and no rows"]),
        ("", "", &["it is empty"]),
        ("image,mos\ndcp/0001.png,3\n", "sheet = \"a\"", &["it is not a workbook"]),
        ("<!DOCTYPE html>\n<html>", "", &["a web page"]),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "", &["a Git LFS pointer", "git lfs pull"]),
        ("[{\"image\": \"dcp/0001.png\", \"mos\": 3}]", "", &["it is JSON", "Parquet"]),
    ] {
        let error = case.error("mos.csv", table, options).await;
        for part in parts {
            assert!(error.contains(part), "{table}: {error}");
        }
    }
    for (content, part) in [
        (&b"MATLAB 7.3 MAT-file, Platform: GLNXA64"[..], "save('labels.mat', '-v7')"),
        (b"\x89HDF\r\n\x1a\n\0\0", "MATLAB 7.3 file (HDF5)"),
        (b"\x1f\x8b\x08\0", "compressed (gzip)"),
        (b"\x89PNG\r\n\x1a\n", "it is a picture"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"\x80\x04\x95\0", "a Python pickle"),
        (b"\x01\x02\0\0\x05\0\0\0abc", "neither text"),
    ] {
        let error = case.error("mos.csv", content, "").await;
        assert!(error.contains(part), "{error}");
    }
    let tar = [&[b'x'; 257][..], b"ustar\0", &[0; 249]].concat();
    assert!(case.error("mos.csv", tar, "").await.contains("it is a tar"));
}

#[tokio::test]
async fn a_large_file_is_refused_before_it_is_read() {
    let case = Case::new();
    case.file("results/huge.csv", b"image,mos\ndcp/0001.png,3\n");
    let file = std::fs::OpenOptions::new().append(true).open(case.0.path().join("results/huge.csv")).unwrap();
    file.set_len(3 << 30).unwrap(); // no block of it is written
    let layout =
        "name = \"d\"\nroot = \"results\"\nlayout = \"{algorithm}/{scene}.png\"\n[labels]\nfile = \"huge.csv\"\n";
    case.file("d.toml", layout.as_bytes());
    let definition = find_definition(&case.0.path().join("d.toml").display().to_string(), Path::new("/")).unwrap();
    let error = causes(&load(&definition).await.unwrap_err()).to_string();
    assert!(error.contains("it has 3221225472 bytes") && error.contains("is it the right file?"), "{error}");
}

#[tokio::test]
async fn workbooks_are_read_by_their_bytes() {
    let case = Case::new();
    let cells = |row: &[&str]| row.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let table = rows(|a, s, m| format!("{a}/{s}.png,{m}"));
    let mut sheet = vec![cells(&["Image", "mos "])];
    sheet.extend(table.lines().map(|line| cells(&line.split(',').collect::<Vec<_>>())));
    let other = vec![cells(&["x"])];
    let book = workbook_for_tests(&[("first", &sheet), ("second", &other)]);
    for file in ["mos.xlsx", "mos.csv"] {
        assert_whole(&case.load(file, &book, "").await.unwrap());
    }
    assert_whole(&case.load("mos.xlsx", &book, "sheet = \"first\"").await.unwrap());
    let error = case.error("mos.xlsx", &book, "sheet = \"second\"").await;
    assert!(error.contains("no column `image`") && error.contains("it has x"), "{error}");
    assert!(
        case.error("mos.xlsx", &book, "sheet = \"third\"").await.contains("no sheet `third`; it has first, second")
    );
    sheet[3][1] = "bad".to_owned();
    let error = case.error("mos.xlsx", workbook_for_tests(&[("s", &sheet)]), "").await;
    assert!(error.contains("row 4: `bad` in the column `mos` is not a number"), "{error}");
    // The scenes are numbers there: their zeros are gone.
    let numbers = vec![cells(&["scene", "algorithm", "mos"]), cells(&["2", "dcp", "3"])];
    let book = workbook_for_tests(&[("s", &numbers)]);
    assert!(case.error("mos.xlsx", &book, "").await.contains("ignore = \"zeros\""));
    assert_eq!(labels(&case.load("mos.xlsx", &book, "ignore = \"zeros\"").await.unwrap())[4], Some(3.0));
    let broken =
        [b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0".as_slice(), &(0..=255).collect::<Vec<u8>>().repeat(4)].concat();
    let error = case.error("mos.csv", broken, "").await;
    assert!(error.contains("it is not a valid workbook (.xlsx"), "{error}");
}
