//! Runs the kernels' own sources on the CPU: `model/kernels/host` stands in for the GPU. Each operation is a process of
//! its own, with the launch and the arguments that a GPU would get. Without a C++ compiler the tests print that they
//! are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{Error, Result};
use tempfile::TempDir;

use super::backend::{Element, GpuBackend, Half, KernelOp, LinearBuffers, MatrixRows};
use super::kernel_checks;
use super::kernel_launch::Argument;
use super::reference::{HostBuffer, Reference, ReferenceSlot};

/// Kernels on the CPU; products are computed by the reference.
struct Emulated {
    reference: Reference,
    program: &'static Path,
}

/// Returns the kernels compiled for this machine; `None` without a compiler.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("kernels");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let compile = |sanitizers: &[&str]| {
            let mut compiler = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()));
            compiler.args(["-std=c++17", "-O1", "-w", "-DDQA_HOST"]).args(sanitizers);
            compiler.arg("-I").arg(&sources).arg(sources.join("host/main.cpp")).arg("-o").arg(&program).output()
        };
        // Without a compiler there is no test; without the sanitizers' libraries there is a weaker one.
        let first = compile(&["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]).ok()?;
        if !first.status.success() {
            let second = compile(&[]).unwrap();
            assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
        }
        Some((folder, program))
    });
    if built.is_none() {
        eprintln!("skipped: no C++ compiler (CXX, or c++) to compile the kernels for this machine with");
    }
    built.as_ref().map(|(_, program)| program.as_path())
}

impl Emulated {
    fn new(half: Half) -> Option<Emulated> {
        Some(Emulated { reference: Reference::new(half), program: program()? })
    }
}

/// Restores a buffer from a file's content.
type Restore<'a> = Box<dyn Fn(&[u8]) + 'a>;

/// A buffer as a file, and the way back: the process may have changed it.
struct File<'a> {
    path: PathBuf,
    back: Restore<'a>,
}

fn file<'a, E: Element>(folder: &Path, n: usize, buffer: &'a HostBuffer<E>) -> File<'a> {
    let path = folder.join(n.to_string());
    std::fs::write(&path, bytemuck::cast_slice::<E, u8>(&buffer.lock())).unwrap();
    let back = move |bytes: &[u8]| buffer.lock().copy_from_slice(&bytemuck::pod_collect_to_vec::<u8, E>(bytes));
    File { path, back: Box::new(back) }
}

impl GpuBackend for Emulated {
    type Buffer<E: Element> = HostBuffer<E>;
    type Slot = ReferenceSlot;

    fn half(&self) -> Half {
        self.reference.half()
    }

    fn processors(&self) -> Option<usize> {
        None
    }

    fn shared_bytes_max(&self) -> usize {
        usize::MAX
    }

    fn is_out_of_memory(_: &Error) -> bool {
        false
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<HostBuffer<E>> {
        self.reference.alloc(len)
    }

    fn upload<E: Element>(&self, values: &[E]) -> Result<HostBuffer<E>> {
        self.reference.upload(values)
    }

    fn download<E: Element>(&self, buffer: &HostBuffer<E>) -> Result<Vec<E>> {
        self.reference.download(buffer)
    }

    fn run(&self, op: &KernelOp<'_, Emulated>) -> Result<()> {
        let launch = op.launch(self.half());
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(self.program);
        // Memory that a process leaves behind is not a leak.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        command.arg(&launch.kernel);
        command.args([launch.blocks, launch.threads, launch.shared_bytes].map(|n| n.to_string()));
        // A buffer that is passed twice is one file: a kernel writes in place.
        let mut files: Vec<(*const (), File<'_>)> = Vec::new();
        for argument in &launch.arguments {
            let (address, start) = match argument {
                Argument::U32(n) => {
                    command.arg(n.to_string());
                    continue;
                }
                Argument::F32(x) => {
                    command.arg(format!("{x:e}"));
                    continue;
                }
                Argument::Bytes(buffer) => (std::ptr::from_ref(*buffer).cast(), 0),
                Argument::Halves(from) => (std::ptr::from_ref(from.buffer).cast(), 2 * from.start),
                Argument::RowIndices(buffer) => (std::ptr::from_ref(*buffer).cast(), 0),
                Argument::Floats(buffer) => (std::ptr::from_ref(*buffer).cast(), 0),
            };
            let known = files.iter().position(|(known, _)| *known == address);
            let place = known.unwrap_or_else(|| {
                let n = files.len();
                let new = match argument {
                    Argument::Bytes(buffer) => file(folder.path(), n, buffer),
                    Argument::Halves(from) => file(folder.path(), n, from.buffer),
                    Argument::RowIndices(buffer) => file(folder.path(), n, buffer),
                    Argument::Floats(buffer) => file(folder.path(), n, buffer),
                    Argument::U32(_) | Argument::F32(_) => unreachable!("numbers are not buffers"),
                };
                files.push((address, new));
                n
            });
            command.arg(format!("@{}+{start}", files[place].1.path.display()));
        }
        let output = command.output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(Error::Msg(format!("{} ended with {}: {stderr}", launch.kernel, output.status)));
        }
        for (_, file) in files {
            (file.back)(&std::fs::read(&file.path)?);
        }
        Ok(())
    }

    fn matmul<I: Element, O: Element>(
        &self,
        linear: &LinearBuffers<Emulated, I>,
        x: MatrixRows<'_, HostBuffer<I>>,
        out: &HostBuffer<O>,
    ) -> Result<()> {
        let copy = |buffer: &HostBuffer<u16>| self.reference.upload(&buffer.lock());
        let linear = LinearBuffers {
            weight: self.reference.upload(&linear.weight.lock())?,
            bias: linear.bias.as_ref().map(copy).transpose()?,
            outputs: linear.outputs,
            inputs: linear.inputs,
            rows_max: linear.rows_max,
        };
        self.reference.matmul(&linear, x, out)
    }

    fn alloc_slot(&self, bytes: usize, row_indices: usize, features: usize) -> Result<ReferenceSlot> {
        self.reference.alloc_slot(bytes, row_indices, features)
    }

    fn staging_buffers<'a>(&self, slot: &'a mut ReferenceSlot) -> Result<(&'a mut [u8], &'a mut [u32])> {
        self.reference.staging_buffers(slot)
    }

    fn upload_slot(&self, slot: &mut ReferenceSlot, bytes: usize, row_indices: usize) -> Result<()> {
        self.reference.upload_slot(slot, bytes, row_indices)
    }

    fn slot_inputs<'a>(&self, slot: &'a ReferenceSlot) -> (&'a HostBuffer<u8>, &'a HostBuffer<u32>) {
        self.reference.slot_inputs(slot)
    }

    fn download_features(&self, slot: &mut ReferenceSlot, features: &HostBuffer<f32>, count: usize) -> Result<()> {
        self.reference.download_features(slot, features, count)
    }

    fn features_ready(&self, slot: &ReferenceSlot) -> Result<bool> {
        self.reference.features_ready(slot)
    }

    fn synchronize(&self) -> Result<()> {
        self.reference.synchronize()
    }

    fn wait_for_features<'a>(&self, slot: &'a mut ReferenceSlot, count: usize) -> Result<&'a [f32]> {
        self.reference.wait_for_features(slot, count)
    }
}

#[test]
fn kernels_compute_what_the_reference_does() {
    for half in [Half::F16, Half::Bf16] {
        let Some(backend) = Emulated::new(half) else { return };
        let checks = kernel_checks::run_all(&backend, false).unwrap();
        let failed: Vec<_> = checks.iter().filter(|check| !check.holds()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let largest = checks.iter().map(|check| check.difference / check.allowed.max(1e-12)).fold(0.0, f64::max);
        assert!(largest > 0.0, "they are two computations");
    }
}
