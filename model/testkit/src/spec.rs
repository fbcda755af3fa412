//! The tensors of a model of a given shape, with the centre and scale of each under the formula.
//!
//! The names are those of Hugging Face's `openai/clip-vit-base-patch32` and, for the prompts, the authors'. The list is
//! written independently of the product's own, so that a mistake in either shows.

/// One tensor of the formula.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Middle of the uniform values.
    pub center: f64,
    /// Half their range.
    pub scale: f64,
}

impl TensorSpec {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns whether the tensor has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The sizes that determine the shapes of a CLIP model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipShape {
    /// Layers of the visual tower.
    pub layers_v: usize,
    /// Layers of the text tower.
    pub layers_t: usize,
    /// Width of the visual tower.
    pub width_v: usize,
    /// Width of the text tower.
    pub width_t: usize,
    /// Attention heads of the visual tower, which no tensor's shape depends on.
    pub heads_v: usize,
    /// Attention heads of the text tower, which no tensor's shape depends on.
    pub heads_t: usize,
    /// Width of the space that both towers project to.
    pub embed_dim: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Longest sentence, in tokens.
    pub context: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Side of the picture, in pixels.
    pub image: usize,
}

impl ClipShape {
    /// openai/clip-vit-base-patch32: 151 million values.
    pub const VIT_B_32: ClipShape = ClipShape {
        layers_v: 12,
        layers_t: 12,
        width_v: 768,
        width_t: 512,
        heads_v: 12,
        heads_t: 8,
        embed_dim: 512,
        vocab: 49408,
        context: 77,
        patch: 32,
        image: 224,
    };

    /// A small CLIP of the same architecture, patch and input size, called `tiny` in goldens.json. 4 million values,
    /// most of them token embeddings.
    pub const TINY: ClipShape = ClipShape {
        layers_v: 3,
        layers_t: 3,
        width_v: 128,
        width_t: 64,
        heads_v: 2,
        heads_t: 1,
        embed_dim: 64,
        ..Self::VIT_B_32
    };

    /// Returns the shape that goldens.json calls `kind`: `vit-b-32` or `tiny`.
    pub fn from_kind(kind: &str) -> ClipShape {
        match kind {
            "vit-b-32" => Self::VIT_B_32,
            "tiny" => Self::TINY,
            other => panic!("the testkit knows the kinds vit-b-32 and tiny, not {other}"),
        }
    }

    /// Returns the shape of this model's prompts in goldens.json: 8 in every layer.
    pub fn prompts(&self) -> PromptShape {
        PromptShape {
            depth_v: self.layers_v,
            depth_t: self.layers_t,
            len_v: 8,
            len_t: 8,
            width_v: self.width_v,
            width_t: self.width_t,
        }
    }
}

/// The sizes that determine the shapes of the learned prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptShape {
    /// Layers of the visual tower with prompts, from the first.
    pub depth_v: usize,
    /// Layers of the text tower with prompts, from the first.
    pub depth_t: usize,
    /// Visual prompts in a layer.
    pub len_v: usize,
    /// Text prompts in a layer.
    pub len_t: usize,
    /// Width of the visual tower.
    pub width_v: usize,
    /// Width of the text tower.
    pub width_t: usize,
}

/// The list under construction: one line here corresponds to one line of `clip_spec` in the reference.
struct List(Vec<TensorSpec>);

impl List {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], center: f64, scale: f64) {
        self.0.push(TensorSpec { name: name.into(), shape: shape.to_vec(), center, scale });
    }

    /// Adds a uniform tensor on [-s, s], whose standard deviation is s / sqrt(3).
    fn spread(&mut self, name: impl Into<String>, shape: &[usize], std: f64) {
        self.add(name, shape, 0.0, 3f64.sqrt() * std);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width], 1.0, 0.1);
        self.add(format!("{name}.bias"), &[width], 0.0, 0.05);
    }

    fn linear(&mut self, name: &str, shape: [usize; 2], std: f64) {
        self.spread(format!("{name}.weight"), &shape, std);
        self.add(format!("{name}.bias"), &shape[..1], 0.0, 0.02);
    }

    fn tower(&mut self, tower: &str, width: usize, layers: usize) {
        let proj = root(width) * root(2 * layers);
        for layer in 0..layers {
            let prefix = format!("{tower}.encoder.layers.{layer}");
            for projection in ["q_proj", "k_proj", "v_proj"] {
                self.linear(&format!("{prefix}.self_attn.{projection}"), [width, width], root(width));
            }
            self.linear(&format!("{prefix}.self_attn.out_proj"), [width, width], proj);
            self.norm(&format!("{prefix}.layer_norm1"), width);
            self.norm(&format!("{prefix}.layer_norm2"), width);
            self.linear(&format!("{prefix}.mlp.fc1"), [4 * width, width], root(2 * width));
            self.linear(&format!("{prefix}.mlp.fc2"), [width, 4 * width], proj);
        }
    }
}

/// Returns `n ** -0.5`.
fn root(n: usize) -> f64 {
    (n as f64).powf(-0.5)
}

/// Lists every CLIP tensor of a model of this shape.
pub fn clip_spec(shape: &ClipShape) -> Vec<TensorSpec> {
    let (wide, text, dim) = (shape.width_v, shape.width_t, shape.embed_dim);
    let places = (shape.image / shape.patch).pow(2) + 1;
    let mut list = List(Vec::new());
    let patch = [wide, 3, shape.patch, shape.patch];
    list.spread("vision_model.embeddings.class_embedding", &[wide], root(wide));
    list.spread("vision_model.embeddings.patch_embedding.weight", &patch, root(patch[1..].iter().product()));
    list.spread("vision_model.embeddings.position_embedding.weight", &[places, wide], root(wide));
    list.norm("vision_model.pre_layrnorm", wide);
    list.norm("vision_model.post_layernorm", wide);
    list.tower("vision_model", wide, shape.layers_v);
    list.spread("visual_projection.weight", &[dim, wide], root(wide));
    list.spread("text_model.embeddings.token_embedding.weight", &[shape.vocab, text], 0.02);
    list.spread("text_model.embeddings.position_embedding.weight", &[shape.context, text], 0.01);
    list.tower("text_model", text, shape.layers_t);
    list.norm("text_model.final_layer_norm", text);
    list.spread("text_projection.weight", &[dim, text], root(text));
    list.add("logit_scale", &[], 100f64.ln(), 0.0);
    list.0
}

/// Lists every tensor of the learned prompts, in the authors' names. The scales are larger than those of new prompts,
/// so that a mistake in any tensor moves the score.
pub fn prompt_spec(shape: &PromptShape) -> Vec<TensorSpec> {
    let mut list = List(Vec::new());
    for (kind, linear, depth, len, width) in [
        ("text", "txt", shape.depth_t, shape.len_t, shape.width_t),
        ("vis", "vis", shape.depth_v, shape.len_v, shape.width_v),
    ] {
        for i in 0..depth {
            list.add(format!("prompts_{kind}.{i}"), &[len, width], 0.0, 0.5);
            list.spread(format!("prompt_{linear}_projections.{i}.weight"), &[width, width], root(width));
            list.add(format!("prompt_{linear}_projections.{i}.bias"), &[width], 0.0, 0.05);
        }
    }
    list.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vit_b_32_has_the_published_number_of_values() {
        let values: usize = clip_spec(&ClipShape::VIT_B_32).iter().map(TensorSpec::len).sum();
        assert_eq!(values, 151_277_313); // openai/clip-vit-base-patch32's model card
        assert_eq!(clip_spec(&ClipShape::VIT_B_32).len(), 398);
        assert_eq!(prompt_spec(&ClipShape::VIT_B_32.prompts()).len(), 72);
    }
}
