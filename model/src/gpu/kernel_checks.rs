//! Compares kernels with the reference on random inputs of many shapes. Outputs hold NaN beforehand, which shows
//! elements that are not written, and writes outside an output.

use candle_core::Result;

use super::backend::{
    Assemble, Attention, BiasSilu, BufferSlice, CONSTANT_ROW, Element, GpuBackend, Half, KernelOp, LinearBuffers,
    MatrixRows, NormBuffers, Normed, Pixels, ResidualNorm, Strided,
};
use super::limits::{self, HEAD, WIDTHS};
use super::reference::Reference;

/// The difference between a kernel and the reference.
#[derive(Clone, Debug)]
pub struct KernelCheck {
    /// The kernel's name, with the format.
    pub kernel: String,
    /// The shape of the inputs.
    pub shape: String,
    /// The largest |difference| / (1 + |value|); infinite if one wrote an element that the other did not.
    pub difference: f64,
    /// The largest difference that rounding explains.
    pub allowed: f64,
}

impl KernelCheck {
    /// Returns whether rounding explains the difference.
    pub fn holds(&self) -> bool {
        self.difference <= self.allowed
    }
}

/// Pseudorandom numbers, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Returns numbers in [-scale, scale).
    fn floats(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| ((self.next() >> 8) as f32 / 8_388_608.0 - 1.0) * scale).collect()
    }

    fn halves(&mut self, half: Half, len: usize, scale: f32) -> Vec<u16> {
        self.floats(len, scale).into_iter().map(|x| half.round(x)).collect()
    }
}

/// Allocates an output that holds NaN.
fn unwritten<B: GpuBackend>(backend: &B, len: usize) -> Result<B::Buffer<u16>> {
    backend.upload(&vec![0x7fffu16; len])
}

fn unwritten_f32<B: GpuBackend>(backend: &B, len: usize) -> Result<B::Buffer<f32>> {
    backend.upload(&vec![f32::NAN; len])
}

fn widened<B: GpuBackend>(backend: &B, buffer: &B::Buffer<u16>) -> Result<Vec<f32>> {
    Ok(backend.download(buffer)?.into_iter().map(|bits| backend.half().widen(bits)).collect())
}

/// One kernel's inputs, which any backend can run.
trait Case {
    fn kernel(&self) -> &'static str;
    fn shape(&self) -> String;
    /// Returns the allowed difference for a value of 1, in units of the last place of a half.
    fn units(&self) -> f64;
    /// Runs the kernel and returns all buffers that it writes to.
    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>>;
}

fn compare<B: GpuBackend>(backend: &B, case: &impl Case) -> Result<KernelCheck> {
    let reference = Reference::new(backend.half());
    let (want, got) = (case.outputs(&reference)?, case.outputs(backend)?);
    assert_eq!(want.len(), got.len());
    let difference = |(want, got): (&f32, &f32)| match (want.is_nan(), got.is_nan()) {
        (true, true) => 0.0,
        (false, false) if want == got => 0.0,
        (false, false) if want.is_finite() && got.is_finite() => {
            f64::from((want - got).abs()) / (1.0 + f64::from(want.abs()))
        }
        _ => f64::INFINITY,
    };
    let unit = match backend.half() {
        Half::F16 => 2f64.powi(-10),
        Half::Bf16 => 2f64.powi(-7),
    };
    Ok(KernelCheck {
        kernel: format!("{} {}", case.kernel(), backend.half().as_str()),
        shape: case.shape(),
        difference: want.iter().zip(&got).map(difference).fold(0.0, f64::max),
        allowed: case.units() * unit,
    })
}

struct AttentionCase {
    windows: usize,
    heads: usize,
    rows: usize,
    tokens: usize,
    prompts: usize,
    /// The range of queries: softmax is sharp where they are large.
    scale: f32,
}

impl Case for AttentionCase {
    fn kernel(&self) -> &'static str {
        "attention"
    }

    fn shape(&self) -> String {
        let AttentionCase { windows, heads, rows, tokens, prompts, scale } = self;
        format!("{windows} windows, {heads} heads, {rows} of {tokens} + {prompts} rows, queries to {scale}")
    }

    fn units(&self) -> f64 {
        2.0
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let AttentionCase { windows, heads, rows, tokens, prompts, scale } = *self;
        let (width, half) = (heads * HEAD, backend.half());
        let mut random = Random(7);
        // The queries have a buffer of their own, as in the last layer. A window has a row of NaN after its own rows,
        // which must not be read.
        let queries = backend.upload(&random.halves(half, windows * rows * width, scale))?;
        let mut projected = Vec::new();
        for _ in 0..windows {
            projected.extend(random.halves(half, tokens * 2 * width, 2.0));
            projected.extend(vec![0x7fffu16; 2 * width]);
        }
        let projected = backend.upload(&projected)?;
        let constant = |random: &mut Random| backend.upload(&random.halves(half, (prompts * width).max(1), 2.0));
        let (prompt_keys, prompt_values) = (constant(&mut random)?, constant(&mut random)?);
        let out = unwritten(backend, windows * (rows + 1) * width)?;
        backend.run(&KernelOp::Attention(Attention {
            queries: Strided { slice: BufferSlice::start(&queries), row: width, window: rows * width },
            keys: Strided { slice: BufferSlice::start(&projected), row: 2 * width, window: (tokens + 1) * 2 * width },
            values: BufferSlice { buffer: &projected, start: width },
            prompts: (&prompt_keys, &prompt_values),
            out: Strided { slice: BufferSlice::start(&out), row: width, window: (rows + 1) * width },
            windows,
            heads,
            rows,
            tokens,
            prompt_count: prompts,
        }))?;
        widened(backend, &out)
    }
}

struct NormCase {
    width: usize,
    windows: usize,
    tokens: usize,
    active: usize,
    /// Whether x is wider than its rows and the normed output is f32, as in the last layer.
    last: bool,
}

fn norm<B: GpuBackend>(backend: &B, random: &mut Random, width: usize) -> Result<NormBuffers<B>> {
    Ok(NormBuffers {
        weight: backend.upload(&random.floats(width, 1.5))?,
        bias: backend.upload(&random.floats(width, 1.0))?,
        eps: 1e-5,
    })
}

impl Case for NormCase {
    fn kernel(&self) -> &'static str {
        if self.last { "last norm" } else { "residual norm" }
    }

    fn shape(&self) -> String {
        format!("{} windows, {} of {} rows of {}", self.windows, self.active, self.tokens, self.width)
    }

    fn units(&self) -> f64 {
        if self.last { 0.02 } else { 1.5 }
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let NormCase { width, windows, tokens, active, last } = *self;
        let mut random = Random(11);
        let (rows, stride) = (windows * tokens, if last { 3 * width } else { width });
        let product = backend.upload(&random.halves(backend.half(), rows * width, 3.0))?;
        let bias = backend.upload(&random.floats(width, 1.0))?;
        let x = backend.upload(&random.floats(rows * stride, 5.0))?;
        let norm = norm(backend, &mut random, width)?;
        // The last row must not be written.
        let half = unwritten(backend, (rows + 1) * width)?;
        let whole = unwritten_f32(backend, (rows + 1) * width)?;
        backend.run(&KernelOp::ResidualNorm(ResidualNorm {
            product: &product,
            bias: &bias,
            x: &x,
            stride,
            norm: &norm,
            normed: if last { Normed::F32(&whole) } else { Normed::Half(&half) },
            rows,
            width,
            tokens,
            active,
        }))?;
        Ok([backend.download(&x)?, widened(backend, &half)?, backend.download(&whole)?].concat())
    }
}

struct AssembleCase {
    width: usize,
    windows: usize,
    views: usize,
    patches: usize,
    prompts: usize,
}

impl Case for AssembleCase {
    fn kernel(&self) -> &'static str {
        "assemble"
    }

    fn shape(&self) -> String {
        let AssembleCase { width, windows, views, patches, prompts } = self;
        format!("{windows} windows, {views} views of {patches} patches, {prompts} prompts, rows of {width}")
    }

    fn units(&self) -> f64 {
        1.5
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let AssembleCase { width, windows, views, patches, prompts } = *self;
        let mut random = Random(13);
        let (tokens, embedded) = (1 + views * patches + prompts, 3 * patches);
        let row_indices: Vec<u32> = (0..windows * tokens)
            .map(|r| match r % tokens {
                0 => CONSTANT_ROW,
                t if t > views * patches => CONSTANT_ROW | (t - views * patches) as u32,
                _ => random.next() % embedded as u32,
            })
            .collect();
        let x = unwritten_f32(backend, (windows * tokens + 1) * width)?;
        let normed = unwritten(backend, (windows * tokens + 1) * width)?;
        backend.run(&KernelOp::Assemble(Assemble {
            row_indices: &backend.upload(&row_indices)?,
            embedded: &backend.upload(&random.floats(embedded * width, 2.0))?,
            positions: &backend.upload(&random.floats(patches * width, 1.0))?,
            constants: &backend.upload(&random.floats((1 + prompts) * width, 2.0))?,
            pre_norm: &norm(backend, &mut random, width)?,
            norm: &norm(backend, &mut random, width)?,
            x: &x,
            normed: &normed,
            rows: windows * tokens,
            width,
            tokens,
            patches,
        }))?;
        Ok([backend.download(&x)?, widened(backend, &normed)?].concat())
    }
}

struct SiluCase {
    rows: usize,
    columns: usize,
    scale: f32,
}

impl Case for SiluCase {
    fn kernel(&self) -> &'static str {
        "bias silu"
    }

    fn shape(&self) -> String {
        format!("{} rows of {}, to {}", self.rows, self.columns, self.scale)
    }

    fn units(&self) -> f64 {
        1.0
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let SiluCase { rows, columns, scale } = *self;
        let mut random = Random(17);
        let mut values = random.halves(backend.half(), rows * columns, scale);
        values.extend([0x7fffu16; 8]);
        let x = backend.upload(&values)?;
        let bias = backend.upload(&random.floats(columns, 1.0))?;
        backend.run(&KernelOp::BiasSilu(BiasSilu { x: &x, bias: &bias, rows, columns }))?;
        widened(backend, &x)
    }
}

struct PixelsCase(usize);

impl Case for PixelsCase {
    fn kernel(&self) -> &'static str {
        "pixels"
    }

    fn shape(&self) -> String {
        format!("{} bytes", self.0)
    }

    fn units(&self) -> f64 {
        0.0
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let mut random = Random(19);
        let bytes: Vec<u8> = (0..self.0 + 16).map(|i| if i < 256 { i as u8 } else { random.next() as u8 }).collect();
        let out = unwritten(backend, self.0 + 16)?;
        backend.run(&KernelOp::Pixels(Pixels { bytes: &backend.upload(&bytes)?, out: &out, count: self.0 }))?;
        widened(backend, &out)
    }
}

/// A product, which a library computes: the case tests its sizes, strides and formats.
struct ProductCase {
    rows: usize,
    inputs: usize,
    outputs: usize,
    stride: usize,
    kind: ProductKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ProductKind {
    Biased,
    Plain,
    ToF32,
    F32,
}

impl ProductCase {
    fn result<B: GpuBackend, I: Element, O: Element>(
        &self,
        backend: &B,
        weight: &[I],
        x: &[I],
    ) -> Result<B::Buffer<O>> {
        let mut random = Random(29);
        let bias = (self.kind == ProductKind::Biased)
            .then(|| backend.upload(&random.halves(backend.half(), self.outputs, 1.0)))
            .transpose()?;
        let linear = LinearBuffers {
            weight: backend.upload(weight)?,
            bias,
            outputs: self.outputs,
            inputs: self.inputs,
            rows_max: self.rows.max(128),
        };
        let out = backend.alloc(self.rows * self.outputs)?;
        let x = backend.upload(x)?;
        backend.matmul(&linear, MatrixRows { buffer: &x, count: self.rows, stride: self.stride }, &out)?;
        Ok(out)
    }
}

impl Case for ProductCase {
    fn kernel(&self) -> &'static str {
        "product"
    }

    fn shape(&self) -> String {
        let ProductCase { rows, inputs, outputs, stride, kind } = self;
        format!("{rows} rows of {inputs}, {stride} apart, to {outputs}, {kind:?}")
    }

    fn units(&self) -> f64 {
        if matches!(self.kind, ProductKind::Biased | ProductKind::Plain) { 2.0 } else { 0.02 }
    }

    fn outputs<B: GpuBackend>(&self, backend: &B) -> Result<Vec<f32>> {
        let mut random = Random(23);
        let scale = (3.0 / self.inputs as f32).sqrt();
        let weight = random.floats(self.outputs * self.inputs, scale);
        let x = random.floats(self.rows * self.stride, 1.0);
        let halves = |x: &[f32]| -> Vec<u16> { x.iter().map(|x| backend.half().round(*x)).collect() };
        match self.kind {
            ProductKind::F32 => backend.download(&self.result::<B, f32, f32>(backend, &weight, &x)?),
            ProductKind::ToF32 => {
                backend.download(&self.result::<B, u16, f32>(backend, &halves(&weight), &halves(&x))?)
            }
            _ => widened(backend, &self.result::<B, u16, u16>(backend, &halves(&weight), &halves(&x))?),
        }
    }
}

/// Runs all cases. `large` adds the sizes of real batches, which take minutes on a CPU.
pub(crate) fn run_all<B: GpuBackend>(backend: &B, large: bool) -> Result<Vec<KernelCheck>> {
    let mut checks = Vec::new();
    let attention =
        |windows, heads, rows, tokens, prompts, scale| AttentionCase { windows, heads, rows, tokens, prompts, scale };
    // Odd and even numbers around a tile of 16, a chunk of 64 and one of 112; the last layer's one query; B/16 and
    // L/14.
    let mut attentions = vec![
        attention(2, 2, 99, 99, 8, 0.3),
        attention(2, 2, 1, 99, 8, 0.3),
        attention(1, 2, 50, 50, 8, 3.0),
        attention(1, 1, 5, 1, 0, 0.3),
        attention(1, 1, 64, 64, 0, 0.3),
        attention(1, 1, 65, 64, 1, 0.3),
        attention(1, 1, 113, 112, 0, 0.3),
        attention(2, 1, 107, 99, 13, 0.3),
        attention(1, 1, 130, 197, 8, 0.3),
    ];
    if large {
        attentions.extend([attention(113, 12, 99, 99, 8, 0.3), attention(16, 12, 393, 393, 8, 0.3)]);
        if limits::attention_shared_bytes(521) <= backend.shared_bytes_max() {
            attentions.push(attention(4, 16, 513, 513, 8, 0.3));
        }
    }
    for case in attentions {
        checks.push(compare(backend, &case)?);
    }
    let windows = if large { 113 } else { 2 };
    for width in WIDTHS {
        for (tokens, active, last) in [(9, 9, false), (9, 5, false), (1, 1, true)] {
            checks.push(compare(backend, &NormCase { width, windows, tokens, active, last })?);
        }
        for (views, prompts) in [(2, 0), (1, 3)] {
            checks.push(compare(backend, &AssembleCase { width, windows, views, patches: 4, prompts })?);
        }
    }
    for (rows, columns, scale) in [(3, 8, 1.0), (5, 3072, 20.0), (1, 768, 60_000.0)] {
        checks.push(compare(backend, &SiluCase { rows, columns, scale })?);
    }
    for count in [256, 16 * 300] {
        checks.push(compare(backend, &PixelsCase(count))?);
    }
    let rows = if large { 999 } else { 7 };
    for kind in [ProductKind::Biased, ProductKind::Plain, ProductKind::ToF32, ProductKind::F32] {
        for (inputs, outputs, stride) in [(768, 192, 768), (192, 768, 960)] {
            checks.push(compare(backend, &ProductCase { rows, inputs, outputs, stride, kind })?);
        }
    }
    Ok(checks)
}
