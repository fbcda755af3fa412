//! Weights are taken whole or not at all, and every reason not to is told.

#![allow(clippy::unwrap_used)] // helpers too: a test that cannot get its data has failed

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

/// An error with its causes, and `DIR` for the test's directory.
fn text(error: &WeightsError, dir: &Path) -> String {
    dqa_testkit::chain(error).replace(dir.to_str().unwrap(), "DIR")
}

/// What is said of a directory with the tiny configuration and these tensors.
fn refused(spoil: impl FnOnce(&mut Vec<RawTensor>)) -> String {
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
fn tiny_weights_are_the_goldens() {
    check_goldens("tiny");
}

#[test]
fn vit_b_32_weights_are_the_goldens() {
    check_goldens("vit-b-32");
}

#[test]
fn shards_and_one_file_give_the_same() {
    let (single, sharded) = (with_tensors(|_| (), 1), with_tensors(|_| (), 3));
    let (single, sharded) = (ClipWeights::open(single.path()).unwrap(), ClipWeights::open(sharded.path()).unwrap());
    assert_eq!(values(&single.get(FC1).unwrap()), values(&sharded.get(FC1).unwrap()));
    assert_eq!(single.digest(), sharded.digest());
}

#[test]
fn memory_and_files_give_the_same() {
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
fn the_digest_sees_every_value_and_the_configuration() {
    let plain = ClipWeights::open(with_tensors(|_| (), 1).path()).unwrap().digest();
    let flipped = with_tensors(|tensors| find(tensors, FC1).bytes[0] ^= 1, 1);
    assert_ne!(ClipWeights::open(flipped.path()).unwrap().digest(), plain);
    // Other heads: the same tensors, other scores.
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
fn rows_are_those_of_the_whole() {
    let dir = with_tensors(|_| (), 1);
    let weights = ClipWeights::open(dir.path()).unwrap();
    let indices = [49407u32, 0, 343, 343];
    let whole = weights.get(TOKENS).unwrap();
    let wanted = whole.index_select(&Tensor::new(&indices, &Device::Cpu).unwrap(), 0).unwrap();
    let rows = weights.rows(TOKENS, &indices);
    assert_eq!(rows.dims(), [4, 64]);
    assert_eq!(values(&rows), values(&wanted));
}

#[test]
#[should_panic(expected = "a CLIP model has no tensor `text_projection.bias`")]
fn a_name_that_no_model_has_is_our_mistake() {
    let dir = with_tensors(|_| (), 1);
    let _ = ClipWeights::open(dir.path()).unwrap().get("text_projection.bias");
}

#[test]
fn old_position_buffers_are_let_through_if_they_count() {
    let counting = |n| (0..n).collect::<Vec<i64>>();
    let (text_ids, vision_ids) = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids");
    let plain = ClipWeights::open(with_tensors(|_| (), 1).path()).unwrap().digest();
    let dir = with_tensors(
        |tensors| {
            tensors.push(RawTensor::i64_row(text_ids, &counting(77)));
            tensors.push(RawTensor::i64_row(vision_ids, &counting(50)));
        },
        1,
    );
    assert_eq!(ClipWeights::open(dir.path()).unwrap().digest(), plain);

    let mut swapped = counting(77);
    swapped.swap(3, 4);
    for ids in [swapped, counting(76)] {
        assert_eq!(
            refused(|tensors| tensors.push(RawTensor::i64_row(text_ids, &ids))),
            "`text_model.embeddings.position_ids` in `DIR` is not 0, 1, ... 76: this model reads its positions in \
             another order"
        );
    }
}

const REFUSED: &str = "the weights in `DIR` are not those of the model that its configuration describes: ";

#[test]
fn tensors_of_another_set_are_named() {
    assert_eq!(
        refused(|tensors| tensors.retain(|tensor| !tensor.name.contains("layers.2.mlp"))),
        format!(
            "{REFUSED}8 missing: vision_model.encoder.layers.2.mlp.fc1.weight, \
             vision_model.encoder.layers.2.mlp.fc1.bias, vision_model.encoder.layers.2.mlp.fc2.weight, \
             vision_model.encoder.layers.2.mlp.fc2.bias, text_model.encoder.layers.2.mlp.fc1.weight, ..."
        )
    );
    assert_eq!(
        refused(|tensors| find(tensors, "logit_scale").name = "logit_bias".to_owned()),
        format!("{REFUSED}1 missing: logit_scale; 1 unexpected: logit_bias")
    );
    assert_eq!(
        refused(|tensors| find(tensors, FC1).shape = vec![128, 512]),
        format!("{REFUSED}1 of another shape: {FC1} is (128, 512), not (512, 128)")
    );
    assert_eq!(
        refused(|tensors| find(tensors, FC1).dtype = Dtype::I32),
        format!("{REFUSED}1 of a type other than F32, F16 and BF16: {FC1} is I32")
    );
}

#[test]
fn a_file_cut_short_is_told() {
    let dir = with_tensors(|_| (), 1);
    let file = dir.path().join("model.safetensors");
    let length = fs::metadata(&file).unwrap().len();
    for shorter in [length - 1, 1000, 8, 0] {
        fs::File::options().write(true).open(&file).unwrap().set_len(shorter).unwrap();
        let error = ClipWeights::open(dir.path()).unwrap_err();
        let text = text(&error, dir.path());
        assert!(text.starts_with("`DIR/model.safetensors` is cut short or no safetensors file: "), "{text}");
        assert!(!error.retry());
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
    assert!(text.starts_with("`DIR/model.safetensors.index.json` is no index of shards: missing field"), "{text}");
}

#[test]
fn a_directory_without_a_model_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| text(&ClipWeights::open(path).unwrap_err(), dir.path());
    assert_eq!(
        open(&dir.path().join("absent")),
        "`DIR/absent` is not a directory: a model is a directory with `config.json` and `model.safetensors`"
    );
    assert_eq!(open(dir.path()), "`DIR` has no `config.json`: it is no Hugging Face model directory");
    fs::write(dir.path().join("config.json"), hf::config_json(&TINY.shape)).unwrap();
    assert_eq!(open(dir.path()), "`DIR` has neither `model.safetensors` nor `model.safetensors.index.json`");
    fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
    assert_eq!(
        open(dir.path()),
        "`DIR` has weights in `pytorch_model.bin` only, which dqa does not read; convert them once with `python -c \
         \"from transformers import CLIPModel; CLIPModel.from_pretrained('DIR').save_pretrained('DIR', \
         safe_serialization=True)\"`"
    );
    fs::write(dir.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    assert_eq!(open(dir.path()), "`DIR/config.json`: `model_type` is \"bert\", but dqa needs \"clip\"");
}

/// Not a test of speed: prints what `cargo test --release -- --ignored --nocapture digest_time` takes.
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
    let again = ClipWeights::open(&hf::cached("vit-b-32", "golden")).unwrap();
    println!("opened in {:?}", start.elapsed());
    println!("{} of a new map in {:?}", again.digest().short(), start.elapsed());
}

#[test]
fn the_configuration_is_the_directorys() {
    let dir = with_tensors(|_| (), 1);
    let wanted = ClipConfig::read(&dir.path().join("config.json")).unwrap();
    assert_eq!(*ClipWeights::open(dir.path()).unwrap().config(), wanted);
}
