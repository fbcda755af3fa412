//! Compares each metric with the golden values of `shared/metrics`. Skips with a message where that folder is missing.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dqa_metrics::{Evaluator, Inputs, InstructionSet, Metric, RgbView};
use image::RgbImage;
use serde_json::Value;

/// Returns `shared/metrics`, beside the checkout, or nothing after a message.
fn golden_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/metrics");
    if !folder.exists() {
        eprintln!("skipped: {} is missing", folder.display());
    }
    folder.exists().then_some(folder)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The three pictures that one golden value is about.
struct Case {
    picture: RgbImage,
    clear: Option<RgbImage>,
    hazy: Option<RgbImage>,
}

fn view(image: &RgbImage) -> RgbView<'_> {
    RgbView::new(image.as_raw(), image.width() as usize, image.height() as usize)
}

impl Case {
    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            picture: view(&self.picture),
            clear: self.clear.as_ref().map(view),
            hazy: self.hazy.as_ref().map(view),
        }
    }
}

/// Returns the cases of one kind (`pictures`, `pairs` or `dehaze`) whose pictures are there.
fn cases(folder: &Path, kind: &str) -> BTreeMap<String, Case> {
    let index = read_json(&folder.join("pictures/pictures.json"));
    let open = |name: &Value| {
        let path = folder.join(format!("pictures/{}.png", name.as_str().unwrap()));
        path.exists().then(|| image::open(path).unwrap().to_rgb8())
    };
    let mut cases = BTreeMap::new();
    for (name, entry) in index[kind].as_object().unwrap() {
        let case = match kind {
            "pictures" => open(&Value::from(name.as_str())).map(|picture| (picture, None, None)),
            "pairs" => open(&entry["distorted"]).zip(open(&entry["clear"])).map(|(p, clear)| (p, Some(clear), None)),
            _ => open(&entry["dehazed"]).zip(open(&entry["hazy"])).map(|(p, hazy)| (p, None, Some(hazy))),
        };
        if let Some((picture, clear, hazy)) = case {
            cases.insert(name.clone(), Case { picture, clear, hazy });
        }
    }
    cases
}

fn check(metric: Metric) {
    let Some(folder) = golden_folder() else { return };
    let goldens = &read_json(&folder.join("goldens.json"))[metric.name()];
    let tolerance = goldens["tolerance"].as_f64().unwrap();
    let mut failures = Vec::new();
    let mut checked = 0;
    for (name, case) in cases(&folder, goldens["of"].as_str().unwrap()) {
        let measured = &Evaluator::default().evaluate(&[metric], &case.inputs())[0];
        let expected = &goldens["values"][&name];
        checked += 1;
        match (expected.as_f64(), &measured.value) {
            (Some(expected), Ok(value)) if (value - expected).abs() <= tolerance => {}
            (None, Err(_)) => assert!(goldens["null"].get(&name).is_some(), "{name} has no golden value"),
            (_, value) => failures.push(format!("{name}: expected {expected}, found {value:?}")),
        }
    }
    assert!(checked > 3, "{checked} pictures");
    assert!(failures.is_empty(), "{metric}: {failures:#?}");
}

macro_rules! golden_tests {
    ($($test:ident: $metric:ident,)*) => {
        $(#[test] fn $test() { check(Metric::$metric); })*
    };
}

golden_tests! {
    psnr_rgb: PsnrRgb,
    psnr_gray: PsnrGray,
    ssim: Ssim,
    ssim_full: SsimFull,
    ms_ssim: MsSsim,
    gmsd: Gmsd,
    ciede2000: Ciede2000,
    vifp: Vifp,
    fsimc: Fsimc,
    entropy: Entropy,
    fade: Fade,
    e: E,
    r: R,
    sigma: Sigma,
    sigma255: Sigma255,
    niqe: Niqe,
    brisque: Brisque,
    piqe: Piqe,
}

#[test]
fn values_do_not_depend_on_the_instruction_set() {
    let Some(folder) = golden_folder() else { return };
    for kind in ["pictures", "pairs", "dehaze"] {
        for (name, case) in cases(&folder, kind) {
            let values: Vec<_> = InstructionSet::available()
                .into_iter()
                .map(|set| Evaluator::with_instructions(set).evaluate(&Metric::ALL, &case.inputs()))
                .map(|measured| measured.into_iter().map(|m| m.value.map(f64::to_bits)).collect::<Vec<_>>())
                .collect();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
        }
    }
}
