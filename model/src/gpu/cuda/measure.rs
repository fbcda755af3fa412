//! Measures on the GPU itself what it can do and where the time goes, for `tools/gpu-check`.

use std::sync::Arc;
use std::time::Instant;

use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::driver::result;
use candle_core::{Device, Result};

use super::cublas::Product;
use super::{CudaBackend, DeviceBuffer};
use crate::gpu::backend::{GpuBackend, Half};
use crate::gpu::kernel_checks::{KernelCheck, run_all};
use crate::gpu::pipeline::{BackendPipelines, PipelinePool};
use crate::gpu::tower::{KernelTower, view_count};
use crate::tower::visual::VisualWeights;
use crate::{Arithmetic, ClipWeights, ModelError, Options, Prepared, PromptMode};

/// The peak rates that a GPU reaches.
#[derive(Clone, Debug)]
pub struct Ceilings {
    /// Product of 8192 x 8192 matrices in f16 with sums in f32, in TFLOP/s.
    pub f16_tflops: f64,
    /// The same product in bf16, in TFLOP/s.
    pub bf16_tflops: f64,
    /// Upload from pinned memory, in GB/s.
    pub upload_gbs: f64,
    /// Copy within the device's memory, bytes read and written, in GB/s.
    pub device_copy_gbs: f64,
}

/// Returns the seconds that `work` takes on the device: the best of ten runs after a warm-up.
fn best_seconds(backend: &CudaBackend, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..11 {
        backend.stream.synchronize().w()?;
        let start = Instant::now();
        work()?;
        backend.stream.synchronize().w()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn tflops(device: &Device, half: Half) -> Result<f64> {
    const SIDE: usize = 8192;
    const TIMES: usize = 4;
    let backend = CudaBackend::new(device, half)?;
    // A GPU uses less power for zeros than for other numbers, and runs faster.
    let numbers: Vec<u16> = (0..SIDE * SIDE).map(|i| half.round((i * 7919 % 1000) as f32 / 1000.0 - 0.5)).collect();
    let (a, b) = (backend.upload(&numbers)?, backend.upload(&numbers)?);
    let out: DeviceBuffer<u16> = backend.alloc(SIDE * SIDE)?;
    let product = Product {
        weight: backend.address(&a, 0),
        bias: None,
        x: backend.address(&b, 0),
        out: backend.address(&out, 0),
        outputs: SIDE,
        inputs: SIDE,
        rows: SIDE,
        rows_max: SIDE,
        stride: SIDE,
    };
    let seconds = best_seconds(&backend, || {
        for _ in 0..TIMES {
            backend.blas.matmul::<u16, u16>(&product)?;
        }
        Ok(())
    })?;
    Ok(2.0 * (SIDE as f64).powi(3) * TIMES as f64 / seconds / 1e12)
}

/// Measures the GPU's peak rates; takes some seconds and 1 GB of its memory.
///
/// # Errors
/// Fails when the device fails.
pub fn ceilings(device: &Device) -> Result<Ceilings> {
    const BYTES: usize = 256 << 20;
    let backend = CudaBackend::new(device, Half::F16)?;
    let mut slot = backend.alloc_slot(BYTES, 1, 1)?;
    backend.staging_buffers(&mut slot)?.0.fill(1);
    let upload = best_seconds(&backend, || backend.upload_slot(&mut slot, BYTES, 1))?;
    let (from, to): (DeviceBuffer<u8>, DeviceBuffer<u8>) = (backend.alloc(BYTES)?, backend.alloc(BYTES)?);
    let copy = best_seconds(&backend, || {
        let (from, to) = (backend.address(&from, 0), backend.address(&to, 0));
        unsafe { result::memcpy_dtod_async(to, from, BYTES, backend.stream.cu_stream()) }.w()
    })?;
    Ok(Ceilings {
        f16_tflops: tflops(device, Half::F16)?,
        bf16_tflops: tflops(device, Half::Bf16)?,
        upload_gbs: BYTES as f64 / upload / 1e9,
        device_copy_gbs: 2.0 * BYTES as f64 / copy / 1e9,
    })
}

/// Compares each kernel with its reference in plain Rust, in both 16-bit formats, also at the sizes of real batches.
///
/// # Errors
/// Fails when the device fails.
pub fn kernel_checks(device: &Device) -> Result<Vec<KernelCheck>> {
    let f16 = run_all(&CudaBackend::new(device, Half::F16)?, true)?;
    let bf16 = run_all(&CudaBackend::new(device, Half::Bf16)?, true)?;
    Ok([f16, bf16].concat())
}

/// Where the time of a forward pass goes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Windows in the batch.
    pub windows: usize,
    /// Operations of the batch's products and attention.
    pub flops: f64,
    /// Milliseconds on the device by kind of work. An event before and after each kernel makes the sum longer than the
    /// pass.
    pub milliseconds: Vec<(String, f64)>,
    /// Milliseconds of the whole pass, with nothing between its kernels: the mean of 20 passes.
    pub pass_milliseconds: f64,
}

/// Measures a batch of `windows` windows of `picture`, which must have at least as many, in 16 bits. The batch is
/// smaller if the device has no memory for it.
///
/// # Errors
/// Fails when the device fails.
///
/// # Panics
/// Panics when the arithmetic is f32, or this crate's kernels do not support the model.
pub fn profile(
    weights: &ClipWeights,
    prompts: &PromptMode,
    options: &Options,
    picture: &Prepared,
    windows: usize,
) -> std::result::Result<Profile, ModelError> {
    const PASSES: usize = 20;
    let half = match options.arithmetic {
        Arithmetic::F16 => Half::F16,
        Arithmetic::Bf16 => Half::Bf16,
        Arithmetic::F32 => panic!("the kernels are for 16 bits"),
    };
    let parts = VisualWeights::read(weights, prompts)?;
    let tower = KernelTower::new(CudaBackend::new(&options.device, half)?, &parts, view_count(options.views.sees))?;
    let pipelines = Arc::new(BackendPipelines::new(tower));
    let backend = &pipelines.tower().backend;
    let mut pipeline = pipelines.clone().lease(windows)?;
    let windows = pipeline.free_windows();
    let mut flops = 0.0;
    let mut passes = |count: usize| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..count {
            if pipeline.is_full() {
                pipeline.take_features(true)?;
            }
            let origins = &picture.origins[..windows];
            picture.with_windows(options.views.sees, origins, |windows| pipeline.add(windows))?;
            flops = pipelines.tower().flops(windows, pipeline.patches());
            pipeline.submit()?;
        }
        while pipeline.take_features(true)?.is_some() {}
        Ok(start.elapsed().as_secs_f64() * 1e3 / count as f64)
    };
    passes(3)?;
    let pass_milliseconds = passes(PASSES)?;
    backend.clock.start();
    passes(1)?;
    let milliseconds = backend.clock.stop()?;
    Ok(Profile { windows, flops, milliseconds, pass_milliseconds })
}
