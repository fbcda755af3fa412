//! `dqa-coord explain`: its rows and images, and the errors of wrong arguments.

use std::path::Path;

use dqa_tests::TestDir;
use serde_json::Value;

const MODEL: [&str; 4] = ["--model", "model", "--prompts", "model/prompts.safetensors"];

fn explain(more: &[&'static str]) -> Vec<&'static str> {
    [&["explain", "haze/dcp/s1.png", "--out", "out"], &MODEL, more].concat()
}

/// Width and height in a PNG file's header.
fn size(path: &Path) -> (u32, u32) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..4], b"\x89PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn the_scores_are_those_of_a_run_and_the_maps_have_the_pictures_size() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    dir.run(&dir.submit("haze.toml", &[])).exits_with(0);
    let scored = dir.query("SELECT score, width, height FROM scores WHERE scene = 's1'");
    let output = dir.run(&explain(&["--format", "json"])).exits_with(0);
    let rows: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let mean = rows.iter().map(|row| number(row, "score")).sum::<f64>() / rows.len() as f64;
    assert!((mean - number(&scored[0], "score")).abs() < 1e-5, "{mean} {scored:?}");
    for row in &rows {
        let parts = ["on_window", "on_whole", "on_class", "on_prompts"].map(|part| number(row, part));
        assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{row}");
    }
    let picture = (number(&scored[0], "width") as u32, number(&scored[0], "height") as u32);
    for map in ["whole", "windows", "scores"] {
        assert_eq!(size(&dir.path(&format!("out/{map}.png"))), picture, "{map}");
    }
    assert!(size(&dir.path("out/sheet.png")).0 > picture.0);
    let csv = dir.run(&explain(&["--format", "csv", "--layer", "1", "--views", "sees=global"])).exits_with(0).stdout;
    assert_eq!(csv.lines().next(), Some("image,window,x,y,width,height,score,on_window,on_whole,on_class,on_prompts"));
    assert_eq!(csv.lines().count(), 2);
}

#[test]
fn one_file_gets_the_sheet_and_mistakes_are_reported() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    let one = ["explain", "haze/dcp/s0.png", "--out", "deep/down/s0.png"];
    let output = dir.run(&[&one, &MODEL[..]].concat()).exits_with(0);
    assert_eq!(output.stderr.lines().last(), Some("wrote deep/down/s0.png"));
    assert!(output.stdout.starts_with("haze/dcp/s0.png: score 0."), "{}", output.stdout);
    let layer = dir.run(&explain(&["--layer", "99"])).exits_with(2);
    assert!(
        layer.stderr.contains("error: the model has no layer 99\n")
            && layer.stderr.contains("hint: its layers are 1 to ")
    );
    let window = dir.run(&explain(&["--window", "99"])).exits_with(2);
    assert!(window.stderr.contains("error: the picture has no window 99\n"), "{}", window.stderr);
    let window = dir.run(&explain(&["--window", "0"])).exits_with(2);
    assert!(window.stderr.contains("hint: its windows are 1 to "), "{}", window.stderr);
    dir.run(&explain(&["--window", "1"])).exits_with(0);
    dir.file("tiny.png", &dqa_testkit::Picture::synthetic(1, 100, 300).png());
    let small = dir.run(&[&["explain", "tiny.png", "--out", "x.png"], &MODEL[..]].concat()).exits_with(2);
    assert!(small.stderr.contains("cannot score tiny.png") && small.stderr.contains("100x300"), "{}", small.stderr);
    assert!(!dir.path("x.png").exists());
}

#[test]
fn several_pictures_are_in_one_sheet_on_one_scale() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod"]);
    let both = [&["explain", "haze/dcp/s1.png", "haze/aod/s1.png", "--out", "out", "--format", "json"], &MODEL[..]];
    let output = dir.run(&both.concat()).exits_with(0);
    let rows = output.json_lines();
    let of = |image: &str| -> Vec<Value> {
        rows.iter().filter(|row| row["image"] == image).map(|row| row["window"].clone()).collect()
    };
    for image in ["haze/dcp/s1.png", "haze/aod/s1.png"] {
        let windows = of(image);
        assert_eq!(windows, (1..=windows.len()).map(Value::from).collect::<Vec<_>>(), "windows are counted from 1");
        assert!(!windows.is_empty());
    }
    for map in ["1-s1/whole", "1-s1/windows", "1-s1/scores", "2-s1/scores"] {
        assert_eq!(size(&dir.path(&format!("out/{map}.png"))), (288, 288), "{map}");
    }
    let (sheet, one) =
        (size(&dir.path("out/sheet.png")), [&["explain", "haze/dcp/s1.png", "--out", "one"], &MODEL[..]]);
    dir.run(&one.concat()).exits_with(0);
    assert!(sheet.0 > size(&dir.path("one/sheet.png")).0, "four in a row and not two");
    let scores = |folder: &str| std::fs::read(dir.path(folder).join("scores.png")).unwrap();
    assert!(scores("one") == scores("out/1-s1"), "the scale does not depend on the other pictures");
    let auto = [&["explain", "haze/dcp/s1.png", "--out", "auto", "--scale", "auto"], &MODEL[..]];
    dir.run(&auto.concat()).exits_with(0);
    assert!(scores("auto") != scores("one"), "each map's own scale");
    let absent = [&["explain", "haze/dcp/s1.png", "haze/dcp/s7.png", "--out", "none"], &MODEL[..]];
    let absent = dir.run(&absent.concat()).exits_with(2);
    assert!(absent.stderr.contains("cannot score haze/dcp/s7.png") && !dir.path("none").exists(), "{}", absent.stderr);
}
