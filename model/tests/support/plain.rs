//! Implements CLIP-DQA in its plain form: each step of `clip_dqa_ref.py` as Candle operations, in the same order,
//! without any optimisation.
//!
//! All 107 tokens pass through all layers, prompts are tokens that each layer replaces, and sentences have 77 tokens.
//! Each surprising point of the authors' code is a switch of [`Oddities`], so that tests can check that the product
//! follows it.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{sigmoid, softmax};
use dqa_model::{Origin, Placement, Rgb8, ViewMode, Views, whole_view};

use super::Model;

const SIDE: u32 = 224;
const CONTEXT: usize = 77;

/// The points where the authors' code is not what one would write from the paper. A true switch follows their code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oddities {
    /// If false, uses CLIP's own mean and deviation.
    pub(crate) imagenet_normalisation: bool,
    /// If false, the first visual prompt enters in f32.
    pub(crate) first_visual_prompt_rounded: bool,
    /// If false, the visual prompts of later layers enter in f32.
    pub(crate) later_visual_prompts_rounded: bool,
    /// If false, the text prompts of later layers enter in f32.
    pub(crate) later_text_prompts_rounded: bool,
    /// If false, the first text prompt is rounded to f16, too.
    pub(crate) first_text_prompt_exact: bool,
    /// If false, the first visual prompt skips the norm before the layers, as all others do.
    pub(crate) first_visual_prompt_normed: bool,
    /// If false, the whole picture's tokens have no positions, unlike a window's tokens.
    pub(crate) whole_has_window_positions: bool,
    /// If false, visual prompts have the positions 1, 2, ...
    pub(crate) prompts_without_position: bool,
    /// If false, the last windows of rows and columns are moved to the edges.
    pub(crate) whole_windows_only: bool,
    /// If false, windows are in column-major order.
    pub(crate) row_major: bool,
    /// If false, the whole view is the largest square in the middle.
    pub(crate) whole_view_stretched: bool,
    /// If false, the mean of all tokens is read.
    pub(crate) class_token_read: bool,
    /// If false, the first column is the score.
    pub(crate) second_column: bool,
}

impl Oddities {
    pub(crate) const AUTHORS: Oddities = Oddities {
        imagenet_normalisation: true,
        first_visual_prompt_rounded: true,
        later_visual_prompts_rounded: true,
        later_text_prompts_rounded: true,
        first_text_prompt_exact: true,
        first_visual_prompt_normed: true,
        whole_has_window_positions: true,
        prompts_without_position: true,
        whole_windows_only: true,
        row_major: true,
        whole_view_stretched: true,
        class_token_read: true,
        second_column: true,
    };
}

/// The plain form's result for a picture.
pub(crate) struct PlainPicture {
    /// The sentences' features (2, embed): bad, good.
    pub(crate) text: Vec<f32>,
    /// The windows' features (windows, embed).
    pub(crate) features: Vec<f32>,
    pub(crate) windows: Vec<f32>,
    pub(crate) score: f64,
}

/// A model in its plain form.
pub(crate) struct PlainForm<'a> {
    pub(crate) model: &'a Model,
    pub(crate) sees: ViewMode,
    pub(crate) oddities: &'a Oddities,
}

impl PlainForm<'_> {
    pub(crate) fn picture(&self, picture: &Rgb8, views: &Views) -> PlainPicture {
        let text = self.text_features();
        let features = self.features(&self.windows(picture, views), &self.whole(picture));
        let windows = self.scores(&features, &text);
        let score = windows.iter().map(|s| f64::from(*s)).sum::<f64>() / windows.len() as f64;
        PlainPicture { text: values(&text), features: values(&features), windows, score }
    }

    fn whole(&self, picture: &Rgb8) -> Rgb8 {
        if self.oddities.whole_view_stretched {
            return whole_view(picture, SIDE);
        }
        let side = picture.width().min(picture.height());
        let (x, y) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
        whole_view(&crop(picture, Origin { x, y }, side), SIDE)
    }

    /// Returns the windows, resized to 224 pixels.
    fn windows(&self, picture: &Rgb8, views: &Views) -> Vec<Rgb8> {
        let origins = match (self.sees, views.placement) {
            (ViewMode::Global, _) => return vec![picture.clone()],
            (_, Placement::Fragments(cells)) => return vec![fragments(picture, cells)],
            (_, Placement::Stride(stride)) => self.grid_origins(picture, views.window, stride as usize),
            _ => views.origins(picture.width(), picture.height()),
        };
        let window = |o| whole_view(&crop(picture, o, views.window), SIDE);
        origins.into_iter().map(window).collect()
    }

    fn grid_origins(&self, picture: &Rgb8, window: u32, stride: usize) -> Vec<Origin> {
        let offsets = |length: u32| {
            let mut offsets: Vec<u32> = (0..=length - window).step_by(stride).collect();
            if !self.oddities.whole_windows_only && !(length - window).is_multiple_of(stride as u32) {
                offsets.push(length - window);
            }
            offsets
        };
        let (across, down) = (offsets(picture.width()), offsets(picture.height()));
        if self.oddities.row_major {
            let row = |y: &u32| across.iter().map(|x| Origin { x: *x, y: *y }).collect::<Vec<_>>();
            down.iter().flat_map(row).collect()
        } else {
            let column = |x: &u32| down.iter().map(|y| Origin { x: *x, y: *y }).collect::<Vec<_>>();
            across.iter().flat_map(column).collect()
        }
    }

    fn weight(&self, name: &str) -> &Tensor {
        &self.model.weights[name]
    }

    /// Applies a linear layer, (.., in) -> (.., out). Projections have no bias.
    fn linear(&self, x: &Tensor, name: &str) -> Tensor {
        let y = x.broadcast_matmul(&self.weight(&format!("{name}.weight")).t().unwrap()).unwrap();
        match self.model.weights.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias).unwrap(),
            None => y,
        }
    }

    /// Applies a layer norm, (.., d) -> (.., d).
    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
        let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let normed = centred.broadcast_div(&(variance + 1e-5).unwrap().sqrt().unwrap());
        let scaled = normed.unwrap().broadcast_mul(self.weight(&format!("{name}.weight")));
        scaled.unwrap().broadcast_add(self.weight(&format!("{name}.bias"))).unwrap()
    }

    /// Applies the transformer layer whose tensors have the prefix, (b, t, d) -> (b, t, d).
    fn layer(&self, x: &Tensor, prefix: &str, heads: usize, mask: Option<&Tensor>) -> Tensor {
        let (b, t, d) = x.dims3().unwrap();
        let normed = self.norm(x, &format!("{prefix}.layer_norm1"));
        let per_head = |name: &str| {
            let y = self.linear(&normed, &format!("{prefix}.self_attn.{name}"));
            let y = y.reshape((b, t, heads, d / heads)).unwrap();
            y.transpose(1, 2).unwrap().contiguous().unwrap() // (b, heads, t, d / heads)
        };
        let (q, k, v) = (per_head("q_proj"), per_head("k_proj"), per_head("v_proj"));
        let mut scores = (q.matmul(&k.t().unwrap()).unwrap() / ((d / heads) as f64).sqrt()).unwrap();
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask).unwrap();
        }
        let attended = softmax(&scores, D::Minus1).unwrap().matmul(&v).unwrap();
        let attended = attended.transpose(1, 2).unwrap().reshape((b, t, d)).unwrap();
        let x = (x + self.linear(&attended, &format!("{prefix}.self_attn.out_proj"))).unwrap();
        let h = self.linear(&self.norm(&x, &format!("{prefix}.layer_norm2")), &format!("{prefix}.mlp.fc1"));
        let h = (&h * sigmoid(&(&h * 1.702).unwrap()).unwrap()).unwrap();
        (&x + self.linear(&h, &format!("{prefix}.mlp.fc2"))).unwrap()
    }

    /// Returns the learned prompts (p, d) of layer `i` after their linear layer, if it has any; `kind` is `text` or
    /// `vis`.
    fn prompt(&self, kind: &str, i: usize, rounded: bool) -> Option<Tensor> {
        let prompts = self.model.prompts.as_ref()?;
        let prompt = prompts.get(&format!("prompts_{kind}.{i}"))?;
        let linear = format!("prompt_{}_projections.{i}", if kind == "text" { "txt" } else { kind });
        let projected = prompt
            .matmul(&prompts[&format!("{linear}.weight")].t().unwrap())
            .unwrap()
            .broadcast_add(&prompts[&format!("{linear}.bias")])
            .unwrap();
        Some(if rounded { through_f16(&projected) } else { projected })
    }

    /// Returns the features (2, embed), rows of length 1: bad, good.
    pub(crate) fn text_features(&self) -> Tensor {
        let first = self.prompt("text", 0, !self.oddities.first_text_prompt_exact);
        let length = first.as_ref().map_or(0, |p| p.dim(0).unwrap());
        let ids = |words: &str| {
            let mut ids = vec![49406];
            ids.resize(1 + length, 343);
            ids.extend(words.split(' ').map(token));
            ids.push(49407);
            ids.resize(CONTEXT, 0);
            ids
        };
        let ids = [&self.model.words.bad, &self.model.words.good].map(|words| ids(&words.replace('.', " .")));
        let flat = Tensor::new(ids.concat(), &Device::Cpu).unwrap();
        let embedding = self.weight("text_model.embeddings.token_embedding.weight");
        let width = self.model.shape.width_t;
        let rows = embedding.index_select(&flat, 0).unwrap();
        let mut x = rows.reshape((2, CONTEXT, width)).unwrap();
        if let Some(first) = first {
            x = replace_rows(&x, 1, &first);
        }
        x = x.broadcast_add(self.weight("text_model.embeddings.position_embedding.weight")).unwrap();
        let mask_value = |i: usize| {
            if i % CONTEXT > i / CONTEXT { f32::NEG_INFINITY } else { 0.0 }
        };
        let mask: Vec<f32> = (0..CONTEXT * CONTEXT).map(mask_value).collect();
        let mask = Tensor::from_vec(mask, (CONTEXT, CONTEXT), &Device::Cpu).unwrap();
        for l in 0..self.model.shape.layers_t {
            if l > 0
                && let Some(prompt) = self.prompt("text", l, self.oddities.later_text_prompts_rounded)
            {
                x = replace_rows(&x, 1, &prompt);
            }
            let prefix = format!("text_model.encoder.layers.{l}");
            x = self.layer(&x, &prefix, self.model.shape.heads_t, Some(&mask));
        }
        let x = self.norm(&x, "text_model.final_layer_norm");
        let end = |ids: &Vec<u32>| (0..CONTEXT).max_by_key(|i| ids[*i]).unwrap();
        let ends = [0, 1].map(|i| x.get(i).unwrap().get(end(&ids[i])).unwrap());
        normalise_rows(&self.linear(&Tensor::stack(&ends, 0).unwrap(), "text_projection"))
    }

    /// Returns the tokens (b, patches, d), with positions if `positions` is set.
    fn tokens(&self, pictures: &[Rgb8], positions: bool) -> Tensor {
        let shape = &self.model.shape;
        let pixels: Vec<Tensor> = pictures.iter().map(|p| self.pixels(p)).collect();
        let patches = Tensor::stack(&pixels, 0) // (b, 3, 224, 224)
            .unwrap()
            .conv2d(self.weight("vision_model.embeddings.patch_embedding.weight"), 0, shape.patch, 1, 1)
            .unwrap();
        let tokens = patches.flatten_from(2).unwrap().transpose(1, 2).unwrap().contiguous();
        if !positions {
            return tokens.unwrap();
        }
        let n = (shape.image / shape.patch).pow(2);
        tokens.unwrap().broadcast_add(&self.positions(1, n)).unwrap()
    }

    fn positions(&self, first: usize, n: usize) -> Tensor {
        let positions = self.weight("vision_model.embeddings.position_embedding.weight");
        positions.narrow(0, first, n).unwrap()
    }

    /// Returns the normalised pixels (3, 224, 224).
    fn pixels(&self, picture: &Rgb8) -> Tensor {
        let (mean, deviation) = if self.oddities.imagenet_normalisation {
            ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225])
        } else {
            ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1])
        };
        let per_channel = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap().reshape((3, 1, 1)).unwrap();
        let (h, w) = (picture.height() as usize, picture.width() as usize);
        let bytes = Tensor::from_slice(picture.pixels(), (h, w, 3), &Device::Cpu).unwrap();
        let bytes = bytes.permute((2, 0, 1)).unwrap().to_dtype(DType::F32).unwrap();
        let centred = (bytes / 255.0).unwrap().broadcast_sub(&per_channel(mean));
        centred.unwrap().broadcast_div(&per_channel(deviation)).unwrap()
    }

    /// Returns the features (windows, embed), rows of length 1.
    fn features(&self, windows: &[Rgb8], whole: &Rgb8) -> Tensor {
        let b = windows.len();
        let repeated = |x: &Tensor| {
            let (n, d) = x.dims2().unwrap();
            x.unsqueeze(0).unwrap().expand((b, n, d)).unwrap().contiguous().unwrap()
        };
        let class = self.weight("vision_model.embeddings.class_embedding").unsqueeze(0);
        let mut parts = vec![repeated(&(class.unwrap() + self.positions(0, 1)).unwrap())];
        if self.sees != ViewMode::Global {
            parts.push(self.tokens(windows, true));
        }
        if self.sees != ViewMode::Local {
            let tokens = self.tokens(std::slice::from_ref(whole), self.oddities.whole_has_window_positions);
            parts.push(repeated(&tokens.squeeze(0).unwrap()));
        }
        let first = self.prompt("vis", 0, self.oddities.first_visual_prompt_rounded);
        let image_tokens: usize = parts.iter().map(|part| part.dim(1).unwrap()).sum();
        if let Some(first) = &first {
            parts.push(repeated(&if self.oddities.prompts_without_position {
                first.clone()
            } else {
                (first + self.positions(1, first.dim(0).unwrap())).unwrap()
            }));
        }
        let mut x = self.norm(&Tensor::cat(&parts, 1).unwrap(), "vision_model.pre_layrnorm");
        if let Some(first) = first.filter(|_| !self.oddities.first_visual_prompt_normed) {
            x = replace_rows(&x, image_tokens, &first);
        }
        for l in 0..self.model.shape.layers_v {
            if l > 0
                && let Some(prompt) = self.prompt("vis", l, self.oddities.later_visual_prompts_rounded)
            {
                x = replace_rows(&x, image_tokens, &prompt);
            }
            let prefix = format!("vision_model.encoder.layers.{l}");
            x = self.layer(&x, &prefix, self.model.shape.heads_v, None);
        }
        let read = if self.oddities.class_token_read {
            x.narrow(1, 0, 1).unwrap().squeeze(1).unwrap()
        } else {
            x.mean(1).unwrap()
        };
        normalise_rows(&self.linear(&self.norm(&read, "vision_model.post_layernorm"), "visual_projection"))
    }

    fn scores(&self, features: &Tensor, text: &Tensor) -> Vec<f32> {
        let scale = self.weight("logit_scale").exp().unwrap();
        let cosines = features.matmul(&text.t().unwrap()).unwrap(); // (windows, 2)
        let shares = softmax(&cosines.broadcast_mul(&scale).unwrap(), D::Minus1).unwrap();
        let column = usize::from(self.oddities.second_column);
        values(&shares.narrow(1, column, 1).unwrap())
    }
}

/// Returns the token of a word of these tests.
fn token(word: &str) -> u32 {
    match word {
        "bad" => 2103,
        "good" => 886,
        "photo" => 1125,
        "." => 269,
        _ => panic!("unknown word `{word}`"),
    }
}

/// Returns the square of `side` pixels at `origin`, pixel by pixel.
fn crop(picture: &Rgb8, origin: Origin, side: u32) -> Rgb8 {
    let mut pixels = Vec::new();
    for y in origin.y..origin.y + side {
        for x in origin.x..origin.x + side {
            let start = (y * picture.width() + x) as usize * 3;
            pixels.extend_from_slice(&picture.pixels()[start..start + 3]);
        }
    }
    Rgb8::new(side, side, pixels)
}

/// Returns x (b, t, d) with `rows` (n, d) in place of its rows from `first` on.
fn replace_rows(x: &Tensor, first: usize, rows: &Tensor) -> Tensor {
    let (b, t, d) = x.dims3().unwrap();
    let n = rows.dim(0).unwrap();
    let before = x.narrow(1, 0, first).unwrap();
    let rows = rows.unsqueeze(0).unwrap().expand((b, n, d)).unwrap();
    let after = x.narrow(1, first + n, t - first - n).unwrap();
    Tensor::cat(&[before, rows.contiguous().unwrap(), after], 1).unwrap()
}

fn through_f16(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

/// Scales each row of (b, d) to length 1.
fn normalise_rows(x: &Tensor) -> Tensor {
    let length = x.sqr().unwrap().sum_keepdim(D::Minus1).unwrap().sqrt().unwrap();
    x.broadcast_div(&length).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Returns the pieces from the middle of the cells of a picture whose cells are not smaller than a piece.
fn fragments(picture: &Rgb8, cells: u32) -> Rgb8 {
    let piece = SIDE / cells;
    let place = |at: u32, side: u32| {
        let (from, to) = (at / piece * side / cells, (at / piece + 1) * side / cells);
        from + (to - from - piece) / 2 + at % piece
    };
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (x, y) = (place(x, picture.width()), place(y, picture.height()));
            let at = ((y * picture.width() + x) * 3) as usize;
            pixels.extend_from_slice(&picture.pixels()[at..at + 3]);
        }
    }
    Rgb8::new(SIDE, SIDE, pixels)
}
