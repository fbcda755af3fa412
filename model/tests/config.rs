//! Tests reading `config.json` of the published models, and refusing those of models that dqa does not run.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::Path;

use dqa_model::{Activation, ClipConfig, TextConfig, VisionConfig};
use dqa_testkit::{ClipShape, hf};
use serde_json::{Value, json};

fn parse(json: &Value) -> Result<ClipConfig, String> {
    ClipConfig::parse(&json.to_string(), Path::new("config.json")).map_err(|error| error.to_string())
}

/// Returns the configuration of openai/clip-vit-base-patch32: the `_dict` sections are null, and most keys are those of
/// transformers.
fn base_32() -> Value {
    json!({
        "architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592,
        "model_type": "clip", "projection_dim": 512, "text_config_dict": null, "vision_config_dict": null,
        "text_config": {
            "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "quick_gelu",
            "hidden_size": 512, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
            "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 8,
            "num_hidden_layers": 12, "vocab_size": 49408
        },
        "vision_config": {
            "hidden_act": "quick_gelu", "hidden_size": 768, "image_size": 224, "intermediate_size": 3072,
            "layer_norm_eps": 1e-05, "model_type": "clip_vision_model", "num_attention_heads": 12,
            "num_hidden_layers": 12, "patch_size": 32
        }
    })
}

fn expected_base_32() -> ClipConfig {
    let (eps, activation) = (1e-5, Activation::QuickGelu);
    let vision =
        VisionConfig { width: 768, layers: 12, heads: 12, mlp_width: 3072, patch: 32, image: 224, eps, activation };
    let text =
        TextConfig { width: 512, layers: 12, heads: 8, mlp_width: 2048, vocab: 49408, context: 77, eps, activation };
    ClipConfig { vision, text, embed_dim: 512 }
}

#[test]
fn vit_b_32_is_read() {
    let config = parse(&base_32()).unwrap();
    assert_eq!(config, expected_base_32());
    assert_eq!((config.grid(), config.patches()), (7, 49));
}

#[test]
fn missing_keys_have_transformers_defaults() {
    assert_eq!(parse(&json!({ "model_type": "clip" })).unwrap(), expected_base_32());
}

#[test]
fn vit_b_16_is_read() {
    let json = json!({ "model_type": "clip", "vision_config": { "patch_size": 16 }, "text_config": {} });
    let config = parse(&json).unwrap();
    assert_eq!((config.vision.patch, config.grid(), config.patches()), (16, 14, 196));
}

/// Tests the configuration of openai/clip-vit-large-patch14, whose `_dict` sections repeat values.
#[test]
fn vit_l_14_is_read() {
    let text = json!({
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "projection_dim": 768
    });
    let vision = json!({
        "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
        "patch_size": 14, "projection_dim": 768
    });
    let whole = json!({
        "model_type": "clip", "projection_dim": 768, "text_config": text, "text_config_dict": text,
        "vision_config": vision, "vision_config_dict": vision
    });
    let config = parse(&whole).unwrap();
    assert_eq!((config.embed_dim, config.text.width, config.vision.width), (768, 768, 1024));
    assert_eq!((config.vision.layers, config.vision.heads, config.patches()), (24, 16, 256));
    let old_only =
        json!({ "model_type": "clip", "projection_dim": 768, "text_config_dict": text, "vision_config_dict": vision });
    assert_eq!(parse(&old_only).unwrap(), config);
}

#[test]
fn the_tiny_model_is_read() {
    let config = ClipConfig::parse(&hf::config_json(&ClipShape::TINY), Path::new("config.json")).unwrap();
    assert_eq!((config.vision.heads, config.text.heads, config.embed_dim), (2, 1, 64));
}

#[test]
fn another_model_is_refused_with_file_key_and_value() {
    for (pointer, value, text) in [
        ("/model_type", json!("siglip"), "`model_type` is \"siglip\", but dqa needs \"clip\""),
        (
            "/text_config/hidden_act",
            json!("gelu_new"),
            "`text_config.hidden_act` is \"gelu_new\", but dqa needs \"quick_gelu\" or \"gelu\"",
        ),
        (
            "/vision_config/hidden_act",
            json!("relu"),
            "`vision_config.hidden_act` is \"relu\", but dqa needs \"quick_gelu\" or \"gelu\"",
        ),
        (
            "/vision_config/model_type",
            json!("siglip_vision_model"),
            "`vision_config.model_type` is \"siglip_vision_model\", but dqa needs \"clip_vision_model\"",
        ),
        ("/vision_config/image_size", json!(336), "`vision_config.image_size` is 336, but dqa needs 224"),
        (
            "/vision_config/patch_size",
            json!(15),
            "`vision_config.patch_size` is 15, but dqa needs a divisor of the picture's side 224",
        ),
        (
            "/vision_config/num_attention_heads",
            json!(7),
            "`vision_config.num_attention_heads` is 7, but dqa needs a divisor of 768",
        ),
        ("/text_config/vocab_size", json!(250002), "`text_config.vocab_size` is 250002, but dqa needs 49408"),
        (
            "/text_config/hidden_size",
            json!("wide"),
            "`text_config.hidden_size` is \"wide\", but dqa needs a whole number from 1 to 1048576",
        ),
        (
            "/text_config/num_hidden_layers",
            json!(0),
            "`text_config.num_hidden_layers` is 0, but dqa needs a whole number from 1 to 1000",
        ),
        (
            "/text_config/layer_norm_eps",
            json!(0.0),
            "`text_config.layer_norm_eps` is 0.0, but dqa needs a number between 0 and 1",
        ),
        ("/projection_dim", json!(-1), "`projection_dim` is -1, but dqa needs a whole number from 1 to 1048576"),
        ("/vision_config", json!([]), "`vision_config` is [], but dqa needs an object"),
        (
            "/text_config_dict",
            json!({ "num_attention_heads": 4 }),
            "`text_config_dict.num_attention_heads` is 4, but dqa needs 8, as `text_config.num_attention_heads` says, \
             or one of the two removed",
        ),
    ] {
        let mut json = base_32();
        *json.pointer_mut(pointer).unwrap() = value;
        assert_eq!(parse(&json).unwrap_err(), format!("`config.json`: {text}"));
    }
    let mut channels = base_32();
    channels["vision_config"]["num_channels"] = json!(1);
    assert_eq!(parse(&channels).unwrap_err(), "`config.json`: `vision_config.num_channels` is 1, but dqa needs 3");
    assert_eq!(parse(&json!({})).unwrap_err(), "`config.json`: `model_type` is absent, but dqa needs \"clip\"");
}

#[test]
fn a_missing_or_invalid_file_is_refused() {
    let error = ClipConfig::read(Path::new("/nowhere/config.json")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the model's configuration `/nowhere/config.json`");
    let error = ClipConfig::parse("{", Path::new("config.json")).unwrap_err();
    assert_eq!(error.to_string(), "`config.json` is not JSON");
}

#[test]
fn gelu_is_read_and_written() {
    let mut json = base_32();
    json["vision_config"]["hidden_act"] = json!("gelu");
    json["text_config"]["hidden_act"] = json!("gelu");
    let config = parse(&json).unwrap();
    assert_eq!((config.vision.activation, config.text.activation), (Activation::Gelu, Activation::Gelu));
    assert_eq!(ClipConfig::parse(&config.to_json(), Path::new("config.json")).unwrap(), config);
}
