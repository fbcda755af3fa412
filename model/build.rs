//! Compiles the CUDA kernels if the feature `cuda` is on: `kernels/*.cu` to PTX, as text in the program.

fn main() {
    println!("cargo:rerun-if-changed=kernels");
    #[cfg(feature = "cuda")]
    cuda();
}

#[cfg(feature = "cuda")]
fn cuda() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    let kernels = cudaforge::KernelBuilder::new()
        .source_files(["kernels/attention.cu", "kernels/elementwise.cu", "kernels/norm.cu"])
        .include_path("kernels")
        .watch(["kernels/device.cuh"])
        .out_dir(&out)
        .args(["-O3", "-std=c++17"])
        .build_ptx();
    let kernels = kernels.unwrap_or_else(|error| panic!("the CUDA kernels do not compile: {error}"));
    kernels.write(out.join("kernels.rs")).unwrap_or_else(|error| panic!("cannot write the kernels' list: {error}"));
}
