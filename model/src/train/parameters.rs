//! The trained tensors by name, and Adam over them. It knows no model: a tensor is a row of numbers.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::error::TrainerError;

/// A tensor's index in [`Parameters`] and in [`Gradients`].
pub(super) type ParameterId = usize;

/// Adam's constants, which are PyTorch's defaults.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// A trained tensor.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Share of the learning rate.
    share: f32,
    /// Mean and mean square of its gradients, as Adam weighs them.
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// The trained tensors, and the number of steps made.
#[derive(Default)]
pub(super) struct Parameters {
    tensors: Vec<Tensor>,
    by_name: HashMap<String, ParameterId>,
    pub(super) steps: u64,
}

/// Sums of gradients by [`ParameterId`]. Memory is allocated for a tensor with its first gradient.
#[derive(Clone, Default)]
pub(super) struct Gradients {
    lengths: Vec<usize>,
    values: Vec<Vec<f32>>,
}

impl Parameters {
    pub(super) fn add(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "`{name}` has its shape");
        let zeros = vec![0.0; values.len()];
        let before = self.by_name.insert(name.to_owned(), self.tensors.len());
        assert!(before.is_none(), "`{name}` learns once");
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Tensor { name, shape, values, share: 1.0, mean: zeros.clone(), square: zeros });
    }

    /// Sets a share of the learning rate for a tensor, if it is trained.
    pub(super) fn scale_learning_rate(&mut self, name: &str, share: f64) {
        if let Some(id) = self.find(name) {
            self.tensors[id].share = share as f32;
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<ParameterId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn values(&self, id: ParameterId) -> &[f32] {
        &self.tensors[id].values
    }

    /// Iterates over name, shape and values of each tensor.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice(), t.values.as_slice()))
    }

    pub(super) fn value_count(&self) -> usize {
        self.tensors.iter().map(|t| t.values.len()).sum()
    }

    pub(super) fn gradients(&self) -> Gradients {
        let lengths: Vec<usize> = self.tensors.iter().map(|t| t.values.len()).collect();
        Gradients { values: vec![Vec::new(); lengths.len()], lengths }
    }

    /// Makes one step of Adam with bias correction, as PyTorch does.
    pub(super) fn adam(&mut self, gradients: &mut Gradients, lr: f64) {
        (0..self.tensors.len()).for_each(|id| _ = gradients.get_mut(id));
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (first, second) = (1.0 - BETA1.powi(steps), 1.0 - BETA2.powi(steps));
        let (size, root) = ((lr / first) as f32, second.sqrt() as f32);
        let (beta1, beta2, eps) = (BETA1 as f32, BETA2 as f32, EPS as f32);
        let (rest1, rest2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        self.tensors.par_iter_mut().zip(&gradients.values).for_each(|(tensor, gradient)| {
            let size = size * tensor.share;
            let moments = tensor.mean.iter_mut().zip(&mut tensor.square);
            for ((value, (mean, square)), g) in tensor.values.iter_mut().zip(moments).zip(gradient) {
                *mean = beta1 * *mean + rest1 * g;
                *square = beta2 * *square + rest2 * g * g;
                *value -= size * *mean / (square.sqrt() / root + eps);
            }
        });
    }

    /// Writes values under their names, moments under `mean.` and `square.` before them, and the steps in the metadata.
    pub(super) fn save(&self) -> Vec<u8> {
        let views = self.tensors.iter().flat_map(|t| {
            [("", &t.values), ("mean.", &t.mean), ("square.", &t.square)].map(|(kind, values)| {
                let bytes = bytemuck::cast_slice(values);
                let view = TensorView::new(Dtype::F32, t.shape.clone(), bytes).expect("a tensor has its shape");
                (format!("{kind}{}", t.name), view)
            })
        });
        let facts = HashMap::from([(STEPS.to_owned(), self.steps.to_string())]);
        safetensors::serialize(views, Some(facts)).expect("tensors of distinct names")
    }

    /// Reads the result of [`Parameters::save`] for tensors of the same names and shapes. If it fails, nothing has
    /// changed.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainerError> {
        let wrong = |what: &dyn std::fmt::Display| TrainerError::State(what.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(&error))?;
        let steps = header.metadata().as_ref().and_then(|facts| facts.get(STEPS)?.parse::<u64>().ok());
        let steps = steps.ok_or_else(|| wrong(&"it has no count of steps"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(&error))?;
        if file.len() != 3 * self.tensors.len() {
            return Err(wrong(&format_args!("{} tensors, not {}", file.len(), 3 * self.tensors.len())));
        }
        let mut read = BTreeMap::new();
        for tensor in &self.tensors {
            for kind in ["", "mean.", "square."] {
                let name = format!("{kind}{}", tensor.name);
                let view = file.tensor(&name).map_err(|_| wrong(&format_args!("`{name}` is missing")))?;
                if view.shape() != tensor.shape || view.dtype() != Dtype::F32 {
                    return Err(wrong(&format_args!("`{name}` has another shape or type")));
                }
                read.insert(name, bytemuck::pod_collect_to_vec(view.data()));
            }
        }
        for tensor in &mut self.tensors {
            let mut take = |kind: &str| read.remove(&format!("{kind}{}", tensor.name)).expect("it was just read");
            (tensor.values, tensor.mean, tensor.square) = (take(""), take("mean."), take("square."));
        }
        self.steps = steps;
        Ok(())
    }
}

const STEPS: &str = "dqa.steps";

impl Gradients {
    pub(super) fn get_mut(&mut self, id: ParameterId) -> &mut [f32] {
        self.values[id].resize(self.lengths[id], 0.0);
        &mut self.values[id]
    }

    /// Returns the gradients of two tensors at once.
    pub(super) fn pair(&mut self, first: ParameterId, second: ParameterId) -> [&mut [f32]; 2] {
        self.get_mut(first);
        self.get_mut(second);
        self.values.get_disjoint_mut([first, second]).expect("two tensors").map(Vec::as_mut_slice)
    }

    pub(super) fn add(&mut self, other: &Gradients) {
        for (id, values) in other.values.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
            add(self.get_mut(id), values);
        }
    }

    /// Returns the Euclidean norm of each tensor's gradient.
    pub(super) fn norms(&self) -> Vec<f64> {
        self.values.par_iter().map(|values| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()).collect()
    }
}

/// Adds `values` to `sum`.
pub(super) fn add(sum: &mut [f32], values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}
