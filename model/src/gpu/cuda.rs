//! The backend on an NVIDIA GPU: this crate's kernels on the device's one stream, products by cuBLASLt, uploads on a
//! stream of their own from pinned memory.
//!
//! Nothing is allocated after the start, so that the streams need no other order than the events recorded here.

mod clock;
mod cublas;
pub(crate) mod driver;
pub(crate) mod measure;

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, CUfunction_attribute};
use candle_core::cuda::cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DevicePtr, LaunchConfig, PinnedHostSlice,
    PushKernelArg, result,
};
use candle_core::{Device, Result};

use super::backend::{Element, GpuBackend, Half, KernelOp, LinearBuffers, MatrixRows};
use super::device;
use super::kernel_launch::Argument;
use clock::Clock;
use cublas::CublasLt;

#[allow(unreachable_pub)] // as cudaforge writes it
mod ptx {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// A GPU, in one 16-bit format.
pub(crate) struct CudaBackend {
    stream: Arc<CudaStream>,
    /// The stream of uploads. It is declared before the buffers and the handle that are freed after it: dropping it
    /// binds the context to the thread that drops this backend.
    copies: Arc<CudaStream>,
    half: Half,
    blas: CublasLt,
    /// Kernels by name. Each keeps its module loaded.
    kernels: HashMap<&'static str, CudaFunction>,
    processors: usize,
    shared_bytes_max: usize,
    clock: Clock,
}

/// Memory on the device. A kernel writes to it through its address.
pub(crate) struct DeviceBuffer<E>(CudaSlice<E>);

/// A batch's buffers for upload and download.
pub(crate) struct CudaSlot {
    bytes: PinnedHostSlice<u8>,
    row_indices: PinnedHostSlice<u32>,
    features: PinnedHostSlice<f32>,
    uploaded_bytes: DeviceBuffer<u8>,
    uploaded_row_indices: DeviceBuffer<u32>,
    /// Recorded after the upload, on the stream of uploads.
    upload_done: CudaEvent,
    /// Recorded after the download of the features.
    download_done: CudaEvent,
}

/// Loads this crate's kernels of one format.
fn kernels(
    context: &Arc<CudaContext>,
    half: Half,
    shared_bytes_max: usize,
) -> Result<HashMap<&'static str, CudaFunction>> {
    let mut kernels = HashMap::new();
    for source in [ptx::ATTENTION, ptx::ELEMENTWISE, ptx::NORM] {
        let module = context.load_module(source.into()).w()?;
        for name in entries(source).filter(|name| name.split('_').any(|part| part == half.as_str())) {
            let kernel = module.load_function(name).w()?;
            if name.starts_with("attention") {
                // A launch may ask for up to this much shared memory.
                let shared = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                kernel.set_attribute(shared, shared_bytes_max as i32).w()?;
            }
            kernels.insert(name, kernel);
        }
    }
    Ok(kernels)
}

/// Returns the names of the kernels in a module's text.
fn entries(ptx: &'static str) -> impl Iterator<Item = &'static str> {
    let after = ptx.split(".entry ").skip(1);
    after.map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(text))
}

impl CudaBackend {
    pub(crate) fn new(device: &Device, half: Half) -> Result<CudaBackend> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let context = stream.context().clone();
        let number =
            |attribute| Ok::<_, candle_core::Error>(usize::try_from(context.attribute(attribute).w()?).unwrap_or(0));
        let shared_bytes_max = number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        Ok(CudaBackend {
            copies: context.new_stream().w()?,
            blas: CublasLt::new(stream.clone(), half)?,
            kernels: kernels(&context, half, shared_bytes_max)?,
            processors: number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_bytes_max,
            stream,
            half,
            clock: Clock::default(),
        })
    }

    /// Returns a buffer's address. The buffer's owner keeps it for as long as the stream may use it.
    fn address<E: Element>(&self, buffer: &DeviceBuffer<E>, start: usize) -> u64 {
        let (address, _order) = buffer.0.device_ptr(&self.stream);
        address + (start * size_of::<E>()) as u64
    }
}

impl GpuBackend for CudaBackend {
    type Buffer<E: Element> = DeviceBuffer<E>;
    type Slot = CudaSlot;

    fn half(&self) -> Half {
        self.half
    }

    fn processors(&self) -> Option<usize> {
        Some(self.processors)
    }

    fn shared_bytes_max(&self) -> usize {
        self.shared_bytes_max
    }

    fn is_out_of_memory(error: &candle_core::Error) -> bool {
        device::is_out_of_memory(error)
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<DeviceBuffer<E>> {
        Ok(DeviceBuffer(self.stream.alloc_zeros(len).w()?))
    }

    fn upload<E: Element>(&self, values: &[E]) -> Result<DeviceBuffer<E>> {
        Ok(DeviceBuffer(self.stream.clone_htod(values).w()?))
    }

    fn download<E: Element>(&self, buffer: &DeviceBuffer<E>) -> Result<Vec<E>> {
        let values = self.stream.clone_dtoh(&buffer.0).w()?;
        self.stream.synchronize().w()?;
        Ok(values)
    }

    fn run(&self, op: &KernelOp<'_, CudaBackend>) -> Result<()> {
        self.clock.around(&self.stream, op.name(), || self.launch(op))
    }

    fn matmul<I: Element, O: Element>(
        &self,
        linear: &LinearBuffers<CudaBackend, I>,
        x: MatrixRows<'_, DeviceBuffer<I>>,
        out: &DeviceBuffer<O>,
    ) -> Result<()> {
        let product = cublas::Product {
            weight: self.address(&linear.weight, 0),
            bias: linear.bias.as_ref().map(|bias| self.address(bias, 0)),
            x: self.address(x.buffer, 0),
            out: self.address(out, 0),
            outputs: linear.outputs,
            inputs: linear.inputs,
            rows: x.count,
            rows_max: linear.rows_max,
            stride: x.stride,
        };
        self.clock.around(&self.stream, "products", || self.blas.matmul::<I, O>(&product))
    }

    fn alloc_slot(&self, bytes: usize, row_indices: usize, features: usize) -> Result<CudaSlot> {
        let context = self.stream.context();
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC)).w();
        // Sound because the buffers are written before they are uploaded, and for the download any content will do.
        let (bytes_host, row_indices_host, features_host) = unsafe {
            // Not write-combined: the rows of patches are too short for that kind of memory.
            let pinned = context.alloc_pinned_with_flags(bytes, 0).w()?;
            (
                pinned,
                context.alloc_pinned_with_flags(row_indices, 0).w()?,
                context.alloc_pinned_with_flags(features, 0).w()?,
            )
        };
        let slot = CudaSlot {
            bytes: bytes_host,
            row_indices: row_indices_host,
            features: features_host,
            uploaded_bytes: self.alloc(bytes)?,
            uploaded_row_indices: self.alloc(row_indices)?,
            upload_done: event()?,
            download_done: event()?,
        };
        // The stream of uploads may write to the buffers from now on.
        self.stream.synchronize().w()?;
        Ok(slot)
    }

    fn staging_buffers<'a>(&self, slot: &'a mut CudaSlot) -> Result<(&'a mut [u8], &'a mut [u32])> {
        Ok((slot.bytes.as_mut_slice().w()?, slot.row_indices.as_mut_slice().w()?))
    }

    fn upload_slot(&self, slot: &mut CudaSlot, bytes: usize, row_indices: usize) -> Result<()> {
        let context = self.stream.context();
        context.bind_to_thread().w()?;
        // The slot's last batch is finished, and its features were taken: nothing reads what is overwritten. The host
        // buffers do not change until this batch is finished.
        unsafe {
            let (to_bytes, to_row_indices) =
                (self.address(&slot.uploaded_bytes, 0), self.address(&slot.uploaded_row_indices, 0));
            let (from_bytes, from_row_indices) = (slot.bytes.as_slice().w()?, slot.row_indices.as_slice().w()?);
            result::memcpy_htod_async(to_bytes, &from_bytes[..bytes], self.copies.cu_stream()).w()?;
            result::memcpy_htod_async(to_row_indices, &from_row_indices[..row_indices], self.copies.cu_stream()).w()?;
        }
        slot.upload_done.record(&self.copies).w()?;
        self.stream.wait(&slot.upload_done).w()
    }

    fn slot_inputs<'a>(&self, slot: &'a CudaSlot) -> (&'a DeviceBuffer<u8>, &'a DeviceBuffer<u32>) {
        (&slot.uploaded_bytes, &slot.uploaded_row_indices)
    }

    fn download_features(&self, slot: &mut CudaSlot, features: &DeviceBuffer<f32>, count: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        let to = &mut slot.features.as_mut_slice().w()?[..count];
        // The host buffer is read only after the event.
        unsafe { result::memcpy_dtoh_async(to, self.address(features, 0), self.stream.cu_stream()) }.w()?;
        slot.download_done.record(&self.stream).w()
    }

    fn features_ready(&self, slot: &CudaSlot) -> Result<bool> {
        slot.download_done.try_is_complete().w()
    }

    fn synchronize(&self) -> Result<()> {
        self.copies.synchronize().w()?;
        self.stream.synchronize().w()
    }

    fn wait_for_features<'a>(&self, slot: &'a mut CudaSlot, count: usize) -> Result<&'a [f32]> {
        slot.download_done.synchronize().w()?;
        Ok(&slot.features.as_slice().w()?[..count])
    }
}

/// A kernel's argument in the form that the launch takes.
enum Value {
    Address(u64),
    U32(u32),
    F32(f32),
}

impl CudaBackend {
    fn launch(&self, op: &KernelOp<'_, CudaBackend>) -> Result<()> {
        let launch = op.launch(self.half);
        let function = &self.kernels[launch.kernel.as_str()];
        let arguments: Vec<Value> = launch.arguments.iter().map(|argument| self.value(argument)).collect();
        let mut builder = self.stream.launch_builder(function);
        for argument in &arguments {
            match argument {
                Value::Address(address) => builder.arg(address),
                Value::U32(n) => builder.arg(n),
                Value::F32(x) => builder.arg(x),
            };
        }
        let config = LaunchConfig {
            grid_dim: (launch.blocks, 1, 1),
            block_dim: (launch.threads, 1, 1),
            shared_mem_bytes: launch.shared_bytes,
        };
        // Sound because the arguments match the kernel's parameters, as the tests that run its source show.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }

    fn value(&self, argument: &Argument<'_, CudaBackend>) -> Value {
        Value::Address(match argument {
            Argument::Bytes(buffer) => self.address(buffer, 0),
            Argument::Halves(from) => self.address(from.buffer, from.start),
            Argument::RowIndices(buffer) => self.address(buffer, 0),
            Argument::Floats(buffer) => self.address(buffer, 0),
            Argument::U32(n) => return Value::U32(*n),
            Argument::F32(x) => return Value::F32(*x),
        })
    }
}
