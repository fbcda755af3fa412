//! Folding is exact: the folded layer gives what the layer as it is written down gives.

use candle_core::Device;

use super::*;
use crate::tower::candle_layers::{CandleLayer, TensorOptions};

const WIDTH: usize = 48;
const HEADS: usize = 3;

/// Returns values in [-scale, scale) in no order.
fn random(seed: u64, shape: &[usize], scale: f32) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn affine(seed: u64, outputs: usize, inputs: usize, bias: f32) -> Affine {
    Affine {
        weight: random(seed, &[outputs, inputs], (3.0 / inputs as f32).sqrt()),
        bias: random(!seed, &[outputs], bias),
    }
}

/// Makes a layer whose biases are up to `bias`.
fn layer(bias: f32, activation: Activation) -> PlainLayer {
    let norm =
        |seed| NormTensors { weight: random(seed, &[WIDTH], 1.5), bias: random(!seed, &[WIDTH], bias), eps: 1e-5 };
    PlainLayer {
        norm1: norm(1),
        query: affine(2, WIDTH, WIDTH, bias),
        key: affine(3, WIDTH, WIDTH, bias),
        value: affine(4, WIDTH, WIDTH, bias),
        out: affine(5, WIDTH, WIDTH, bias),
        norm2: norm(6),
        up: affine(7, 4 * WIDTH, WIDTH, bias),
        activation,
        down: affine(8, WIDTH, 4 * WIDTH, bias),
    }
}

/// Computes x (t, d) -> (t, d) as the checkpoint's layer is defined, in f32.
fn plain(layer: &PlainLayer, x: &Tensor) -> Result<Tensor> {
    let (t, d) = x.dims2()?;
    let normed = layer.norm1.forward(x)?;
    let heads = |y: Tensor| y.reshape((t, HEADS, d / HEADS))?.transpose(0, 1)?.contiguous();
    let (q, k, v) = (
        heads(layer.query.forward(&normed)?)?,
        heads(layer.key.forward(&normed)?)?,
        heads(layer.value.forward(&normed)?)?,
    );
    let scores = (q.matmul(&k.t()?)? / ((d / HEADS) as f64).sqrt())?;
    let attended = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
    let attended = attended.transpose(0, 1)?.reshape((t, d))?;
    let x = (x + layer.out.forward(&attended)?)?;
    let h = layer.up.forward(&layer.norm2.forward(&x)?)?;
    let h = match layer.activation {
        Activation::QuickGelu => (&h * candle_nn::ops::sigmoid(&(&h * QUICK_GELU)?)?)?,
        Activation::Gelu => h.gelu_erf()?,
    };
    &x + layer.down.forward(&h)?
}

#[test]
fn folding_is_exact_with_biases_of_any_size_and_prompts_as_keys_and_values() {
    let tensor_options = TensorOptions { device: Device::Cpu, dtype: DType::F32 };
    let activations = [Activation::QuickGelu, Activation::Gelu];
    let sizes = [(0.02, 4), (3.0, 0), (3.0, 1), (3.0, 40)];
    for (activation, (bias, prompts)) in
        activations.into_iter().flat_map(|activation| sizes.map(|size| (activation, size)))
    {
        let layer = |bias| layer(bias, activation);
        let x = random(20, &[19, WIDTH], 2.0);
        let prompt = (prompts > 0).then(|| random(21, &[prompts, WIDTH], 2.0));
        let all = Tensor::cat(&[Some(&x), prompt.as_ref()].into_iter().flatten().collect::<Vec<_>>(), 0).unwrap();
        let want = plain(&layer(bias), &all).unwrap().narrow(0, 0, 19).unwrap();
        let folded = CandleLayer::new(layer(bias).fold(HEADS, prompt.as_ref()).unwrap(), &tensor_options).unwrap();
        let x = x.unsqueeze(0).unwrap();
        let got = folded.forward(&x, None).unwrap().squeeze(0).unwrap();
        let class = folded.forward_class(&x).unwrap();
        for (what, got, want) in [("all", &got, &want), ("class", &class, &want.narrow(0, 0, 1).unwrap())] {
            let largest: f32 = (got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            // Sums of 192 terms of up to some tens: 1e-4 is a few units in the last place of the largest.
            assert!(largest < 1e-4, "{activation}, {what}, biases of {bias}, {prompts} prompts: {largest}");
        }
    }
}

#[test]
fn the_folded_keys_and_values_have_no_bias() {
    let folded = layer(3.0, Activation::QuickGelu).fold(HEADS, None).unwrap();
    assert!(folded.key_value.bias.to_vec1::<f32>().unwrap().iter().all(|b| *b == 0.0));
}
