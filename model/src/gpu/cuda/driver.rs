//! Configures an opened device, describes it, and explains its driver's errors.

use std::error::Error as StdError;
use std::ffi::c_void;

use candle_core::cuda::cudarc::driver::sys::{CUdevice_attribute, CUmemPool_attribute, CUresult};
use candle_core::cuda::cudarc::driver::{DriverError, result, sys};
use candle_core::cuda::{CudaError, WrapErr};
use candle_core::{CudaDevice, Result};

/// Configures a device for [`crate::device::open_cuda`].
pub(crate) fn prepare(device: &CudaDevice) -> Result<()> {
    let context = device.cuda_stream().context().clone();
    // Sound because all tensors of a device are used on its one stream, in order; batches order their second stream
    // themselves.
    unsafe { device.disable_event_tracking() };
    // Freed memory stays in the pool: the next batch takes the same again.
    let mut keep = u64::MAX;
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
        let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, threshold, std::ptr::from_mut(&mut keep).cast::<c_void>()).result().w()
    }
}

/// Returns the device's name and size.
pub(crate) fn description(device: &CudaDevice) -> Result<String> {
    let context = device.cuda_stream().context().clone();
    let processors = context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).w()?;
    Ok(format!("{}, {processors} processors", context.name().w()?))
}

/// Returns whether the device's memory is too short.
pub(crate) fn is_out_of_memory(error: &(dyn StdError + 'static)) -> bool {
    use candle_core::cuda::cudarc::cublas::sys::cublasStatus_t;
    match error.downcast_ref::<CudaError>() {
        Some(CudaError::Cuda(DriverError(code))) => *code == CUresult::CUDA_ERROR_OUT_OF_MEMORY,
        Some(CudaError::Cublas(status)) => status.0 == cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
        _ => false,
    }
}

/// Returns the reason why a device cannot be used, from the driver's or a library's error.
pub(crate) fn reason(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref::<CudaError>() {
        Some(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_NO_DEVICE))) => {
            "this machine has no NVIDIA driver, or no GPU for it (CUDA_ERROR_NO_DEVICE)".to_owned()
        }
        Some(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_INVALID_DEVICE))) => {
            "this machine has fewer GPUs (CUDA_ERROR_INVALID_DEVICE)".to_owned()
        }
        Some(CudaError::Cuda(DriverError(code))) => format!("the driver says {code:?}"),
        Some(CudaError::Cublas(error)) => format!("cuBLAS cannot be used ({error:?})"),
        Some(CudaError::Curand(error)) => format!("cuRAND cannot be used ({error:?})"),
        _ => error.to_string(),
    }
}
