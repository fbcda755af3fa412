//! Devices: how one is opened, what it is called, and what its errors mean. Without CUDA there is the CPU alone.

use candle_core::{Device, Error, Result};

#[cfg(feature = "cuda")]
use super::cuda::driver;

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("there is no device cuda:{ordinal}: {why}")]
pub struct DeviceUnavailable {
    /// Which was asked for.
    pub ordinal: usize,
    /// What is missing.
    pub why: String,
}

/// Opens a CUDA device for this crate's use: one stream for all work on it, whatever thread it comes from, no event for each
/// allocation, and memory that is freed stays with the process.
///
/// # Errors
/// Where there is no such device, or this program was built without CUDA.
pub fn open_cuda(ordinal: usize) -> std::result::Result<Device, DeviceUnavailable> {
    opened(ordinal).map_err(|error| DeviceUnavailable { ordinal, why: why(&error) })
}

fn opened(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    driver::prepare(device.as_cuda_device()?)?;
    Ok(device)
}

/// Why a device cannot be opened.
fn why(error: &Error) -> String {
    match innermost(error) {
        #[cfg(feature = "cuda")]
        Error::CudaBackend(error) => driver::why(error.as_ref()),
        other => other.to_string(),
    }
}

/// Without what Candle adds on the way.
fn innermost(error: &Error) -> &Error {
    match error {
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } | Error::WithPath { inner, .. } => {
            innermost(inner)
        }
        other => other,
    }
}

/// What the device calls itself, for a GPU: `NVIDIA H200, 132 processors`.
pub fn description(device: &Device) -> Option<String> {
    #[cfg(feature = "cuda")]
    if let Device::CudaBackend(device) = device {
        return driver::description(device).ok();
    }
    let _ = device;
    None
}

/// Whether less work at once may go through.
pub(crate) fn is_out_of_memory(error: &Error) -> bool {
    match innermost(error) {
        #[cfg(feature = "cuda")]
        Error::CudaBackend(error) => driver::is_out_of_memory(error.as_ref()),
        _ => false,
    }
}
