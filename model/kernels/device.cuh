// Building blocks of the kernels: 16-bit floats, a warp's sums, and the tensor cores' tiles.
//
// The same sources are compiled for a CPU, where host/cuda.h stands in for the GPU, so that indices, masks and barriers
// are tested on machines without one.
#pragma once
#ifdef DQA_HOST
#include "host/cuda.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

typedef __half f16;
typedef __nv_bfloat16 bf16;

// A block's shared memory, as large as the launch asks for.
#define SHARED(name) extern __shared__ uint4 name[]

__device__ __forceinline__ float to_float(f16 x) { return __half2float(x); }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void round_to(f16 &to, float x) { to = __float2half_rn(x); }
__device__ __forceinline__ void round_to(bf16 &to, float x) { to = __float2bfloat16_rn(x); }

// Returns 2^x within 2 units in the last place.
__device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float quotient(float x, float y) { return __fdividef(x, y); }

// Adds a (16 x 16) b (16 x 8) to c (16 x 8), sums in f32. Of row g = lane / 4 and pair t = lane % 4, a thread holds a:
// (g, 2t) (g + 8, 2t) (g, 2t + 8) (g + 8, 2t + 8); b: (2t, g) (2t + 8, g); c: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8,
// 2t + 1).
__device__ __forceinline__ void multiply_tile(float *c, const uint32_t *a, const uint32_t *b, f16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void multiply_tile(float *c, const uint32_t *a, const uint32_t *b, bf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads four 8 x 8 matrices from shared memory: lanes 8 i to 8 i + 7 name the rows of matrix i. A thread gets columns
// 2t and 2t + 1 of each row g; or, transposed, rows 2t and 2t + 1 of column g.
__device__ __forceinline__ void load_tiles(uint32_t *to, const void *row) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
}
__device__ __forceinline__ void load_tiles_transposed(uint32_t *to, const void *row) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
}
#endif

template <typename T> __device__ __forceinline__ T rounded(float x) {
    T to;
    round_to(to, x);
    return to;
}

// Packs two values into one register, the first into its lower half.
template <typename T> __device__ __forceinline__ uint32_t packed(float first, float second) {
    union { T pair[2]; uint32_t bits; } both;
    round_to(both.pair[0], first);
    round_to(both.pair[1], second);
    return both.bits;
}

template <typename T> __device__ __forceinline__ float2 unpacked(uint32_t bits) {
    union { uint32_t bits; T pair[2]; } both;
    both.bits = bits;
    return make_float2(to_float(both.pair[0]), to_float(both.pair[1]));
}

// Returns the sum over a warp, in each of its threads, in the same order in all of them.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
    return x;
}
