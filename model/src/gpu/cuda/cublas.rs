//! Products by cuBLASLt: `y = x W^T + b` with sums in f32. The algorithm is chosen once for a weight, for its largest
//! batch, and used for smaller batches too, so that a row's numbers do not depend on the number of rows.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Result;
use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::cublaslt::result::{self, CublasError};
use candle_core::cuda::cudarc::cublaslt::sys::{
    self, cublasComputeType_t, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t as Attribute,
    cublasLtMatmulPreferenceAttributes_t, cudaDataType,
};
use candle_core::cuda::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use crate::gpu::backend::{Element, Half};

/// Workspace of cuBLASLt besides a product's matrices: the size that NVIDIA recommends for Hopper.
const WORKSPACE_BYTES: usize = 32 << 20;

/// cuBLASLt on one stream, whose products share a workspace.
pub(super) struct CublasLt {
    handle: Handle,
    stream: Arc<CudaStream>,
    workspace: CudaSlice<u8>,
    half: Half,
    /// Algorithms by kind of product and number of rows.
    plans: Mutex<HashMap<(MatmulKey, usize), sys::cublasLtMatmulAlgo_t>>,
}

/// One product, its matrices given by their addresses.
pub(super) struct Product {
    /// (outputs, inputs)
    pub(super) weight: u64,
    /// (outputs)
    pub(super) bias: Option<u64>,
    /// (rows, inputs), rows `stride` elements apart.
    pub(super) x: u64,
    /// (rows, outputs)
    pub(super) out: u64,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) rows: usize,
    pub(super) rows_max: usize,
    pub(super) stride: usize,
}

/// The properties of a product that determine its algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MatmulKey {
    outputs: usize,
    inputs: usize,
    rows_max: usize,
    stride: usize,
    is_biased: bool,
    is_half: bool,
    is_half_out: bool,
}

struct Handle(sys::cublasLtHandle_t);

// NVIDIA: a handle may be used by several threads at once.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // An error while dropping cannot be reported.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

/// The descriptors of a product, which are destroyed with it.
struct MatmulDescriptors {
    product: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
}

impl Drop for MatmulDescriptors {
    fn drop(&mut self) {
        unsafe {
            let _ = result::destroy_matmul_desc(self.product);
            for layout in [self.weight, self.x, self.out] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

fn failed(error: CublasError) -> candle_core::Error {
    candle_core::Error::Msg(format!("cuBLASLt: {error:?}")).bt()
}

impl CublasLt {
    pub(super) fn new(stream: Arc<CudaStream>, half: Half) -> Result<CublasLt> {
        stream.context().bind_to_thread().w()?;
        Ok(CublasLt {
            handle: Handle(result::create_handle().map_err(failed)?),
            workspace: stream.alloc_zeros(WORKSPACE_BYTES).w()?,
            stream,
            half,
            plans: Mutex::default(),
        })
    }

    fn data_type(&self, is_half: bool) -> cudaDataType {
        match (is_half, self.half) {
            (false, _) => cudaDataType::CUDA_R_32F,
            (true, Half::F16) => cudaDataType::CUDA_R_16F,
            (true, Half::Bf16) => cudaDataType::CUDA_R_16BF,
        }
    }

    /// Describes a product. Row-major matrices are column-major ones transposed: out^T (outputs, rows) = W (outputs,
    /// inputs) x^T (inputs, rows).
    fn descriptors(
        &self,
        kind: MatmulKey,
        rows: usize,
        bias: Option<u64>,
    ) -> std::result::Result<MatmulDescriptors, CublasError> {
        let set = |product, attribute, value: *const c_void, bytes| unsafe {
            result::set_matmul_desc_attribute(product, attribute, value, bytes)
        };
        let layout = |is_half, rows: usize, columns: usize, stride: usize| {
            result::create_matrix_layout(self.data_type(is_half), rows as u64, columns as u64, stride as i64)
        };
        let descriptors = MatmulDescriptors {
            // Also for f32, without TF32, which is another compute type.
            product: result::create_matmul_desc(cublasComputeType_t::CUBLAS_COMPUTE_32F, cudaDataType::CUDA_R_32F)?,
            weight: layout(kind.is_half, kind.inputs, kind.outputs, kind.inputs)?,
            x: layout(kind.is_half, kind.inputs, rows, kind.stride)?,
            out: layout(kind.is_half_out, kind.outputs, rows, kind.outputs)?,
        };
        let transposed = 1i32; // CUBLAS_OP_T
        set(
            descriptors.product,
            Attribute::CUBLASLT_MATMUL_DESC_TRANSA,
            std::ptr::from_ref(&transposed).cast(),
            size_of_val(&transposed),
        )?;
        if let Some(bias) = bias {
            let epilogue = cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            set(
                descriptors.product,
                Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                std::ptr::from_ref(&epilogue).cast(),
                size_of_val(&epilogue),
            )?;
            set(
                descriptors.product,
                Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                std::ptr::from_ref(&bias).cast(),
                size_of_val(&bias),
            )?;
        }
        Ok(descriptors)
    }

    /// Returns the algorithm that the library recommends for this number of rows.
    fn heuristic_algorithm(
        &self,
        descriptors: &MatmulDescriptors,
    ) -> std::result::Result<sys::cublasLtMatmulAlgo_t, CublasError> {
        unsafe {
            let preference = result::create_matmul_pref()?;
            let workspace = cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let bytes = WORKSPACE_BYTES;
            let found = result::set_matmul_pref_attribute(
                preference,
                workspace,
                std::ptr::from_ref(&bytes).cast(),
                size_of_val(&bytes),
            )
            .and_then(|()| {
                let MatmulDescriptors { product, weight, x, out } = *descriptors;
                result::get_matmul_algo_heuristic(self.handle.0, product, weight, x, out, out, preference)
            });
            result::destroy_matmul_pref(preference)?;
            Ok(found?.algo)
        }
    }

    /// Returns the algorithm of a kind of products: the one recommended for the most rows, or, if it does not support
    /// this number of rows, the one recommended for them.
    fn plan(
        &self,
        kind: MatmulKey,
        product: &Product,
        descriptors: &MatmulDescriptors,
    ) -> std::result::Result<sys::cublasLtMatmulAlgo_t, CublasError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(kind, product.rows)) {
            return Ok(*plan);
        }
        let most = match plans.get(&(kind, kind.rows_max)) {
            Some(most) => *most,
            None => self.heuristic_algorithm(&self.descriptors(kind, kind.rows_max, product.bias)?)?,
        };
        plans.insert((kind, kind.rows_max), most);
        let plan = if self.supports(&most, descriptors) { most } else { self.heuristic_algorithm(descriptors)? };
        plans.insert((kind, product.rows), plan);
        Ok(plan)
    }

    /// Returns whether an algorithm supports this product.
    fn supports(&self, plan: &sys::cublasLtMatmulAlgo_t, descriptors: &MatmulDescriptors) -> bool {
        let MatmulDescriptors { product, weight, x, out } = *descriptors;
        let mut checked: sys::cublasLtMatmulHeuristicResult_t = unsafe { std::mem::zeroed() };
        let status =
            unsafe { sys::cublasLtMatmulAlgoCheck(self.handle.0, product, weight, x, out, out, plan, &mut checked) };
        status.result().is_ok() && checked.workspaceSize <= WORKSPACE_BYTES
    }

    /// Computes a product; I is the element of x and weight, O that of out.
    pub(super) fn matmul<I: Element, O: Element>(&self, product: &Product) -> Result<()> {
        let Product { outputs, inputs, rows_max, stride, bias, .. } = *product;
        let is_biased = bias.is_some();
        let kind =
            MatmulKey { outputs, inputs, rows_max, stride, is_biased, is_half: I::IS_HALF, is_half_out: O::IS_HALF };
        self.stream.context().bind_to_thread().w()?;
        self.multiply(kind, product).map_err(failed)
    }

    fn multiply(&self, kind: MatmulKey, product: &Product) -> std::result::Result<(), CublasError> {
        let descriptors = self.descriptors(kind, product.rows, product.bias)?;
        let plan = self.plan(kind, product, &descriptors)?;
        let (one, zero) = (1f32, 0f32);
        let (workspace, _order) = self.workspace.device_ptr(&self.stream);
        unsafe {
            result::matmul(
                self.handle.0,
                descriptors.product,
                std::ptr::from_ref(&one).cast(),
                std::ptr::from_ref(&zero).cast(),
                product.weight as *const c_void,
                descriptors.weight,
                product.x as *const c_void,
                descriptors.x,
                product.out as *const c_void,
                descriptors.out,
                product.out as *mut c_void,
                descriptors.out,
                &plan,
                workspace as *mut c_void,
                WORKSPACE_BYTES,
                self.stream.cu_stream().cast(),
            )
        }
    }
}
