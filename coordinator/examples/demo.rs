//! The main job on a machine with nothing on it: makes a small CLIP of formula weights and a data set of three algorithms'
//! pictures, submits it and ends in a leaderboard. It shows that and how the program runs. The numbers mean nothing: the
//! weights are untrained, and pictures and labels are made from seeds, not by the algorithms that they are named after.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use dqa_testkit::{ClipShape, HfDir, Picture};

const FOLDER: &str = "target/demo";
const REMARK: &str = "untrained model, made-up pictures: the scores mean nothing";

/// Each with how hazy its pictures are left, in quarters.
const ALGORITHMS: [(&str, u64); 3] = [("dcp", 2), ("aod", 1), ("dehazeformer", 0)];
const SCENES: u64 = 8;

fn main() -> ExitCode {
    let model = format!("{FOLDER}/model");
    HfDir { salt: "demo", shape: ClipShape::TINY, shards: 1 }.write(Path::new(&model));
    dataset();
    let prompts = format!("{model}/prompts.safetensors");
    let definition = format!("{FOLDER}/haze.toml");
    let store = format!("{FOLDER}/store");
    let arguments = [
        "dqa-coord",
        "submit",
        "--algos",
        "dcp,aod,dehazeformer",
        "--datasets",
        &definition,
        "--model",
        &model,
        "--prompts",
        &prompts,
        "--store",
        &store,
        "--remark",
        REMARK,
    ];
    println!("$ {}", arguments.join(" ").replace(REMARK, &format!("\"{REMARK}\"")));
    dqa_coordinator::cli::run_arguments(arguments.map(Into::into).to_vec())
}

fn dataset() {
    let mut labels = String::from("image,mos\n");
    for (algorithm, haze) in ALGORITHMS {
        let folder = format!("{FOLDER}/haze/{algorithm}");
        std::fs::create_dir_all(&folder).expect("the build folder can be written");
        for scene in 0..SCENES {
            let mut picture = Picture::synthetic(scene, 320, 240);
            for value in &mut picture.rgb {
                *value = ((u64::from(*value) * (4 - haze) + 230 * haze) / 4) as u8;
            }
            let file = format!("{folder}/scene{scene}.png");
            // Written once: a picture that changes is scored again.
            if !Path::new(&file).exists() {
                std::fs::write(&file, picture.png()).expect("and so can files in it");
            }
            writeln!(labels, "{algorithm}/scene{scene}.png,{}", 80 - 20 * haze + 3 * scene % 7).expect("text grows");
        }
    }
    let definition = "name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n\n\
        [labels]\nfile = \"labels.csv\"\nrange = [0, 100]\n";
    std::fs::write(format!("{FOLDER}/haze/labels.csv"), labels).expect("and so can files in it");
    std::fs::write(format!("{FOLDER}/haze.toml"), definition).expect("and so can files in it");
}
