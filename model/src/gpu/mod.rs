//! The visual tower in 16 bits on this crate's own kernels (`model/kernels/*.cu`), as a GPU runs it.
//!
//! [`tower`] has the computation, operation by operation, and [`pipeline`] moves batches in and out; both know only the
//! trait [`backend::GpuBackend`]. It has two implementations: `cuda`, and [`mod@reference`], which computes
//! the same with the same roundings in plain Rust, slowly. So the whole pass is tested without a GPU. `kernel_launch`
//! describes a kernel's launch, for the GPU and for the tests, which run the kernels' sources on the CPU.

pub(crate) mod backend;
pub(crate) mod batch_input;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
pub(crate) mod device;
#[cfg(test)]
mod emulated;
#[cfg(any(test, feature = "cuda"))]
pub(crate) mod kernel_checks;
#[cfg(any(test, feature = "cuda"))]
mod kernel_launch;
pub(crate) mod limits;
pub(crate) mod pipeline;
pub(crate) mod reference;
pub(crate) mod tower;

use std::sync::Arc;

use candle_core::Result;

use crate::Arithmetic;
use crate::score::options::{KernelSet, Options};
use crate::tower::visual::VisualWeights;
use backend::{GpuBackend, Half};
use limits::unsupported_reason;
use pipeline::{BackendPipelines, PipelinePool};
use tower::{KernelTower, view_count};

/// Returns the tower on these kernels, if `options` ask for them and they support the model.
pub(crate) fn pipelines(parts: &VisualWeights, options: &Options) -> Result<Option<Arc<dyn PipelinePool>>> {
    let half = match options.arithmetic {
        Arithmetic::F32 => return Ok(None),
        Arithmetic::F16 => Half::F16,
        Arithmetic::Bf16 => Half::Bf16,
    };
    let views = view_count(options.views.sees);
    match options.kernels {
        KernelSet::Candle => Ok(None),
        KernelSet::Reference => build_pipelines(reference::Reference::new(half), parts, views),
        #[cfg(feature = "cuda")]
        KernelSet::Native if options.device.is_cuda() => {
            build_pipelines(cuda::CudaBackend::new(&options.device, half)?, parts, views)
        }
        KernelSet::Native => Ok(None),
    }
}

fn build_pipelines<B: GpuBackend>(
    backend: B,
    parts: &VisualWeights,
    views: usize,
) -> Result<Option<Arc<dyn PipelinePool>>> {
    let refused = |why: String| {
        tracing::warn!(why, "this model runs in Candle's operations");
        Ok(None)
    };
    let first = &parts.layers.layers[0];
    if let Some(why) = unsupported_reason(parts.class.len(), first.heads, first.activation) {
        return refused(why);
    }
    let tower = KernelTower::new(backend, parts, views)?;
    match tower.unsupported_reason() {
        Some(why) => refused(why),
        None => Ok(Some(Arc::new(BackendPipelines::new(tower)))),
    }
}
