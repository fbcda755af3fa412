//! Tests that weights are opened completely or refused, and that errors name every reason.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use dqa_model::{ClipConfig, ClipWeights, WeightsError};
use dqa_testkit::hf::{self, Dtype, HfDir, RawTensor};
use dqa_testkit::{ClipShape, Goldens};
use tempfile::TempDir;

const TOKENS: &str = "text_model.embeddings.token_embedding.weight";
const FC1: &str = "vision_model.encoder.layers.1.mlp.fc1.weight";
const TINY: HfDir = HfDir { salt: "golden", shape: ClipShape::TINY, shards: 1 };

/// Returns an error with its causes, with `DIR` in place of the test's directory.
fn text(error: &WeightsError, dir: &Path) -> String {
    dqa_testkit::chain(error).replace(dir.to_str().unwrap(), "DIR")
}

/// Returns the error for a directory with the tiny configuration and the tiny tensors after `spoil`.
fn open_error(spoil: impl FnOnce(&mut Vec<RawTensor>)) -> String {
    let dir = with_tensors(spoil, 1);
    text(&ClipWeights::open(dir.path()).unwrap_err(), dir.path())
}

fn with_tensors(change: impl FnOnce(&mut Vec<RawTensor>), shards: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), hf::config_json(&TINY.shape)).unwrap();
    let mut tensors = hf::raw(TINY.weights());
    change(&mut tensors);
    hf::write_weights(dir.path(), &tensors, shards);
    dir
}

fn find<'a>(tensors: &'a mut [RawTensor], name: &str) -> &'a mut RawTensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn check_goldens(kind: &str) {
    let goldens = Goldens::load();
    let weights = ClipWeights::open(&hf::cached(kind, &goldens.salt)).unwrap();
    for (name, golden) in &goldens.model(kind).weights {
        let tensor = weights.get(name).unwrap();
        golden.check(name, tensor.dims(), &values(&tensor), 1e-7);
    }
}

#[test]
fn tiny_weights_equal_the_goldens() {
    check_goldens("tiny");
}

#[test]
fn vit_b_32_weights_equal_the_goldens() {
    check_goldens("vit-b-32");
}

#[test]
fn shards_and_a_single_file_are_equal() {
    let (single, sharded) = (with_tensors(|_| (), 1), with_tensors(|_| (), 3));
    let (single, sharded) = (ClipWeights::open(single.path()).unwrap(), ClipWeights::open(sharded.path()).unwrap());
    assert_eq!(values(&single.get(FC1).unwrap()), values(&sharded.get(FC1).unwrap()));
    assert_eq!(single.digest(), sharded.digest());
}

#[test]
fn weights_in_memory_and_in_files_are_equal() {
    let dir = with_tensors(|_| (), 1);
    let opened = ClipWeights::open(dir.path()).unwrap();
    let tensors: HashMap<String, Tensor> = TINY
        .weights()
        .into_iter()
        .map(|t| (t.name, Tensor::from_vec(t.values, t.shape, &Device::Cpu).unwrap()))
        .collect();
    let held = ClipWeights::from_tensors(opened.config().clone(), tensors.clone()).unwrap();
    assert_eq!(held.digest(), opened.digest());

    let mut fewer = tensors;
    fewer.remove("logit_scale");
    let error = ClipWeights::from_tensors(opened.config().clone(), fewer).unwrap_err();
    assert_eq!(
        text(&error, dir.path()),
        "the weights in memory are not those of the model that its configuration describes: 1 missing: logit_scale"
    );
}

#[test]
fn the_digest_covers_every_value_and_the_configuration() {
    let plain = ClipWeights::open(with_tensors(|_| (), 1).path()).unwrap().digest();
    let flipped = with_tensors(|tensors| find(tensors, FC1).bytes[0] ^= 1, 1);
    assert_ne!(ClipWeights::open(flipped.path()).unwrap().digest(), plain);
    // Another number of heads has the same tensors, but other scores.
    let heads = with_tensors(|_| (), 1);
    let shape = ClipShape { heads_v: 4, ..TINY.shape };
    fs::write(heads.path().join("config.json"), hf::config_json(&shape)).unwrap();
    assert_ne!(ClipWeights::open(heads.path()).unwrap().digest(), plain);
}

#[test]
fn half_precision_is_widened_exactly() {
    let original = TINY.weights().into_iter().find(|tensor| tensor.name == FC1).unwrap();
    let f16 = with_tensors(|tensors| *find(tensors, FC1) = RawTensor::f16(&original), 1);
    let rounded: Vec<f32> = original.values.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect();
    assert_eq!(values(&ClipWeights::open(f16.path()).unwrap().get(FC1).unwrap()), rounded);

    let bf16 = with_tensors(
        |tensors| {
            let tensor = find(tensors, FC1);
            tensor.dtype = Dtype::BF16;
            tensor.bytes = original.values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
        },
        1,
    );
    let rounded: Vec<f32> = original.values.iter().map(|v| half::bf16::from_f32(*v).to_f32()).collect();
    assert_eq!(values(&ClipWeights::open(bf16.path()).unwrap().get(FC1).unwrap()), rounded);
}

#[test]
fn rows_equal_those_of_the_whole_tensor() {
    let dir = with_tensors(|_| (), 1);
    let weights = ClipWeights::open(dir.path()).unwrap();
    let indices = [49407u32, 0, 343, 343];
    let whole = weights.get(TOKENS).unwrap();
    let expected = whole.index_select(&Tensor::new(&indices, &Device::Cpu).unwrap(), 0).unwrap();
    let rows = weights.rows(TOKENS, &indices);
    assert_eq!(rows.dims(), [4, 64]);
    assert_eq!(values(&rows), values(&expected));
}

#[test]
#[should_panic(expected = "a CLIP model has no tensor `text_projection.bias`")]
fn an_unknown_tensor_name_panics() {
    let dir = with_tensors(|_| (), 1);
    let _ = ClipWeights::open(dir.path()).unwrap().get("text_projection.bias");
}

#[test]
fn old_position_buffers_are_accepted_if_consecutive() {
    let consecutive = |n| (0..n).collect::<Vec<i64>>();
    let (text_ids, vision_ids) = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids");
    let plain = ClipWeights::open(with_tensors(|_| (), 1).path()).unwrap().digest();
    let dir = with_tensors(
        |tensors| {
            tensors.push(RawTensor::i64_row(text_ids, &consecutive(77)));
            tensors.push(RawTensor::i64_row(vision_ids, &consecutive(50)));
        },
        1,
    );
    assert_eq!(ClipWeights::open(dir.path()).unwrap().digest(), plain);

    let mut swapped = consecutive(77);
    swapped.swap(3, 4);
    for ids in [swapped, consecutive(76)] {
        assert_eq!(
            open_error(|tensors| tensors.push(RawTensor::i64_row(text_ids, &ids))),
            "`text_model.embeddings.position_ids` in `DIR` is not 0, 1, ... 76: this model reads its positions in \
             another order"
        );
    }
}

const REFUSED: &str = "the weights in `DIR` are not those of the model that its configuration describes: ";

#[test]
fn missing_and_unexpected_tensors_are_named() {
    assert_eq!(
        open_error(|tensors| tensors.retain(|tensor| !tensor.name.contains("layers.2.mlp"))),
        format!(
            "{REFUSED}8 missing: vision_model.encoder.layers.2.mlp.fc1.weight, \
             vision_model.encoder.layers.2.mlp.fc1.bias, vision_model.encoder.layers.2.mlp.fc2.weight, \
             vision_model.encoder.layers.2.mlp.fc2.bias, text_model.encoder.layers.2.mlp.fc1.weight, ..."
        )
    );
    assert_eq!(
        open_error(|tensors| find(tensors, "logit_scale").name = "logit_bias".to_owned()),
        format!("{REFUSED}1 missing: logit_scale; 1 unexpected: logit_bias")
    );
    assert_eq!(
        open_error(|tensors| find(tensors, FC1).shape = vec![128, 512]),
        format!("{REFUSED}1 of another shape: {FC1} is (128, 512), not (512, 128)")
    );
    assert_eq!(
        open_error(|tensors| find(tensors, FC1).dtype = Dtype::I32),
        format!("{REFUSED}1 of a type other than F32, F16 and BF16: {FC1} is I32")
    );
}

#[test]
fn a_truncated_file_is_refused() {
    let dir = with_tensors(|_| (), 1);
    let file = dir.path().join("model.safetensors");
    let length = fs::metadata(&file).unwrap().len();
    for shorter in [length - 1, 1000] {
        fs::File::options().write(true).open(&file).unwrap().set_len(shorter).unwrap();
        let error = ClipWeights::open(dir.path()).unwrap_err();
        let text = text(&error, dir.path());
        assert!(text.starts_with("`DIR/model.safetensors` is truncated or not a safetensors file: "), "{text}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn shards_and_index_must_agree() {
    let open = |dir: &TempDir| text(&ClipWeights::open(dir.path()).unwrap_err(), dir.path());
    let dir = with_tensors(|_| (), 3);
    fs::remove_file(dir.path().join(hf::shard_name(1, 3))).unwrap();
    assert_eq!(
        open(&dir),
        "`DIR/model.safetensors.index.json` names the shard `model-00002-of-00003.safetensors`, which is not beside it"
    );

    let edit = |from: &str, to: &str| {
        let dir = with_tensors(|_| (), 3);
        let index = dir.path().join("model.safetensors.index.json");
        let edited = fs::read_to_string(&index).unwrap().replace(from, to);
        fs::write(index, edited).unwrap();
        open(&dir)
    };
    assert_eq!(
        edit("model-00001-of-00003", "../model-00001-of-00003"),
        "`DIR/model.safetensors.index.json` names the shard `../model-00001-of-00003.safetensors`, which is not beside it"
    );
    assert_eq!(
        edit("\"logit_scale\"", "\"logit_bias\""),
        "`DIR/model.safetensors.index.json` and the shard `model-00003-of-00003.safetensors` disagree about the \
         tensor `logit_bias`: it is in the index, not in the shard"
    );
    assert_eq!(
        edit("\"logit_scale\":\"model-00003-of-00003.safetensors\",", ""),
        "`DIR/model.safetensors.index.json` and the shard `model-00003-of-00003.safetensors` disagree about the \
         tensor `logit_scale`: it is in the shard, but not there in the index"
    );
    let text = edit("weight_map", "weights");
    assert!(text.starts_with("`DIR/model.safetensors.index.json` is not an index of shards: missing field"), "{text}");
}

#[test]
fn a_directory_without_a_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| text(&ClipWeights::open(path).unwrap_err(), dir.path());
    assert_eq!(
        open(&dir.path().join("absent")),
        "there is no file or directory `DIR/absent`: a model is a directory with `config.json` and `model.safetensors`, or \
         another checkpoint of CLIP"
    );
    let none = "`DIR` has no weights of CLIP: neither `model.safetensors`, `pytorch_model.bin`, `open_clip_model.safetensors` \
                nor a single checkpoint of another name";
    assert_eq!(open(dir.path()), none);
    fs::write(dir.path().join("config.json"), hf::config_json(&TINY.shape)).unwrap();
    assert_eq!(open(dir.path()), none);
    fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
    assert_eq!(
        open(dir.path()),
        "`DIR/pytorch_model.bin` is neither a safetensors file nor a PyTorch checkpoint: it is empty"
    );
    fs::write(dir.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    assert_eq!(open(dir.path()), "`DIR/config.json`: `model_type` is \"bert\", but dqa needs \"clip\"");
}

/// Prints the time that digests take, for `cargo test --release -- --ignored --nocapture digest_time`. Asserts nothing.
#[test]
#[ignore = "prints a time"]
fn digest_time() {
    let weights = ClipWeights::open(&hf::cached("vit-b-32", "golden")).unwrap();
    for _ in 0..5 {
        let start = std::time::Instant::now();
        let digest = weights.digest();
        println!("{} in {:?}", digest.short(), start.elapsed());
    }
    let start = std::time::Instant::now();
    let reopened = ClipWeights::open(&hf::cached("vit-b-32", "golden")).unwrap();
    println!("opened in {:?}", start.elapsed());
    println!("{} of a new map in {:?}", reopened.digest().short(), start.elapsed());
}

#[test]
fn the_configuration_is_read_from_the_directory() {
    let dir = with_tensors(|_| (), 1);
    let expected = ClipConfig::read(&dir.path().join("config.json")).unwrap();
    assert_eq!(*ClipWeights::open(dir.path()).unwrap().config(), expected);
}

/// Opens OpenAI's tensors after `spoil`, of a model with one head per tower whose configuration follows from its
/// shapes. Returns the error, or the form if there is none.
fn open_openai(spoil: impl FnOnce(&mut Vec<RawTensor>)) -> String {
    let width = 64;
    let zeros = |name: &str, shape: &[usize]| RawTensor {
        name: name.to_owned(),
        dtype: Dtype::F16,
        shape: shape.to_vec(),
        bytes: vec![0; 2 * shape.iter().product::<usize>()],
    };
    let mut tensors = vec![
        zeros("logit_scale", &[]),
        zeros("text_projection", &[width, 32]),
        zeros("positional_embedding", &[77, width]),
        zeros("token_embedding.weight", &[49408, width]),
        zeros("visual.class_embedding", &[width]),
        zeros("visual.conv1.weight", &[width, 3, 32, 32]),
        zeros("visual.positional_embedding", &[50, width]),
        zeros("visual.proj", &[width, 32]),
    ];
    for (name, size) in [("input_resolution", 224i64), ("context_length", 77), ("vocab_size", 49408)] {
        tensors.push(RawTensor { shape: vec![], ..RawTensor::i64_row(name, &[size]) });
    }
    for norm in ["visual.ln_pre", "visual.ln_post", "ln_final"] {
        tensors.extend([zeros(&format!("{norm}.weight"), &[width]), zeros(&format!("{norm}.bias"), &[width])]);
    }
    for (tower, layer) in [("visual.", 0), ("visual.", 1), ("", 0), ("", 1)] {
        for (name, shape) in [
            ("attn.in_proj_weight", &[3 * width, width][..]),
            ("attn.in_proj_bias", &[3 * width]),
            ("attn.out_proj.weight", &[width, width]),
            ("attn.out_proj.bias", &[width]),
            ("ln_1.weight", &[width]),
            ("ln_1.bias", &[width]),
            ("ln_2.weight", &[width]),
            ("ln_2.bias", &[width]),
            ("mlp.c_fc.weight", &[4 * width, width]),
            ("mlp.c_fc.bias", &[4 * width]),
            ("mlp.c_proj.weight", &[width, 4 * width]),
            ("mlp.c_proj.bias", &[width]),
        ] {
            tensors.push(zeros(&format!("{tower}transformer.resblocks.{layer}.{name}"), shape));
        }
    }
    spoil(&mut tensors);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip");
    hf::write_safetensors(&file, &tensors);
    match ClipWeights::open(&file) {
        Ok(weights) => weights.form().to_string(),
        Err(error) => text(&error, dir.path()),
    }
}

#[test]
fn openai_tensors_are_named_as_in_the_file() {
    let prefix = "the weights in `DIR/clip` are not those of the model that its configuration describes: ";
    assert_eq!(open_openai(|_| ()), "OpenAI safetensors");
    let prefixed = open_openai(|tensors| tensors.iter_mut().for_each(|t| t.name.insert_str(0, "module.")));
    assert_eq!(prefixed, "OpenAI safetensors");
    let in_proj = "visual.transformer.resblocks.1.attn.in_proj_bias";
    assert_eq!(
        open_openai(|tensors| tensors.retain(|tensor| tensor.name != in_proj)),
        format!("{prefix}1 missing: {in_proj}")
    );
    assert_eq!(
        open_openai(|tensors| tensors.retain(|tensor| tensor.name != "visual.conv1.weight")),
        format!("{prefix}1 missing: visual.conv1.weight")
    );
    assert_eq!(
        open_openai(|tensors| find(tensors, in_proj).name = "visual.head".to_owned()),
        format!("{prefix}1 missing: {in_proj}; 1 unexpected: visual.head")
    );
    assert_eq!(
        open_openai(|tensors| find(tensors, "visual.proj").shape = vec![32, 64]),
        format!(
            "{prefix}2 of another shape: visual.proj is (32, 64), not (64, 64), text_projection is (64, 32), not (64, 64)"
        )
    );
    assert_eq!(
        open_openai(|tensors| find(tensors, "text_projection").dtype = Dtype::I16),
        format!("{prefix}1 of a type other than F32, F16 and BF16: text_projection is I16")
    );
    let mask = |future: u16| RawTensor {
        name: "attn_mask".to_owned(),
        dtype: Dtype::F16,
        shape: vec![77, 77],
        bytes: (0..77 * 77).flat_map(|i| if i % 77 > i / 77 { future } else { 0 }.to_le_bytes()).collect(),
    };
    assert_eq!(open_openai(|tensors| tensors.push(mask(0xfc00))), "OpenAI safetensors");
    assert_eq!(open_openai(|tensors| tensors.push(mask(0))), format!("{prefix}1 unexpected: attn_mask"));
}

#[test]
fn unsupported_models_are_refused_with_the_reason() {
    let prefix = "the model in `DIR/clip` cannot be run: ";
    let renamed =
        |from: &'static str, to: &'static str| open_openai(move |tensors| find(tensors, from).name = to.to_owned());
    for (to, expected) in [
        ("visual.layer1.0.conv1.weight", "its visual tower is a ResNet, and dqa runs vision transformers"),
        ("visual.trunk.head.weight", "its visual tower is one of timm, and dqa runs CLIP's own vision transformers"),
        ("text_decoder.ln_final.weight", "it is a CoCa model, and dqa runs CLIP alone"),
        ("logit_bias", "it is a SigLIP model, and dqa runs CLIP alone"),
        (
            "text.transformer.encoder.layer.0.weight",
            "its text tower is another model of Hugging Face, and dqa runs CLIP's own",
        ),
    ] {
        assert_eq!(renamed("visual.ln_post.bias", to), format!("{prefix}{expected}"));
    }
    assert_eq!(
        open_openai(|tensors| {
            let tensor = find(tensors, "visual.positional_embedding");
            (tensor.shape, tensor.bytes) = (vec![101, 64], vec![0; 2 * 101 * 64]);
        }),
        format!("{prefix}it takes pictures of 320 x 320 pixels, and dqa cuts windows of 224 x 224")
    );
    assert_eq!(
        open_openai(|tensors| find(tensors, "input_resolution").bytes[0] = 1),
        format!("{prefix}its `input_resolution` is not 224, as its tensors have it")
    );
    assert_eq!(
        open_openai(|tensors| tensors.truncate(1)),
        format!("{prefix}it has no tensors of CLIP: its 1 tensors are logit_scale")
    );
    let prompts = tempfile::tempdir().unwrap();
    hf::write_safetensors(&prompts.path().join("clip"), &hf::raw(TINY.prompts()));
    assert_eq!(
        text(&ClipWeights::open(prompts.path()).unwrap_err(), prompts.path()),
        "the model in `DIR` cannot be run: it holds prompts, which are given as --prompts"
    );
}

#[test]
fn a_directory_with_several_checkpoints_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ViT-B-32.pt", "ViT-L-14.pt", ".hidden"] {
        hf::write_safetensors(&dir.path().join(name), &hf::raw(TINY.prompts()));
    }
    assert_eq!(
        text(&ClipWeights::open(dir.path()).unwrap_err(), dir.path()),
        "`DIR` has more than one checkpoint, `ViT-B-32.pt`, `ViT-L-14.pt`: give the path of the one that is meant"
    );
}

#[test]
fn mixed_precision_does_not_change_the_digest() {
    let f16 =
        |name: &str| TINY.weights().into_iter().find(|tensor| tensor.name == name).map(|t| RawTensor::f16(&t)).unwrap();
    let mixed = with_tensors(|tensors| *find(tensors, FC1) = f16(FC1), 1);
    let widened = with_tensors(
        |tensors| {
            let halves = f16(FC1);
            let values = halves.bytes.chunks_exact(2).map(|pair| half::f16::from_le_bytes([pair[0], pair[1]]).to_f32());
            find(tensors, FC1).bytes = values.flat_map(f32::to_le_bytes).collect();
        },
        1,
    );
    let (mixed, widened) = (ClipWeights::open(mixed.path()).unwrap(), ClipWeights::open(widened.path()).unwrap());
    assert_eq!(mixed.digest(), widened.digest());
    assert_eq!(mixed.precisions(), [("F32", mixed.tensor_count() - 1), ("F16", 1)]);
    assert_eq!(widened.precisions(), [("F32", widened.tensor_count())]);
}
