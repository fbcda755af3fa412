#!/usr/bin/env python3
"""Makes stubs that the CUDA programs are linked with in place of the CUDA libraries, and prints their folder.

usage: cuda-stubs.py TOOLKIT CACHE

candle-core links programs with libcuda, libcublas and so on: on a machine without these they would neither link nor start. Here each function that cudarc declares is a stub. Its first call opens the library that the toolkit's version
names and finds the function there; it and all later calls jump to it. Where there is no such library or function, each call
returns the library's code for that, and stderr says once which library lacks what. Functions that return no status have no
stub: a program that calls one does not link.

The folder's name is a digest of its content. Another cudarc or another toolkit makes another one, and cargo links anew.
"""
import hashlib
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
# Name at the linker; module of cudarc; names of functions; name at run time, where {} is the toolkit's major version; type of
# a status, and the one of them that is returned without the library.
LIBRARIES = (
    ("cuda", "driver", r"cu[A-Z]\w*", "libcuda.so.1", "CUresult", "CUDA_ERROR_NO_DEVICE"),
    ("cublas", "cublas", r"cublas(?!Lt)\w+", "libcublas.so.{}", "cublasStatus_t", "CUBLAS_STATUS_NOT_INITIALIZED"),
    ("cublasLt", "cublaslt", r"cublasLt\w+", "libcublasLt.so.{}", "cublasStatus_t", "CUBLAS_STATUS_NOT_INITIALIZED"),
    ("curand", "curand", r"curand\w+", "libcurand.so.10", "curandStatus_t", "CURAND_STATUS_INITIALIZATION_FAILED"),
    ("nvrtc", "nvrtc", r"nvrtc\w+", "libnvrtc.so.{}", "nvrtcResult", "NVRTC_ERROR_INTERNAL_ERROR"),
)

FIND = Template(r"""
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#define HIDDEN __attribute__((visibility("hidden")))

static const char *const functions[] = {$functions};
HIDDEN void *${lib}_found[$count];

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *library;
static int absent(void) { return $code; }

static void open_library(void) {
    library = dlopen("$soname", RTLD_LAZY | RTLD_LOCAL);
    if (!library) fprintf(stderr, "cuda: %s\n", dlerror());
}

/* Two threads may find a function at once: they find the same. */
HIDDEN void *${lib}_find(unsigned i) {
    pthread_once(&once, open_library);
    void *function = library ? dlsym(library, functions[i]) : 0;
    if (library && !function) fprintf(stderr, "cuda: %s\n", dlerror());
    if (!function) function = (void *)absent;
    __atomic_store_n(&${lib}_found[i], function, __ATOMIC_RELEASE);
    return function;
}
""")

# The first call keeps whatever may carry an argument by the System V ABI: six registers, al, and eight vectors.
GENERAL = ("rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax")
SAVE = [f"mov %{r}, {8 * i}(%rsp)" for i, r in enumerate(GENERAL)] + [f"movups %xmm{i}, {64 + 16 * i}(%rsp)" for i in range(8)]
RESTORE = [f"mov {8 * i}(%rsp), %{r}" for i, r in enumerate(GENERAL)] + [f"movups {64 + 16 * i}(%rsp), %xmm{i}" for i in range(8)]
JUMP = Template(r"""
.section .note.GNU-stack, "", @progbits
.text
first_call:
    push %rbp
    mov %rsp, %rbp
    and $$-16, %rsp
    sub $$192, %rsp
    $save
    mov %r11d, %edi
    call ${lib}_find
    mov %rax, %r11
    $restore
    leave
    jmp *%r11

.macro stub function, i
    .globl \function
    .hidden \function
    .type \function, @function
\function:
    mov ${lib}_found + 8 * \i(%rip), %r11
    test %r11, %r11
    jz 1f
    jmp *%r11
1:  mov $$\i, %r11d
    jmp first_call
.endm
$stubs
""")


def output(*command):
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def cudarc():
    packages = json.loads(output("cargo", "metadata", "--locked", "--format-version=1", "--all-features", f"--filter-platform={TARGET}"))
    (manifest,) = (p["manifest_path"] for p in packages["packages"] if p["name"] == "cudarc")
    return Path(manifest).parent / "src"


def sources(source, major):
    """Returns the text of each file, by its name."""
    files = {}
    for lib, module, pattern, soname, status, code in LIBRARIES:
        text = (source / module / "sys" / "mod.rs").read_text()
        functions = sorted(set(re.findall(rf"\bfn ({pattern})\(.*\) -> {status};", text)))
        values = set(re.findall(rf"\b{code} = (\d+)", text))
        if not functions or len(values) != 1:
            sys.exit(f"error: cudarc's {module} does not declare its functions as this script expects: {source}")
        files[f"{lib}.c"] = FIND.substitute(
            lib=lib, soname=soname.format(major), code=values.pop(), count=len(functions), functions=", ".join(f'"{f}"' for f in functions)
        )
        files[f"{lib}.S"] = JUMP.substitute(
            lib=lib, save="\n    ".join(SAVE), restore="\n    ".join(RESTORE), stubs="\n".join(f"stub {f}, {i}" for i, f in enumerate(functions))
        )
    return files


def compile_into(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text)
    for lib, *_ in LIBRARIES:
        objects = []
        for end in ("c", "S"):
            objects.append(folder / f"{lib}-{end}.o")
            output("cc", "-c", "-O2", "-fPIC", "-Wall", "-o", objects[-1], folder / f"{lib}.{end}")
        output("ar", "rcs", folder / "lib" / f"lib{lib}.a", *objects)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if platform.machine() != "x86_64":
        sys.exit(f"error: the stubs are x86-64, this machine is {platform.machine()}")
    toolkit, cache = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    # candle-kernels needs the runtime's functions too. The static runtime looks for a driver by itself.
    runtimes = [toolkit / lib / "libcudart_static.a" for lib in ("lib64", "lib", "targets/x86_64-linux/lib", "lib/x86_64-linux-gnu")]
    runtime = next((r for r in runtimes if r.exists()), None)
    if not runtime:
        sys.exit(f"error: {toolkit} has no libcudart_static.a")
    release = output(toolkit / "bin" / "nvcc", "--version")
    files = sources(cudarc(), re.search(r"release (\d+)\.", release)[1])

    digest = hashlib.sha256("\0".join((release, str(runtime), *files.values())).encode()).hexdigest()
    stubs = cache / f"cuda-stubs-{digest[:16]}"
    if not stubs.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "stubs"
            (made / "lib").mkdir(parents=True)
            (made / "lib" / "libcudart.a").symlink_to(runtime)
            compile_into(made, files)
            try:
                made.rename(stubs)
            except OSError:  # another one was faster
                if not stubs.exists():
                    raise
    print(stubs)


if __name__ == "__main__":
    main()
