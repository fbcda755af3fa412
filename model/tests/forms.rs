//! Tests that a model has the same features as in the libraries, and the same digest, in every file format.
//!
//! The libraries wrote the files (`data/make_forms.py`), which were then packed.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dqa_model::{
    Activation, ClipWeights, Options, Prepared, PromptMode, Rgb8, Scorer, ViewMode, Views, WeightsForm, is_torch,
    preferred_files,
};
use flate2::read::GzDecoder;
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms")
}

/// Creates a directory with copies of these fixtures: (name of the fixture, name in the directory).
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (fixture, name) in files {
        let path = dir.path().join(name);
        match File::open(fixtures().join(format!("{fixture}.gz.gz"))) {
            Ok(packed) => {
                let mut unpacked = GzDecoder::new(GzDecoder::new(packed));
                std::io::copy(&mut unpacked, &mut File::create(path).unwrap()).unwrap();
            }
            Err(_) => _ = fs::copy(fixtures().join(fixture), path).unwrap(),
        }
    }
    dir
}

fn open(dir: &TempDir) -> ClipWeights {
    ClipWeights::open(dir.path()).unwrap_or_else(|error| panic!("{}", dqa_testkit::chain(&error)))
}

fn open_error(path: &Path, dir: &TempDir) -> String {
    let error = ClipWeights::open(path).unwrap_err();
    dqa_testkit::chain(&error).replace(dir.path().to_str().unwrap(), "DIR")
}

/// Returns the picture that the fixtures' script uses.
fn picture() -> Rgb8 {
    let pixel = |i: usize| {
        let (x, y, c) = (i / 3 % 224, i / 3 / 224, i % 3);
        ((x * 7 + y * 13 + c * 29 + x * y / 16) % 256) as u8
    };
    Rgb8::new(224, 224, (0..224 * 224 * 3).map(pixel).collect())
}

/// Returns the largest difference between the features of the model and those of the libraries, over picture and
/// sentences.
fn difference(weights: &ClipWeights, activation: &str, options: &Options) -> f32 {
    let reference = fs::read_to_string(fixtures().join("reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let expected = |name: &str| -> Vec<f32> {
        let rows = reference[activation][name].as_array().unwrap();
        rows.iter().flat_map(|row| row.as_array().unwrap()).map(|value| value.as_f64().unwrap() as f32).collect()
    };
    let views = Views { sees: ViewMode::Global, ..Views::default() };
    let options = Options { views, ..options.clone() };
    let scorer = Scorer::new(weights, &PromptMode::Handcrafted, &options).unwrap();
    let picture = scorer.picture_features(&Prepared::new(picture(), &views).unwrap()).unwrap().concat();
    let text = scorer.text_features().concat();
    let compare = |got: &[f32], expected: Vec<f32>| {
        assert_eq!(got.len(), expected.len());
        got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max)
    };
    compare(&picture, expected("image")).max(compare(&text, expected("text")))
}

const HF: [(&str, &str); 2] = [("config.quick_gelu.json", "config.json"), ("model.safetensors", "model.safetensors")];

/// A form, with the files of its directory.
type Form<'a> = (WeightsForm, Vec<(&'a str, &'a str)>);

fn forms() -> Vec<Form<'static>> {
    let hf_config = HF[0];
    let open_clip = ("open_clip_config.quick_gelu.json", "open_clip_config.json");
    let shards =
        ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    vec![
        (WeightsForm::HfSafetensors, HF.to_vec()),
        (WeightsForm::HfPyTorch, vec![hf_config, ("pytorch_model.bin", "pytorch_model.bin")]),
        (WeightsForm::HfPyTorch, [vec![hf_config], shards.map(|file| (file, file)).to_vec()].concat()),
        (WeightsForm::HfPyTorch, vec![hf_config, ("legacy.bin", "pytorch_model.bin")]),
        (WeightsForm::OpenAiTorchScript, vec![("ViT-tiny.pt", "ViT-B-32.pt")]),
        (WeightsForm::OpenAiPyTorch, vec![("open_ai_state.pt", "any")]),
        (
            WeightsForm::OpenClipSafetensors,
            vec![open_clip, ("open_clip_model.safetensors", "open_clip_model.safetensors")],
        ),
        (WeightsForm::OpenClipPyTorch, vec![open_clip, ("open_clip_pytorch_model.bin", "open_clip_pytorch_model.bin")]),
        (WeightsForm::OpenClipPyTorch, vec![open_clip, ("epoch_32.pt", "epoch_32.pt")]),
    ]
}

#[test]
fn every_form_is_saved_as_safetensors_of_the_same_digest() {
    for (form, files) in forms() {
        let weights = open(&dir(&files));
        let saved = tempfile::tempdir().unwrap();
        let file = saved.path().join("model.safetensors");
        weights.save(&file).unwrap();
        fs::write(saved.path().join("config.json"), weights.config().to_json()).unwrap();
        let read = open(&saved);
        assert_eq!((read.form(), is_torch(&file).unwrap()), (WeightsForm::HfSafetensors, false), "{form}");
        assert_eq!((read.config(), read.digest()), (weights.config(), weights.digest()), "{form} {files:?}");
        assert_eq!(read.precisions(), weights.precisions(), "{form}");
    }
}

#[test]
fn every_form_has_the_libraries_features_and_the_same_digest() {
    let digest = open(&dir(&HF)).digest();
    for (form, files) in forms() {
        let dir = dir(&files);
        let weights = open(&dir);
        assert_eq!(weights.form(), form, "{files:?}");
        assert_eq!(weights.digest(), digest, "{form} {files:?}");
        let difference = difference(&weights, "quick_gelu", &Options::default());
        assert!(difference < 1e-5, "{form} {files:?}: {difference}");
        assert_eq!(weights.config().vision.activation, Activation::QuickGelu);
        assert_eq!((weights.tensor_count(), weights.parameter_count()), (78, 3_571_329), "{form}");
        // The files that were read are those that a copy of the model needs.
        let read: Vec<_> = weights.files().iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        let mut expected: Vec<_> = files.iter().map(|(_, name)| *name).collect();
        if form == WeightsForm::HfPyTorch && files.len() == 4 {
            expected[1..].sort_by_key(|name| !name.ends_with("index.json"));
        }
        assert_eq!(read, expected, "{form}");
    }
}

#[test]
fn a_file_of_any_name_opens_as_its_directory_does() {
    let digest = open(&dir(&HF)).digest();
    for (_, files) in forms().into_iter().filter(|(_, files)| files.len() <= 2) {
        let (fixture, _) = *files.last().unwrap();
        // Users rename files. The configuration is in the same folder if the form has one.
        let mut renamed = files[..files.len() - 1].to_vec();
        renamed.push((fixture, "ViT-L-14.safetensors"));
        let dir = dir(&renamed);
        let weights = ClipWeights::open(&dir.path().join("ViT-L-14.safetensors")).unwrap();
        assert_eq!(weights.digest(), digest, "{fixture}");
        assert_eq!(open(&dir).digest(), digest, "{fixture}: the only checkpoint of its directory");
    }
}

#[test]
fn an_index_opens_as_its_directory_does() {
    let (_, files) = forms().swap_remove(2);
    let dir = dir(&files);
    let weights = ClipWeights::open(&dir.path().join("pytorch_model.bin.index.json")).unwrap();
    assert_eq!(weights.digest(), open(&dir).digest());
    assert_eq!(weights.files().len(), 4);
}

#[test]
fn gelu_models_have_the_libraries_features() {
    let quick = open(&dir(&HF)).digest();
    let hf = ("config.gelu.json", "config.json");
    let open_clip = ("open_clip_config.gelu.json", "open_clip_config.json");
    let mut digests = Vec::new();
    for files in [vec![hf, HF[1]], vec![open_clip, ("open_clip_pytorch_model.bin", "open_clip_pytorch_model.bin")]] {
        let weights = open(&dir(&files));
        assert_eq!(weights.config().text.activation, Activation::Gelu);
        assert!(weights.gpu_unsupported_reason().unwrap().contains("GELU"));
        let difference = difference(&weights, "gelu", &Options::default());
        assert!(difference < 1e-5, "{files:?}: {difference}");
        digests.push(weights.digest());
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], quick, "the digest covers the activation");
}

#[test]
fn gelu_runs_on_every_backend() {
    use dqa_model::{Arithmetic, KernelSet};
    let weights = open(&dir(&[("config.gelu.json", "config.json"), HF[1]]));
    let all = [KernelSet::Native, KernelSet::Candle, KernelSet::Reference];
    for (arithmetic, tolerance) in [(Arithmetic::F32, 1e-5), (Arithmetic::F16, 1e-2), (Arithmetic::Bf16, 4e-2)] {
        for kernels in all {
            let options = Options { arithmetic, kernels, ..Options::default() };
            let difference = difference(&weights, "gelu", &options);
            assert!(difference < tolerance, "{arithmetic} {kernels:?}: {difference}");
        }
    }
}

#[test]
fn safetensors_are_preferred() {
    let mut files = HF.to_vec();
    files.extend([
        ("pytorch_model.bin", "pytorch_model.bin"),
        ("open_clip_model.safetensors", "open_clip_model.safetensors"),
    ]);
    assert_eq!(open(&dir(&files)).form(), WeightsForm::HfSafetensors);
    let preferred = |names: &[&str]| preferred_files(|name| names.contains(&name)).map(|files| files.weights);
    assert_eq!(preferred(&["config.json", "pytorch_model.bin"]), Some("pytorch_model.bin"));
    let both = ["config.json", "pytorch_model.bin", "open_clip_config.json", "open_clip_model.safetensors"];
    assert_eq!(preferred(&both), Some("open_clip_model.safetensors"));
    assert_eq!(preferred(&["pytorch_model.bin"]), None);
}

#[test]
fn a_missing_configuration_is_reported() {
    let hf = dir(&HF[1..]);
    assert_eq!(
        open_error(hf.path(), &hf),
        "`config.json` is missing beside `DIR/model.safetensors`: it says what model these weights are of"
    );
    let open_clip = dir(&[("open_clip_model.safetensors", "model.pt")]);
    let text = open_error(&open_clip.path().join("model.pt"), &open_clip);
    assert!(text.starts_with("it is unknown whether the model in `DIR/model.pt` has GELU or quick-GELU"), "{text}");
    fs::write(open_clip.path().join("open_clip_config.json"), r#"{"model_cfg": {"quick_gelu": true}}"#).unwrap();
    assert_eq!(open(&open_clip).digest(), open(&dir(&HF)).digest());
}

#[test]
fn open_clip_configurations_are_checked() {
    let files = [("open_clip_config.gelu.json", "open_clip_config.json"), ("open_clip_model.safetensors", "model")];
    let dir = dir(&files);
    let config = dir.path().join("open_clip_config.json");
    let whole: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    for (pointer, value, expected) in [
        (
            "/model_cfg/vision_cfg/layers",
            serde_json::json!(3),
            "are not those of the model that its configuration describes: 12 missing: visual.transformer.resblocks.2.attn.in_proj_weight",
        ),
        (
            "/model_cfg/vision_cfg/layers",
            serde_json::json!([3, 4, 6, 3]),
            "`vision_cfg.layers` is [3,4,6,3], but dqa needs one number",
        ),
        (
            "/model_cfg/vision_cfg/timm_model_name",
            serde_json::json!("vit_base"),
            "`vision_cfg.timm_model_name` is \"vit_base\", but dqa needs CLIP's own",
        ),
        (
            "/model_cfg/vision_cfg/pool_type",
            serde_json::json!("avg"),
            "`vision_cfg.pool_type` is \"avg\", but dqa needs \"tok\"",
        ),
        ("/model_cfg/vision_cfg/image_size", serde_json::json!(336), "it takes pictures of 336 x 336 pixels"),
        (
            "/model_cfg/text_cfg/hf_model_name",
            serde_json::json!("roberta"),
            "`text_cfg.hf_model_name` is \"roberta\", but dqa needs CLIP's own",
        ),
        (
            "/model_cfg/text_cfg/no_causal_mask",
            serde_json::json!(true),
            "`text_cfg.no_causal_mask` is true, but dqa needs no such key",
        ),
        ("/model_cfg/text_cfg/vocab_size", serde_json::json!(250_002), "a vocabulary of 250002 tokens"),
        (
            "/model_cfg/multimodal_cfg",
            serde_json::json!({"layers": 12}),
            "`multimodal_cfg` is {\"layers\":12}, but dqa needs no such key",
        ),
    ] {
        let mut json = whole.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[key] = value;
        fs::write(&config, json.to_string()).unwrap();
        let text = open_error(dir.path(), &dir);
        assert!(text.contains(expected), "{text}");
    }
}
