//! Opens devices, describes them, and tells what their errors mean. Without the feature `cuda` there is only the CPU.

use candle_core::{Device, Error, Result};

#[cfg(feature = "cuda")]
use super::cuda::driver;

/// A device that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open device cuda:{ordinal}: {reason}")]
pub struct DeviceUnavailable {
    /// The requested ordinal.
    pub ordinal: usize,
    /// The driver's reason.
    pub reason: String,
}

/// Opens a CUDA device the way this crate needs it: one stream for all work, whatever thread it comes from; no event
/// for each allocation; freed memory stays with the process.
///
/// # Errors
/// Fails when the device does not exist, or when this program was built without CUDA.
pub fn open_cuda(ordinal: usize) -> std::result::Result<Device, DeviceUnavailable> {
    open_and_prepare(ordinal).map_err(|error| DeviceUnavailable { ordinal, reason: reason(&error) })
}

fn open_and_prepare(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    driver::prepare(device.as_cuda_device()?)?;
    Ok(device)
}

/// Returns the reason why a device cannot be opened.
fn reason(error: &Error) -> String {
    match innermost(error) {
        #[cfg(feature = "cuda")]
        Error::Cuda(error) => driver::reason(error.as_ref()),
        other => other.to_string(),
    }
}

/// Returns the error without the layers that Candle adds.
fn innermost(error: &Error) -> &Error {
    match error {
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } | Error::WithPath { inner, .. } => {
            innermost(inner)
        }
        other => other,
    }
}

/// Returns the name and size of a GPU, as `NVIDIA H200, 132 processors`; `None` for the CPU.
pub fn description(device: &Device) -> Option<String> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return driver::description(device).ok();
    }
    let _ = device;
    None
}

/// Returns whether a smaller batch may succeed.
pub(crate) fn is_out_of_memory(error: &Error) -> bool {
    match innermost(error) {
        #[cfg(feature = "cuda")]
        Error::Cuda(error) => driver::is_out_of_memory(error.as_ref()),
        _ => false,
    }
}
