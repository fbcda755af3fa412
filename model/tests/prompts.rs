//! Tests that prompts are equal from every kind of file, and that incomplete sets are refused with the missing names.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use dqa_model::{ClipConfig, PromptShape, Prompts, PromptsError, Words};
use dqa_testkit::hf::{self, Dtype, HfDir, RawTensor};
use dqa_testkit::torch::{Py, PyTensor, TorchSave};
use dqa_testkit::{ClipShape, Goldens, NamedTensor};

/// The fixtures were made with this salt. It does not depend on DQA_GOLDENS.
const TINY: HfDir = HfDir { salt: "golden", shape: ClipShape::TINY, shards: 1 };

fn config() -> ClipConfig {
    ClipConfig::parse(&hf::config_json(&TINY.shape), Path::new("config.json")).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns an error with its causes, with `DIR` in place of the test's directory.
fn text(error: &PromptsError, dir: &Path) -> String {
    dqa_testkit::chain(error).replace(dir.to_str().unwrap(), "DIR")
}

/// Opens a safetensors file with the tiny model's prompts after `change`.
fn open(change: impl FnOnce(&mut Vec<RawTensor>)) -> Result<Prompts, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompts");
    let mut tensors = hf::raw(TINY.prompts());
    change(&mut tensors);
    hf::write_safetensors(&file, &tensors);
    Prompts::open(&file, &config()).map_err(|error| text(&error, dir.path()))
}

fn rename(tensors: &mut [RawTensor], name: impl Fn(&str) -> String) {
    for tensor in tensors {
        tensor.name = name(&tensor.name);
    }
}

fn find<'a>(tensors: &'a mut [RawTensor], name: &str) -> &'a mut RawTensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_equal(prompts: &Prompts, expected: &[NamedTensor]) {
    assert_eq!(prompts.tensors().len(), expected.len());
    for tensor in expected {
        let read = &prompts.tensors()[&tensor.name];
        assert_eq!((read.dims(), read.dtype()), (tensor.shape.as_slice(), DType::F32), "{}", tensor.name);
        assert_eq!(values(read), tensor.values, "{}", tensor.name);
    }
}

/// Returns the tiny model's prompts rounded to f16.
fn rounded() -> Vec<NamedTensor> {
    let mut tensors = TINY.prompts();
    for value in tensors.iter_mut().flat_map(|tensor| &mut tensor.values) {
        *value = half::f16::from_f32(*value).to_f32();
    }
    tensors
}

#[test]
fn safetensors_are_read() {
    let prompts = open(|_| ()).unwrap();
    assert_equal(&prompts, &TINY.prompts());
    let shape = PromptShape { text_len: 8, text_depth: 3, visual_len: 8, visual_depth: 3 };
    assert_eq!((prompts.shape(), prompts.words()), (&shape, &Words::default()));
    assert_eq!(PromptShape::paper(&config()), shape);
}

#[test]
fn prompts_equal_the_goldens() {
    let goldens = Goldens::load();
    let prompts = Prompts::open(&hf::cached("tiny", &goldens.salt).join("prompts.safetensors"), &config()).unwrap();
    for (name, golden) in &goldens.model("tiny").prompts {
        let tensor = &prompts.tensors()[name];
        golden.check(name, tensor.dims(), &values(tensor), 1e-7);
    }
}

#[test]
fn the_authors_checkpoint_has_equal_prompts() {
    let prompts = Prompts::open(&fixture("tiny-prompts.pth"), &config()).unwrap();
    assert_equal(&prompts, &TINY.prompts());
    assert_eq!(prompts.digest().unwrap(), open(|_| ()).unwrap().digest().unwrap());
}

#[test]
fn a_nested_checkpoint_in_half_precision_has_equal_rounded_prompts() {
    let prompts = Prompts::open(&fixture("tiny-nested-f16.pth"), &config()).unwrap();
    assert_equal(&prompts, &rounded());
    let f16 = open(|tensors| *tensors = TINY.prompts().iter().map(RawTensor::f16).collect()).unwrap();
    assert_eq!(prompts.digest().unwrap(), f16.digest().unwrap());
    assert_ne!(prompts.digest().unwrap(), open(|_| ()).unwrap().digest().unwrap());
}

#[test]
fn the_kind_of_file_is_detected_from_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let misnamed = dir.path().join("prompts.safetensors");
    fs::copy(fixture("tiny-prompts.pth"), &misnamed).unwrap();
    assert_equal(&Prompts::open(&misnamed, &config()).unwrap(), &TINY.prompts());
}

#[test]
fn a_common_prefix_is_removed() {
    let prompts = open(|tensors| {
        rename(tensors, |name| format!("prompt_learner.{name}"));
        let mut other = tensors[0].clone();
        other.name = "image_encoder.proj".to_owned();
        tensors.push(other);
    });
    assert_equal(&prompts.unwrap(), &TINY.prompts());
}

#[test]
fn fewer_layers_and_other_lengths_are_read() {
    let prompts = open(|tensors| {
        tensors.retain(|tensor| tensor.name.contains(".0"));
        let visual = find(tensors, "prompts_vis.0");
        visual.shape[0] = 1;
        visual.bytes.truncate(128 * 4);
    });
    let prompts = prompts.unwrap();
    assert_eq!(prompts.shape(), &PromptShape { text_len: 8, text_depth: 1, visual_len: 1, visual_depth: 1 });
    let visual = open(|tensors| {
        tensors.retain(|tensor| tensor.name.contains("vis") && !tensor.name.contains(".2"));
    });
    let shape = PromptShape { text_len: 0, text_depth: 0, visual_len: 8, visual_depth: 2 };
    assert_eq!(visual.unwrap().shape(), &shape);
}

#[test]
fn the_digest_equals_that_of_earlier_versions() {
    // This is the digest of version 0.1.0, before there were words. If it changed, pictures that were scored with these
    // prompts would be scored again.
    let digest = "d51a92a9cef6a145167dcad318705348160113ed19180f6fc7b4b30aee4cfc4b";
    assert_eq!(open(|_| ()).unwrap().digest().unwrap().to_string(), digest);
}

#[test]
fn saved_prompts_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompts");
    let words = Words { bad: "hazy \"photo\".".to_owned(), good: "clear photo.".to_owned() };
    let tensors = open(|_| ()).unwrap().tensors().clone();
    let digests = [Words::default(), words].map(|words| {
        let prompts = Prompts::from_tensors(tensors.clone(), words.clone(), &config()).unwrap();
        let bytes = prompts.to_bytes().unwrap();
        fs::write(&file, &bytes).unwrap();
        let reopened = Prompts::open(&file, &config()).unwrap();
        assert_equal(&reopened, &TINY.prompts());
        assert_eq!((reopened.words(), reopened.to_bytes().unwrap()), (&words, bytes));
        assert_eq!(reopened.digest().unwrap(), prompts.digest().unwrap());
        prompts.digest().unwrap()
    });
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn invalid_words_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompts");
    let tensors = open(|_| ()).unwrap().tensors().clone();
    let words = Words { bad: "bad".to_owned(), good: "photo ".repeat(80) };
    let error = Prompts::from_tensors(tensors, words, &config()).unwrap_err();
    assert!(text(&error, dir.path()).starts_with("the words in memory cannot be used: the sentence of 8 prompts"));
    let values = [0; 4];
    let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1, 1], &values).unwrap();
    let metadata = HashMap::from([("dqa.words".to_owned(), r#"["bad"]"#.to_owned())]);
    fs::write(&file, safetensors::serialize([("prompts_text.0", view)], Some(metadata)).unwrap()).unwrap();
    let error = text(&Prompts::open(&file, &config()).unwrap_err(), dir.path());
    let form = r#"is not of the form {"bad": "bad photo.", "good": "good photo."}"#;
    assert!(error.starts_with(&format!("`dqa.words` in the metadata of `DIR/prompts` {form}: ")), "{error}");
}

#[test]
fn each_prompt_passes_through_its_linear_layer() {
    let prompts = open(|_| ()).unwrap();
    let by_name: BTreeMap<String, NamedTensor> = TINY.prompts().into_iter().map(|t| (t.name.clone(), t)).collect();
    for i in 0..3 {
        for (kind, got, width) in [("txt", prompts.text(i).unwrap(), 64), ("vis", prompts.visual(i).unwrap(), 128)] {
            assert_eq!(got.dims(), [8, width]);
            let long = if kind == "txt" { "text" } else { "vis" };
            let x = &by_name[&format!("prompts_{long}.{i}")].values;
            let w = &by_name[&format!("prompt_{kind}_projections.{i}.weight")].values;
            let b = &by_name[&format!("prompt_{kind}_projections.{i}.bias")].values;
            for (flat, value) in values(&got).into_iter().enumerate() {
                let (row, column) = (flat / width, flat % width);
                let products = (0..width).map(|k| f64::from(x[row * width + k]) * f64::from(w[column * width + k]));
                let exact = products.sum::<f64>() + f64::from(b[column]);
                assert!((f64::from(value) - exact).abs() < 1e-5, "{kind} {i} {flat}: {value} {exact}");
            }
        }
    }
}

#[test]
fn gradients_reach_the_source_tensors() {
    let vars: BTreeMap<String, Var> = TINY
        .prompts()
        .into_iter()
        .map(|t| (t.name, Var::from_tensor(&Tensor::from_vec(t.values, t.shape, &Device::Cpu).unwrap()).unwrap()))
        .collect();
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
    let prompts = Prompts::from_tensors(tensors, Words::default(), &config()).unwrap();
    let gradients = prompts.text(1).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&vars["prompts_text.1"]).is_some());
    assert!(gradients.get(&vars["prompt_txt_projections.1.weight"]).is_some());
    assert!(gradients.get(&vars["prompts_text.0"]).is_none());
}

const REFUSED: &str = "the prompts in `DIR/prompts` are not a complete set for this model: ";

#[test]
fn missing_and_unexpected_tensors_are_named() {
    let error = |change: &dyn Fn(&mut Vec<RawTensor>)| open(change).unwrap_err();
    assert_eq!(
        error(&|tensors| tensors.retain(|tensor| tensor.name != "prompts_text.1")),
        format!("{REFUSED}1 missing: prompts_text.1")
    );
    assert_eq!(
        error(&|tensors| tensors.retain(|tensor| !tensor.name.starts_with("prompts_vis"))),
        format!("{REFUSED}3 missing: prompts_vis.0, prompts_vis.1, prompts_vis.2")
    );
    assert_eq!(
        error(&|tensors| find(tensors, "prompts_vis.2").name = "prompts_vis.two".to_owned()),
        format!("{REFUSED}1 missing: prompts_vis.2; 1 unexpected: prompts_vis.two")
    );
    assert_eq!(
        error(&|tensors| {
            let tensor = find(tensors, "prompts_text.2");
            tensor.shape[0] = 4;
            tensor.bytes.truncate(4 * 64 * 4);
        }),
        format!("{REFUSED}1 of another shape: prompts_text.2 is (4, 64), not (8, 64)")
    );
    assert_eq!(
        error(&|tensors| find(tensors, "prompts_text.2").dtype = Dtype::I32),
        format!("{REFUSED}1 of a type other than F32, F16 and BF16: prompts_text.2 is I32")
    );
}

#[test]
fn prompts_of_another_model_are_refused() {
    assert_eq!(
        open(|tensors| {
            let mut deeper = find(tensors, "prompts_text.2").clone();
            deeper.name = "prompts_text.11".to_owned();
            tensors.push(deeper);
        })
        .unwrap_err(),
        "`DIR/prompts` has `prompts_text` for 12 layers, but the model has only 3 there"
    );
    assert_eq!(
        open(|tensors| {
            let tensor = find(tensors, "prompts_vis.0");
            tensor.shape = vec![64, 128];
            tensor.bytes.resize(64 * 128 * 4, 0);
        })
        .unwrap_err(),
        "`DIR/prompts` has 64 prompts in a layer of `prompts_vis`; there may be 1 to 60"
    );
    assert_eq!(
        open(|tensors| rename(tensors, |name| name.replace("prompt", "ctx"))).unwrap_err(),
        "`DIR/prompts` holds no prompts, which are called `prompts_text.0` and the like: its 18 tensors are \
         ctx_txt_projections.0.bias, ctx_txt_projections.0.weight, ctx_txt_projections.1.bias, \
         ctx_txt_projections.1.weight, ctx_txt_projections.2.bias, ..."
    );
    assert_eq!(
        open(|tensors| {
            let mut twice = tensors.clone();
            rename(&mut twice, |name| format!("ema.{name}"));
            tensors.extend(twice);
        })
        .unwrap_err(),
        "`DIR/prompts` holds more than one set of prompts, under `` and `ema.`: keep one"
    );
}

#[test]
fn files_of_other_kinds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompts.pth");
    let error_for = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        text(&Prompts::open(&file, &config()).unwrap_err(), dir.path())
    };
    assert_eq!(error_for(b"hello"), "`DIR/prompts.pth` is neither a safetensors file nor a PyTorch checkpoint");
    let neither = "`DIR/prompts.pth` is neither a safetensors file nor a PyTorch checkpoint: it is ";
    assert_eq!(error_for(b""), format!("{neither}empty"));
    for (bytes, expected) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\n"[..],
            "a pointer of Git LFS; run `git lfs pull` in its repository",
        ),
        (b"<!DOCTYPE html>", "a web page, which was saved in place of the file"),
        (
            b"\x80\x04\x95\x00",
            "a pickle that `torch.save` did not write; load it in Python and save it with `torch.save`",
        ),
    ] {
        assert_eq!(error_for(bytes), format!("{neither}{expected}"));
    }
    assert_eq!(
        error_for(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
        "`DIR/prompts.pth` is a PyTorch checkpoint that cannot be read: its pickle is damaged at byte 0: it ends in the \
         middle of a value"
    );
    let whole = fs::read(fixture("tiny-prompts.pth")).unwrap();
    let cut = error_for(&whole[..whole.len() / 2]);
    assert!(
        cut.starts_with("`DIR/prompts.pth` is a PyTorch checkpoint that cannot be read: it has no list of its entries"),
        "{cut}"
    );
    assert_eq!(
        error_for(&fs::read(fixture("other.pth")).unwrap()),
        "`DIR/prompts.pth` holds no prompts, which are called `prompts_text.0` and the like: its 1 tensors are weight"
    );
    let error = Prompts::open(&dir.path().join("absent"), &config()).unwrap_err();
    assert!(text(&error, dir.path()).starts_with("cannot read `DIR/absent`: "));
    assert!(!error.is_retryable());
}

/// Returns a state dictionary of the tiny model's prompts, with `prefix` before each name.
fn state_dict(save: &mut TorchSave, prefix: &str) -> Py {
    let tensors = TINY.prompts();
    Py::Ordered(tensors.iter().map(|t| (format!("{prefix}{}", t.name), save.floats(&t.shape, &t.values))).collect())
}

/// Opens a checkpoint of the value that `make` returns.
fn open_torch(protocol: u8, make: impl FnOnce(&mut TorchSave) -> Py) -> Result<Prompts, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompts.pth");
    let mut save = TorchSave { protocol, root: "\u{63d0}\u{793a}".to_owned(), ..TorchSave::default() };
    let value = make(&mut save);
    save.write(&file, &value);
    Prompts::open(&file, &config()).map_err(|error| text(&error, dir.path()))
}

#[test]
fn training_checkpoints_have_equal_prompts() {
    let digest = open(|_| ()).unwrap().digest().unwrap();
    type Make = fn(&mut TorchSave) -> Py;
    let makes: [(&str, Make); 7] = [
        ("plain", |save| state_dict(save, "")),
        ("prefixed", |save| state_dict(save, "module.prompt_learner.")),
        ("under an unusual key", |save| Py::dict(vec![("params_ema", state_dict(save, ""))])),
        ("deep", |save| Py::dict(vec![("nets", Py::List(vec![Py::dict(vec![("best", state_dict(save, "net."))])]))])),
        ("one dictionary under two keys", |save| {
            save.shared = vec![state_dict(save, "")];
            Py::dict(vec![("state_dict", Py::Shared(0)), ("best", Py::Shared(0))])
        }),
        ("equal copies", |save| Py::dict(vec![("last", state_dict(save, "")), ("best", state_dict(save, "module."))])),
        ("a training's state", |save| {
            let moment = |save: &mut TorchSave| Py::dict(vec![("exp_avg", save.floats(&[2], &[0.0; 2]))]);
            let by_name = Py::dict(vec![("prompts_text.0", save.floats(&[2], &[0.0; 2]))]);
            let optimizer_state = Py::Dict(vec![(Py::Int(0), moment(save)), (Py::str("by_name"), by_name)]);
            let scalar = Py::Call("numpy.core.multiarray", "scalar", vec![Py::str("f8"), Py::str("\0\0\0\0\0\0\0\0")]);
            Py::dict(vec![
                ("seed", Py::Long(vec![57, 48, 0, 0, 0, 0, 0, 128, 0])),
                ("best_srcc", scalar),
                ("args", Py::Object("argparse", "Namespace", vec![("lr".to_owned(), Py::Float(1e-4))])),
                ("scheduler", Py::Call("my.package", "Scheduler", vec![Py::Int(3)])),
                ("rng", save.tensor("ByteStorage", &[4], 4, vec![0; 4])),
                ("mask", save.tensor("BoolStorage", &[4], 4, vec![1; 4])),
                ("steps", save.tensor("IntStorage", &[1], 1, vec![0; 4])),
                ("loss", save.tensor("DoubleStorage", &[1], 1, vec![0; 8])),
                ("odd", save.tensor("QInt8Storage", &[1], 1, vec![0])),
                ("optimizer", Py::dict(vec![("state", optimizer_state)])),
                ("state_dict", state_dict(save, "")),
            ])
        }),
    ];
    for (case, make) in makes {
        for protocol in [2, 4, 5] {
            let prompts = open_torch(protocol, make).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(prompts.digest().unwrap(), digest, "{case}, protocol {protocol}");
        }
    }
}

#[test]
fn a_checkpoint_with_several_sets_of_prompts_is_refused() {
    let error = open_torch(2, |save| {
        let mut other = state_dict(save, "");
        if let Py::Ordered(pairs) = &mut other {
            pairs[0].1 = save.floats(&[8, 64], &[0.5; 8 * 64]);
        }
        Py::dict(vec![("params", state_dict(save, "")), ("params_ema", other)])
    });
    assert_eq!(
        error.unwrap_err(),
        "`DIR/prompts.pth` holds more than one set of prompts, under `params` and `params_ema`: keep one"
    );
    let error = open_torch(2, |save| {
        let tensor = save.floats(&[1], &[0.0]);
        Py::dict(vec![("net", Py::dict(vec![("weight", tensor.clone())])), ("ema", Py::dict(vec![("weight", tensor)]))])
    });
    assert_eq!(
        error.unwrap_err(),
        "`DIR/prompts.pth` holds no prompts, which are called `prompts_text.0` and the like: none in its 2 dictionaries of \
         tensors, `net`, `ema`"
    );
}

#[test]
fn huge_tensors_in_a_small_file_are_refused() {
    let error = open_torch(2, |save| {
        let (shape, strides) = (vec![1 << 40, 64], vec![0, 0]);
        save.storages.insert("0".to_owned(), vec![0; 4]);
        let tensor = PyTensor { kind: "FloatStorage", key: "0".to_owned(), values: 1, offset: 0, shape, strides };
        Py::dict(vec![("prompts_text.0", Py::Tensor(tensor))])
    });
    assert!(error.unwrap_err().contains("it repeats values and is larger than its file"));
}
