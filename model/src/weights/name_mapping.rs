//! The names of CLIP's tensors in files: Hugging Face's, which this crate uses, and OpenAI's, which OpenCLIP uses too.
//!
//! A table has for each tensor of a file its shape there and the tensors that it becomes. It knows shapes and no
//! values.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::clip_config::ClipConfig;
use super::mismatch::{ExpectedTensor, Mismatch};
use super::stored_tensor::{StoredTensor, TensorMap};

/// The authors of a file's tensor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamingScheme {
    HuggingFace,
    /// The names of OpenAI and OpenCLIP.
    OpenAi,
}

/// Names that every model of a scheme has, the most telling first.
const HF_MARKS: [&str; 4] = [
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.position_embedding.weight",
    "text_model.embeddings.token_embedding.weight",
    "visual_projection.weight",
];
const OPEN_AI_MARKS: [&str; 4] =
    ["visual.class_embedding", "visual.conv1.weight", "visual.ln_post.weight", "visual.positional_embedding"];

/// Returns the scheme of these names, and the prefix of each, such as `module.`; `None` if they are not a CLIP model's.
pub(crate) fn scheme(names: &BTreeSet<&str>) -> Option<(NamingScheme, String)> {
    let prefix = |mark: &str| {
        names
            .iter()
            .find_map(|name| name.strip_suffix(mark).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')))
    };
    let found = |scheme, marks: &[&str]| Some((scheme, marks.iter().find_map(|mark| prefix(mark))?.to_owned()));
    found(NamingScheme::HuggingFace, &HF_MARKS).or_else(|| found(NamingScheme::OpenAi, &OPEN_AI_MARKS))
}

/// Returns why a model with these names cannot run, if it is of a known kind.
pub(crate) fn unsupported(names: &BTreeSet<&str>) -> Option<&'static str> {
    let has = |part: &str| names.iter().any(|name| name.starts_with(part) || name.contains(&format!(".{part}")));
    let kinds = [
        (
            has("visual.layer1.") || has("visual.attnpool."),
            "its visual tower is a ResNet, and dqa runs vision transformers",
        ),
        (has("visual.trunk."), "its visual tower is one of timm, and dqa runs CLIP's own vision transformers"),
        (has("text_decoder."), "it is a CoCa model, and dqa runs CLIP alone"),
        (has("visual.attn_pool."), "its visual tower pools by attention, and dqa reads the class token"),
        (
            has("text.transformer.encoder.") || has("text.transformer.embeddings."),
            "its text tower is another model of Hugging Face, and dqa runs CLIP's own",
        ),
        (
            (has("logit_bias") && has("logit_scale")) || has("vision_model.head.attention."),
            "it is a SigLIP model, and dqa runs CLIP alone",
        ),
    ];
    kinds.into_iter().find(|(is_so, _)| *is_so).map(|(_, why)| why)
}

/// A tensor of a file and the tensors that it becomes.
struct Rule {
    name: String,
    shape: Vec<usize>,
    parts: Vec<(String, Conversion)>,
}

/// How a tensor is taken from one of the file.
enum Conversion {
    Whole,
    Transposed,
    Rows(Range<usize>),
}

/// Converts the tensors with OpenAI's names under `prefix`. The text tower's names may have `text.` before them.
pub(crate) fn from_open_ai(config: &ClipConfig, tensors: &TensorMap, prefix: &str) -> Result<TensorMap, Mismatch> {
    let rules = open_ai(config, prefix, &text_prefix(tensors.keys(), prefix));
    let expected: Vec<ExpectedTensor> =
        rules.iter().map(|rule| ExpectedTensor::new(rule.name.clone(), &rule.shape)).collect();
    let is_logit_scale = |name: &str| name.strip_prefix(prefix) == Some("logit_scale");
    let found = |(name, tensor): (&String, &StoredTensor)| {
        let mut found = tensor.info();
        // Some versions of OpenCLIP store it as a vector of one number.
        if is_logit_scale(name) && found.shape == [1] {
            found.shape.clear();
        }
        found
    };
    let found: BTreeMap<_, _> = tensors.iter().map(|entry| (entry.0.as_str(), found(entry))).collect();
    Mismatch::compare(&expected, found)?;
    let mut own = TensorMap::new();
    for Rule { name, parts, .. } in rules {
        let stored = &tensors[&name];
        for (own_name, how) in parts {
            let part = match how {
                Conversion::Whole if own_name == "logit_scale" => stored.scalar(),
                Conversion::Whole => stored.clone(),
                Conversion::Transposed => stored.transposed(),
                Conversion::Rows(rows) => stored.rows(rows),
            };
            own.insert(own_name, part);
        }
    }
    Ok(own)
}

/// Returns the prefix of the text tower's names.
pub(crate) fn text_prefix<'a>(names: impl IntoIterator<Item = &'a String>, prefix: &str) -> String {
    let custom = format!("{prefix}text.");
    if names.into_iter().any(|name| name.starts_with(&custom)) { custom } else { prefix.to_owned() }
}

fn open_ai(config: &ClipConfig, prefix: &str, text_prefix: &str) -> Vec<Rule> {
    let (vision, text, dim) = (&config.vision, &config.text, config.embed_dim);
    let visual = format!("{prefix}visual.");
    let mut rules = Vec::new();
    let mut add = |name: String, shape: &[usize], own: &str, how: Conversion| {
        rules.push(Rule { name, shape: shape.to_vec(), parts: vec![(own.to_owned(), how)] });
    };
    add(format!("{prefix}logit_scale"), &[], "logit_scale", Conversion::Whole);
    for (name, shape, own) in [
        ("class_embedding", &[vision.width][..], "class_embedding"),
        ("conv1.weight", &[vision.width, 3, vision.patch, vision.patch], "patch_embedding.weight"),
        ("positional_embedding", &[config.patches() + 1, vision.width], "position_embedding.weight"),
    ] {
        add(format!("{visual}{name}"), shape, &format!("vision_model.embeddings.{own}"), Conversion::Whole);
    }
    for (name, shape, own) in [
        ("token_embedding.weight", [text.vocab, text.width], "token_embedding.weight"),
        ("positional_embedding", [text.context, text.width], "position_embedding.weight"),
    ] {
        add(format!("{text_prefix}{name}"), &shape, &format!("text_model.embeddings.{own}"), Conversion::Whole);
    }
    add(format!("{visual}proj"), &[vision.width, dim], "visual_projection.weight", Conversion::Transposed);
    add(format!("{text_prefix}text_projection"), &[text.width, dim], "text_projection.weight", Conversion::Transposed);
    for (name, own, width) in [
        (format!("{visual}ln_pre"), "vision_model.pre_layrnorm", vision.width),
        (format!("{visual}ln_post"), "vision_model.post_layernorm", vision.width),
        (format!("{text_prefix}ln_final"), "text_model.final_layer_norm", text.width),
    ] {
        for part in ["weight", "bias"] {
            add(format!("{name}.{part}"), &[width], &format!("{own}.{part}"), Conversion::Whole);
        }
    }
    for layer in 0..vision.layers {
        let layer_prefix = format!("{visual}transformer.resblocks.{layer}");
        block(
            &mut rules,
            &layer_prefix,
            &format!("vision_model.encoder.layers.{layer}"),
            [vision.width, vision.mlp_width],
        );
    }
    for layer in 0..text.layers {
        let layer_prefix = format!("{text_prefix}transformer.resblocks.{layer}");
        block(&mut rules, &layer_prefix, &format!("text_model.encoder.layers.{layer}"), [text.width, text.mlp_width]);
    }
    rules
}

fn block(rules: &mut Vec<Rule>, layer_prefix: &str, own: &str, [width, mlp_width]: [usize; 2]) {
    // Queries, keys and values are one matrix, one below the other.
    for (part, columns) in [("weight", Some(width)), ("bias", None)] {
        let shape = [Some(3 * width), columns].into_iter().flatten().collect();
        let own = |(i, name): (usize, &str)| {
            (format!("{own}.self_attn.{name}.{part}"), Conversion::Rows(i * width..(i + 1) * width))
        };
        let parts = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate().map(own).collect();
        rules.push(Rule { name: format!("{layer_prefix}.attn.in_proj_{part}"), shape, parts });
    }
    for (name, own_name, shape) in [
        ("attn.out_proj", "self_attn.out_proj", &[width, width][..]),
        ("ln_1", "layer_norm1", &[width]),
        ("ln_2", "layer_norm2", &[width]),
        ("mlp.c_fc", "mlp.fc1", &[mlp_width, width]),
        ("mlp.c_proj", "mlp.fc2", &[width, mlp_width]),
    ] {
        for (part, shape) in [("weight", shape), ("bias", &shape[..1])] {
            let parts = vec![(format!("{own}.{own_name}.{part}"), Conversion::Whole)];
            rules.push(Rule { name: format!("{layer_prefix}.{name}.{part}"), shape: shape.to_vec(), parts });
        }
    }
}
