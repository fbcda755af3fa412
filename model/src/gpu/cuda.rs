//! The tower's machine on an NVIDIA GPU: our kernels on the device's one stream, products by cuBLASLt, batches by a stream of
//! their own from pinned memory.
//!
//! Nothing is allocated but at the start, so that the streams need no more order than the events that are said here.

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

use super::backend::{Element, Half, Linear, Machine, RowsOf, Step};
use super::device;
use super::kernel_launch::Argument;
use clock::Clock;
use cublas::Blas;

#[allow(unreachable_pub)] // as cudaforge writes it
mod ptx {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// A GPU, in one 16-bit format.
pub(crate) struct Cuda {
    stream: Arc<CudaStream>,
    /// For what goes up. Before all that is freed: its end binds the context to the thread that this ends on.
    copies: Arc<CudaStream>,
    half: Half,
    blas: Blas,
    /// By name. Their modules live as long as they do.
    kernels: HashMap<&'static str, CudaFunction>,
    processors: usize,
    shared_bytes_max: usize,
    clock: Clock,
}

/// Memory on the device. A kernel writes to it through its address.
pub(crate) struct OnDevice<E>(CudaSlice<E>);

/// A batch's way up and down.
pub(crate) struct CudaSlot {
    bytes: PinnedHostSlice<u8>,
    places: PinnedHostSlice<u32>,
    features: PinnedHostSlice<f32>,
    uploaded_bytes: OnDevice<u8>,
    uploaded_places: OnDevice<u32>,
    /// After the upload, on the copies' stream.
    is_up: CudaEvent,
    /// After the features came down.
    is_down: CudaEvent,
}

/// Our kernels of a format, loaded.
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
                // What a launch asks for may be up to this.
                let shared = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                kernel.set_attribute(shared, shared_bytes_max as i32).w()?;
            }
            kernels.insert(name, kernel);
        }
    }
    Ok(kernels)
}

/// The kernels that a module's text has.
fn entries(ptx: &'static str) -> impl Iterator<Item = &'static str> {
    let after = ptx.split(".entry ").skip(1);
    after.map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(text))
}

impl Cuda {
    pub(crate) fn new(device: &Device, half: Half) -> Result<Cuda> {
        let stream = device.as_cuda_device()?.cuda_stream();
        let context = stream.context().clone();
        let number =
            |attribute| Ok::<_, candle_core::Error>(usize::try_from(context.attribute(attribute).w()?).unwrap_or(0));
        let shared_bytes_max = number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        Ok(Cuda {
            copies: context.new_stream().w()?,
            blas: Blas::new(stream.clone(), half)?,
            kernels: kernels(&context, half, shared_bytes_max)?,
            processors: number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_bytes_max,
            stream,
            half,
            clock: Clock::default(),
        })
    }

    /// Where a buffer lies. Its owner keeps it for as long as the stream may use it.
    fn address<E: Element>(&self, buffer: &OnDevice<E>, start: usize) -> u64 {
        let (address, _order) = buffer.0.device_ptr(&self.stream);
        address + (start * size_of::<E>()) as u64
    }
}

impl Machine for Cuda {
    type Of<E: Element> = OnDevice<E>;
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

    fn room<E: Element>(&self, len: usize) -> Result<OnDevice<E>> {
        Ok(OnDevice(self.stream.alloc_zeros(len).w()?))
    }

    fn put<E: Element>(&self, values: &[E]) -> Result<OnDevice<E>> {
        Ok(OnDevice(self.stream.clone_htod(values).w()?))
    }

    fn get<E: Element>(&self, buffer: &OnDevice<E>) -> Result<Vec<E>> {
        let values = self.stream.clone_dtoh(&buffer.0).w()?;
        self.stream.synchronize().w()?;
        Ok(values)
    }

    fn run(&self, step: &Step<'_, Cuda>) -> Result<()> {
        self.clock.around(&self.stream, step.name(), || self.launch(step))
    }

    fn product<I: Element, O: Element>(
        &self,
        linear: &Linear<Cuda, I>,
        x: RowsOf<'_, OnDevice<I>>,
        out: &OnDevice<O>,
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
        self.clock.around(&self.stream, "products", || self.blas.product::<I, O>(&product))
    }

    fn slot(&self, bytes: usize, places: usize, features: usize) -> Result<CudaSlot> {
        let context = self.stream.context();
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC)).w();
        // Sound because it is written before it is sent, and for what comes down zeros are as good.
        let (bytes_host, places_host, features_host) = unsafe {
            // Not write-combined: patches' rows are shorter than what such memory likes to be written in.
            let pinned = context.alloc_pinned_with_flags(bytes, 0).w()?;
            (pinned, context.alloc_pinned_with_flags(places, 0).w()?, context.alloc_pinned_with_flags(features, 0).w()?)
        };
        let slot = CudaSlot {
            bytes: bytes_host,
            places: places_host,
            features: features_host,
            uploaded_bytes: self.room(bytes)?,
            uploaded_places: self.room(places)?,
            is_up: event()?,
            is_down: event()?,
        };
        // The copies' stream may write from now on.
        self.stream.synchronize().w()?;
        Ok(slot)
    }

    fn stage<'a>(&self, slot: &'a mut CudaSlot) -> Result<(&'a mut [u8], &'a mut [u32])> {
        Ok((slot.bytes.as_mut_slice().w()?, slot.places.as_mut_slice().w()?))
    }

    fn upload(&self, slot: &mut CudaSlot, bytes: usize, places: usize) -> Result<()> {
        let context = self.stream.context();
        context.bind_to_thread().w()?;
        // The batch that was in this slot is done, and its features were taken: nothing reads what is written over. What is
        // sent stays as it is until this batch is done.
        unsafe {
            let (to_bytes, to_places) = (self.address(&slot.uploaded_bytes, 0), self.address(&slot.uploaded_places, 0));
            let (from_bytes, from_places) = (slot.bytes.as_slice().w()?, slot.places.as_slice().w()?);
            result::memcpy_htod_async(to_bytes, &from_bytes[..bytes], self.copies.cu_stream()).w()?;
            result::memcpy_htod_async(to_places, &from_places[..places], self.copies.cu_stream()).w()?;
        }
        slot.is_up.record(&self.copies).w()?;
        self.stream.wait(&slot.is_up).w()
    }

    fn uploaded<'a>(&self, slot: &'a CudaSlot) -> (&'a OnDevice<u8>, &'a OnDevice<u32>) {
        (&slot.uploaded_bytes, &slot.uploaded_places)
    }

    fn download(&self, slot: &mut CudaSlot, features: &OnDevice<f32>, count: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        let to = &mut slot.features.as_mut_slice().w()?[..count];
        // Read after the event alone.
        unsafe { result::memcpy_dtoh_async(to, self.address(features, 0), self.stream.cu_stream()) }.w()?;
        slot.is_down.record(&self.stream).w()
    }

    fn is_done(&self, slot: &CudaSlot) -> Result<bool> {
        slot.is_down.try_is_complete().w()
    }

    fn settle(&self) -> Result<()> {
        self.copies.synchronize().w()?;
        self.stream.synchronize().w()
    }

    fn features<'a>(&self, slot: &'a mut CudaSlot, count: usize) -> Result<&'a [f32]> {
        slot.is_down.synchronize().w()?;
        Ok(&slot.features.as_slice().w()?[..count])
    }
}

/// A kernel's argument as it is handed over.
enum Value {
    Address(u64),
    U32(u32),
    F32(f32),
}

impl Cuda {
    fn launch(&self, step: &Step<'_, Cuda>) -> Result<()> {
        let launch = step.launch(self.half);
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
        // Sound because the arguments are the kernel's parameters, as the tests that run its source show.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }

    fn value(&self, argument: &Argument<'_, Cuda>) -> Value {
        Value::Address(match argument {
            Argument::Bytes(buffer) => self.address(buffer, 0),
            Argument::Halves(from) => self.address(from.buffer, from.start),
            Argument::Places(buffer) => self.address(buffer, 0),
            Argument::Floats(buffer) => self.address(buffer, 0),
            Argument::U32(n) => return Value::U32(*n),
            Argument::F32(x) => return Value::F32(*x),
        })
    }
}
