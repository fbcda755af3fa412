//! What the kernels compute, in plain Rust: the same roundings at the same places, sums in another order. For tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Error, Result, Tensor};

use super::backend::{
    Assemble, Attention, BiasSilu, CONSTANT, Element, Half, Linear, Machine, Norm, Normed, Pixels, ResidualNorm,
    RowsOf, Step,
};
use super::limits::HEAD;

/// The CPU in a GPU's place.
pub(crate) struct Twin {
    half: Half,
    /// The most elements that a buffer may have: to test what becomes of a batch that is too large.
    room_max: usize,
}

/// What [`Twin::room_max`] ends in.
const NO_ROOM: &str = "a twin's buffer is too large";

impl Twin {
    pub(crate) fn new(half: Half) -> Twin {
        Twin { half, room_max: usize::MAX }
    }

    #[cfg(test)]
    pub(super) fn with_room_max(self, room_max: usize) -> Twin {
        Twin { room_max, ..self }
    }
}

/// A buffer in memory. A step locks those that it was given, one after the other.
pub(crate) struct Memory<E>(Mutex<Vec<E>>);

impl<E: Element> Memory<E> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is computed while it is given.
pub(crate) struct TwinSlot {
    staged: (Vec<u8>, Vec<u32>),
    uploaded: (Memory<u8>, Memory<u32>),
    features: Vec<f32>,
}

impl Machine for Twin {
    type Of<E: Element> = Memory<E>;
    type Slot = TwinSlot;

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
        matches!(error, Error::Msg(message) if message == NO_ROOM)
    }

    fn room<E: Element>(&self, len: usize) -> Result<Memory<E>> {
        if len > self.room_max {
            return Err(Error::Msg(NO_ROOM.to_owned()));
        }
        Ok(Memory(Mutex::new(vec![E::default(); len])))
    }

    fn put<E: Element>(&self, values: &[E]) -> Result<Memory<E>> {
        Ok(Memory(Mutex::new(values.to_vec())))
    }

    #[cfg(any(test, feature = "cuda"))]
    fn get<E: Element>(&self, buffer: &Memory<E>) -> Result<Vec<E>> {
        Ok(buffer.lock().clone())
    }

    fn run(&self, step: &Step<'_, Twin>) -> Result<()> {
        match step {
            Step::Pixels(step) => self.pixels(step),
            Step::BiasSilu(step) => self.bias_silu(step),
            Step::Attention(step) => self.attention(step),
            Step::ResidualNorm(step) => self.residual_norm(step),
            Step::Assemble(step) => self.assemble(step),
        }
        Ok(())
    }

    fn product<I: Element, O: Element>(
        &self,
        linear: &Linear<Twin, I>,
        x: RowsOf<'_, Memory<I>>,
        out: &Memory<O>,
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

    fn slot(&self, bytes: usize, places: usize, features: usize) -> Result<TwinSlot> {
        Ok(TwinSlot {
            staged: (vec![0; bytes], vec![0; places]),
            uploaded: (self.room(bytes)?, self.room(places)?),
            features: vec![0.0; features],
        })
    }

    fn stage<'a>(&self, slot: &'a mut TwinSlot) -> Result<(&'a mut [u8], &'a mut [u32])> {
        Ok((&mut slot.staged.0, &mut slot.staged.1))
    }

    fn upload(&self, slot: &mut TwinSlot, bytes: usize, places: usize) -> Result<()> {
        slot.uploaded.0.lock()[..bytes].copy_from_slice(&slot.staged.0[..bytes]);
        slot.uploaded.1.lock()[..places].copy_from_slice(&slot.staged.1[..places]);
        Ok(())
    }

    fn uploaded<'a>(&self, slot: &'a TwinSlot) -> (&'a Memory<u8>, &'a Memory<u32>) {
        (&slot.uploaded.0, &slot.uploaded.1)
    }

    fn download(&self, slot: &mut TwinSlot, features: &Memory<f32>, count: usize) -> Result<()> {
        slot.features[..count].copy_from_slice(&features.lock()[..count]);
        Ok(())
    }

    fn is_done(&self, _: &TwinSlot) -> Result<bool> {
        Ok(true)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn features<'a>(&self, slot: &'a mut TwinSlot, count: usize) -> Result<&'a [f32]> {
        Ok(&slot.features[..count])
    }
}

/// In eight sums side by side, which the compiler makes a register of.
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

/// x = (x - mean) / sqrt(variance + eps) weight + bias
fn normalise(x: &mut [f32], norm: &Norm<Twin>) {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    x.iter_mut().for_each(|x| *x -= mean);
    let variance = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    for (x, (weight, bias)) in x.iter_mut().zip(norm.weight.lock().iter().zip(norm.bias.lock().iter())) {
        *x = *x * scale * weight + bias;
    }
}

impl Twin {
    /// What a buffer's values are worth.
    fn floats<E: Element>(&self, values: &[E]) -> Vec<f32> {
        if E::IS_HALF {
            return bytemuck::cast_slice::<E, u16>(values).iter().map(|bits| self.half.widen(*bits)).collect();
        }
        bytemuck::cast_slice::<E, f32>(values).to_vec()
    }

    fn element<E: Element>(&self, x: f32) -> E {
        if E::IS_HALF { bytemuck::cast(self.half.round(x)) } else { bytemuck::cast(x) }
    }

    fn write(&self, to: &mut [u16], from: &[f32]) {
        for (to, x) in to.iter_mut().zip(from) {
            *to = self.half.round(*x);
        }
    }

    fn pixels(&self, step: &Pixels<'_, Twin>) {
        let bytes = step.bytes.lock();
        for (out, byte) in step.out.lock()[..step.count].iter_mut().zip(bytes.iter()) {
            *out = self.half.round((f32::from(*byte) - 128.0) / 64.0);
        }
    }

    fn bias_silu(&self, step: &BiasSilu<'_, Twin>) {
        let bias = step.bias.lock();
        for row in step.x.lock()[..step.rows * step.columns].chunks_exact_mut(step.columns) {
            for (x, bias) in row.iter_mut().zip(bias.iter()) {
                *x = self.half.round(silu(self.half.widen(*x) + bias));
            }
        }
    }

    fn attention(&self, step: &Attention<'_, Twin>) {
        let width = step.heads * HEAD;
        // Queries, keys and values may be one buffer.
        let copy = |buffer: &Memory<u16>, start: usize| self.floats(&buffer.lock()[start..]);
        let queries = copy(step.queries.from.buffer, step.queries.from.start);
        let keys = copy(step.keys.from.buffer, step.keys.from.start);
        let values = copy(step.values.buffer, step.values.start);
        let (prompt_keys, prompt_values) = (copy(step.prompts.0, 0), copy(step.prompts.1, 0));
        let mut out = step.out.from.buffer.lock();
        for window in 0..step.windows {
            let own = |t: usize| window * step.keys.window + t * step.keys.row;
            for head in 0..step.heads {
                let rows = |own_rows: &[f32], prompts: &[f32]| -> Vec<f32> {
                    let own = (0..step.tokens).flat_map(|t| &own_rows[own(t) + head * HEAD..][..HEAD]);
                    let prompts = (0..step.prompt_count).flat_map(|p| &prompts[p * width + head * HEAD..][..HEAD]);
                    own.chain(prompts).copied().collect()
                };
                let (keys, values) = (rows(&keys, &prompt_keys), rows(&values, &prompt_values));
                for row in 0..step.rows {
                    let query = &queries[window * step.queries.window + row * step.queries.row + head * HEAD..][..HEAD];
                    let attended = self.attend(query, &keys, &values);
                    let at = step.out.from.start + window * step.out.window + row * step.out.row + head * HEAD;
                    self.write(&mut out[at..][..HEAD], &attended);
                }
            }
        }
    }

    /// A query (head) over keys and values (n, head) -> (head). Weights are rounded for the second product, their sum is not.
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

    fn residual_norm(&self, step: &ResidualNorm<'_, Twin>) {
        let product = self.floats(&step.product.lock()[..step.rows * step.width]);
        let bias = step.bias.lock();
        let mut x = step.x.lock();
        for (r, product) in product.chunks_exact(step.width).enumerate() {
            let x = &mut x[r * step.stride..][..step.width];
            if r % step.tokens < step.active {
                for (x, (product, bias)) in x.iter_mut().zip(product.iter().zip(bias.iter())) {
                    *x += product + bias;
                }
            }
            let mut row = x.to_vec();
            normalise(&mut row, step.norm);
            match &step.normed {
                Normed::Half(normed) => self.write(&mut normed.lock()[r * step.width..][..step.width], &row),
                Normed::F32(normed) => normed.lock()[r * step.width..][..step.width].copy_from_slice(&row),
            }
        }
    }

    fn assemble(&self, step: &Assemble<'_, Twin>) {
        let (places, embedded) = (step.places.lock(), step.embedded.lock());
        let (positions, constants) = (step.positions.lock(), step.constants.lock());
        let (mut x, mut normed) = (step.x.lock(), step.normed.lock());
        for (r, place) in places[..step.rows].iter().enumerate() {
            let mut row = if place & CONSTANT != 0 {
                constants[(place & !CONSTANT) as usize * step.width..][..step.width].to_vec()
            } else {
                let position = (r % step.tokens + step.patches - 1) % step.patches;
                let add = &positions[position * step.width..][..step.width];
                let from = &embedded[*place as usize * step.width..][..step.width];
                let mut row: Vec<f32> = from.iter().zip(add).map(|(x, add)| x + add).collect();
                normalise(&mut row, step.pre_norm);
                row
            };
            x[r * step.width..][..step.width].copy_from_slice(&row);
            normalise(&mut row, step.norm);
            self.write(&mut normed[r * step.width..][..step.width], &row);
        }
    }
}
