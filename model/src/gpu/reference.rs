//! The backend in plain Rust on the CPU: the kernels' arithmetic with the same roundings at the same places, and sums
//! in another order. For tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Error, Result, Tensor};

use super::backend::{
    Assemble, Attention, BiasSilu, CONSTANT_ROW, Element, GpuBackend, Half, KernelOp, LinearBuffers, MatrixRows,
    NormBuffers, Normed, Pixels, ResidualNorm,
};
use super::limits::HEAD;

/// The CPU in place of a GPU.
pub(crate) struct Reference {
    half: Half,
    /// The most elements of a buffer, to test batches that are too large.
    alloc_len_max: usize,
}

/// The message of the error for buffers longer than `alloc_len_max`.
const OUT_OF_MEMORY: &str = "a buffer of the reference is too large";

impl Reference {
    pub(crate) fn new(half: Half) -> Reference {
        Reference { half, alloc_len_max: usize::MAX }
    }

    #[cfg(test)]
    pub(super) fn with_alloc_len_max(self, alloc_len_max: usize) -> Reference {
        Reference { alloc_len_max, ..self }
    }
}

/// A buffer in memory. An operation locks its buffers one after the other.
pub(crate) struct HostBuffer<E>(Mutex<Vec<E>>);

impl<E: Element> HostBuffer<E> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is computed at once, inside the calls.
pub(crate) struct ReferenceSlot {
    staged: (Vec<u8>, Vec<u32>),
    uploaded: (HostBuffer<u8>, HostBuffer<u32>),
    features: Vec<f32>,
}

impl GpuBackend for Reference {
    type Buffer<E: Element> = HostBuffer<E>;
    type Slot = ReferenceSlot;

    fn half(&self) -> Half {
        self.half
    }

    fn processors(&self) -> Option<usize> {
        None
    }

    fn shared_bytes_max(&self) -> usize {
        usize::MAX
    }

    fn is_out_of_memory(error: &Error) -> bool {
        matches!(error, Error::Msg(message) if message == OUT_OF_MEMORY)
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<HostBuffer<E>> {
        if len > self.alloc_len_max {
            return Err(Error::Msg(OUT_OF_MEMORY.to_owned()));
        }
        Ok(HostBuffer(Mutex::new(vec![E::default(); len])))
    }

    fn upload<E: Element>(&self, values: &[E]) -> Result<HostBuffer<E>> {
        Ok(HostBuffer(Mutex::new(values.to_vec())))
    }

    #[cfg(any(test, feature = "cuda"))]
    fn download<E: Element>(&self, buffer: &HostBuffer<E>) -> Result<Vec<E>> {
        Ok(buffer.lock().clone())
    }

    fn run(&self, op: &KernelOp<'_, Reference>) -> Result<()> {
        match op {
            KernelOp::Pixels(op) => self.pixels(op),
            KernelOp::BiasSilu(op) => self.bias_silu(op),
            KernelOp::Attention(op) => self.attention(op),
            KernelOp::ResidualNorm(op) => self.residual_norm(op),
            KernelOp::Assemble(op) => self.assemble(op),
        }
        Ok(())
    }

    fn matmul<I: Element, O: Element>(
        &self,
        linear: &LinearBuffers<Reference, I>,
        x: MatrixRows<'_, HostBuffer<I>>,
        out: &HostBuffer<O>,
    ) -> Result<()> {
        let tensor = |values: Vec<f32>, columns: usize| Tensor::from_vec(values, ((), columns), &Device::Cpu);
        let rows: Vec<I> = {
            let x_values = x.buffer.lock();
            (0..x.count).flat_map(|r| &x_values[r * x.stride..][..linear.inputs]).copied().collect()
        };
        let weight = tensor(self.floats(&linear.weight.lock()), linear.inputs)?;
        let mut sums = tensor(self.floats(&rows), linear.inputs)?.matmul(&weight.t()?)?;
        if let Some(bias) = &linear.bias {
            sums = sums.broadcast_add(&tensor(self.floats(&bias.lock()), linear.outputs)?)?;
        }
        let sums: Vec<f32> = sums.flatten_all()?.to_vec1()?;
        for (out, sum) in out.lock().iter_mut().zip(sums) {
            *out = self.element(sum);
        }
        Ok(())
    }

    fn alloc_slot(&self, bytes: usize, row_indices: usize, features: usize) -> Result<ReferenceSlot> {
        Ok(ReferenceSlot {
            staged: (vec![0; bytes], vec![0; row_indices]),
            uploaded: (self.alloc(bytes)?, self.alloc(row_indices)?),
            features: vec![0.0; features],
        })
    }

    fn staging_buffers<'a>(&self, slot: &'a mut ReferenceSlot) -> Result<(&'a mut [u8], &'a mut [u32])> {
        Ok((&mut slot.staged.0, &mut slot.staged.1))
    }

    fn upload_slot(&self, slot: &mut ReferenceSlot, bytes: usize, row_indices: usize) -> Result<()> {
        slot.uploaded.0.lock()[..bytes].copy_from_slice(&slot.staged.0[..bytes]);
        slot.uploaded.1.lock()[..row_indices].copy_from_slice(&slot.staged.1[..row_indices]);
        Ok(())
    }

    fn slot_inputs<'a>(&self, slot: &'a ReferenceSlot) -> (&'a HostBuffer<u8>, &'a HostBuffer<u32>) {
        (&slot.uploaded.0, &slot.uploaded.1)
    }

    fn download_features(&self, slot: &mut ReferenceSlot, features: &HostBuffer<f32>, count: usize) -> Result<()> {
        slot.features[..count].copy_from_slice(&features.lock()[..count]);
        Ok(())
    }

    fn features_ready(&self, _: &ReferenceSlot) -> Result<bool> {
        Ok(true)
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn wait_for_features<'a>(&self, slot: &'a mut ReferenceSlot, count: usize) -> Result<&'a [f32]> {
        Ok(&slot.features[..count])
    }
}

/// Computes a dot product in eight sums side by side, which the compiler keeps in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    a_rest.iter().zip(b_rest).fold(sums.iter().sum(), |sum, (a, b)| sum + a * b)
}

fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// Computes x = (x - mean) / sqrt(variance + eps) weight + bias.
fn normalise(x: &mut [f32], norm: &NormBuffers<Reference>) {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    x.iter_mut().for_each(|x| *x -= mean);
    let variance = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    for (x, (weight, bias)) in x.iter_mut().zip(norm.weight.lock().iter().zip(norm.bias.lock().iter())) {
        *x = *x * scale * weight + bias;
    }
}

impl Reference {
    /// Converts a buffer's elements to f32.
    fn floats<E: Element>(&self, values: &[E]) -> Vec<f32> {
        if E::IS_HALF {
            return bytemuck::cast_slice::<E, u16>(values).iter().map(|bits| self.half.widen(*bits)).collect();
        }
        bytemuck::cast_slice::<E, f32>(values).to_vec()
    }

    fn element<E: Element>(&self, x: f32) -> E {
        if E::IS_HALF { bytemuck::cast(self.half.round(x)) } else { bytemuck::cast(x) }
    }

    fn write(&self, output: &mut [u16], values: &[f32]) {
        for (rounded, x) in output.iter_mut().zip(values) {
            *rounded = self.half.round(*x);
        }
    }

    fn pixels(&self, op: &Pixels<'_, Reference>) {
        let bytes = op.bytes.lock();
        for (out, byte) in op.out.lock()[..op.count].iter_mut().zip(bytes.iter()) {
            *out = self.half.round((f32::from(*byte) - 128.0) / 64.0);
        }
    }

    fn bias_silu(&self, op: &BiasSilu<'_, Reference>) {
        let bias = op.bias.lock();
        for row in op.x.lock()[..op.rows * op.columns].chunks_exact_mut(op.columns) {
            for (x, bias) in row.iter_mut().zip(bias.iter()) {
                *x = self.half.round(silu(self.half.widen(*x) + bias));
            }
        }
    }

    fn attention(&self, op: &Attention<'_, Reference>) {
        let width = op.heads * HEAD;
        // Queries, keys and values may share a buffer.
        let copy = |buffer: &HostBuffer<u16>, start: usize| self.floats(&buffer.lock()[start..]);
        let queries = copy(op.queries.slice.buffer, op.queries.slice.start);
        let keys = copy(op.keys.slice.buffer, op.keys.slice.start);
        let values = copy(op.values.buffer, op.values.start);
        let (prompt_keys, prompt_values) = (copy(op.prompts.0, 0), copy(op.prompts.1, 0));
        let mut out = op.out.slice.buffer.lock();
        for window in 0..op.windows {
            let own = |t: usize| window * op.keys.window + t * op.keys.row;
            for head in 0..op.heads {
                let rows = |own_rows: &[f32], prompts: &[f32]| -> Vec<f32> {
                    let own = (0..op.tokens).flat_map(|t| &own_rows[own(t) + head * HEAD..][..HEAD]);
                    let prompts = (0..op.prompt_count).flat_map(|p| &prompts[p * width + head * HEAD..][..HEAD]);
                    own.chain(prompts).copied().collect()
                };
                let (keys, values) = (rows(&keys, &prompt_keys), rows(&values, &prompt_values));
                for row in 0..op.rows {
                    let query = &queries[window * op.queries.window + row * op.queries.row + head * HEAD..][..HEAD];
                    let attended = self.attend(query, &keys, &values);
                    let offset = op.out.slice.start + window * op.out.window + row * op.out.row + head * HEAD;
                    self.write(&mut out[offset..][..HEAD], &attended);
                }
            }
        }
    }

    /// Computes a query (head) over keys and values (n, head) -> (head). Weights are rounded for the second product;
    /// their sum is not.
    fn attend(&self, query: &[f32], keys: &[f32], values: &[f32]) -> [f32; HEAD] {
        let scores: Vec<f32> = keys.chunks_exact(HEAD).map(|key| dot(query, key)).collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
        let mut sums = [0.0; HEAD];
        for (weight, value) in weights.iter().zip(values.chunks_exact(HEAD)) {
            let weight = self.half.widen(self.half.round(*weight));
            sums.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
        }
        let total: f32 = weights.iter().sum();
        sums.map(|sum| sum / total)
    }

    fn residual_norm(&self, op: &ResidualNorm<'_, Reference>) {
        let product = self.floats(&op.product.lock()[..op.rows * op.width]);
        let bias = op.bias.lock();
        let mut x = op.x.lock();
        for (r, product) in product.chunks_exact(op.width).enumerate() {
            let x = &mut x[r * op.stride..][..op.width];
            if r % op.tokens < op.active {
                for (x, (product, bias)) in x.iter_mut().zip(product.iter().zip(bias.iter())) {
                    *x += product + bias;
                }
            }
            let mut row = x.to_vec();
            normalise(&mut row, op.norm);
            match &op.normed {
                Normed::Half(normed) => self.write(&mut normed.lock()[r * op.width..][..op.width], &row),
                Normed::F32(normed) => normed.lock()[r * op.width..][..op.width].copy_from_slice(&row),
            }
        }
    }

    fn assemble(&self, op: &Assemble<'_, Reference>) {
        let (row_indices, embedded) = (op.row_indices.lock(), op.embedded.lock());
        let (positions, constants) = (op.positions.lock(), op.constants.lock());
        let (mut x, mut normed) = (op.x.lock(), op.normed.lock());
        for (r, place) in row_indices[..op.rows].iter().enumerate() {
            let mut row = if place & CONSTANT_ROW != 0 {
                constants[(place & !CONSTANT_ROW) as usize * op.width..][..op.width].to_vec()
            } else {
                let position = (r % op.tokens + op.patches - 1) % op.patches;
                let add = &positions[position * op.width..][..op.width];
                let from = &embedded[*place as usize * op.width..][..op.width];
                let mut row: Vec<f32> = from.iter().zip(add).map(|(x, add)| x + add).collect();
                normalise(&mut row, op.pre_norm);
                row
            };
            x[r * op.width..][..op.width].copy_from_slice(&row);
            normalise(&mut row, op.norm);
            self.write(&mut normed[r * op.width..][..op.width], &row);
        }
    }
}
