// Emulates a GPU on a CPU: the part of CUDA that the kernels use, in plain C++, so that they can be run and tested without a GPU.
//
// A block's threads are fibers that take turns. In an operation of a warp, all 32 threads meet at a barrier, write their
// values, and read their results. A block starts with shared memory full of NaN. Slow, but its order is deterministic.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__

struct Dim {
    uint32_t x;
};
struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

namespace host {
struct Thread;
extern Thread *current;
extern Dim block, block_size, grid_size;
extern uint4 *shared;
Dim thread_of_current();
void meet_block();
void meet_warp();
// The values that the lanes of the current thread's warp have written.
struct Lane {
    uint32_t a[4], b[2];
    const void *row;
    float x;
};
Lane *lanes();
uint32_t lane();
} // namespace host

#define threadIdx (host::thread_of_current())
#define blockIdx (host::block)
#define blockDim (host::block_size)
#define gridDim (host::grid_size)

#define SHARED(name) uint4 *name = host::shared

inline void __syncthreads() { host::meet_block(); }

inline float __shfl_xor_sync(uint32_t, float x, int apart) {
    host::lanes()[host::lane()].x = x;
    host::meet_warp();
    float other = host::lanes()[host::lane() ^ apart].x;
    host::meet_warp();
    return other;
}

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};

inline float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

inline float to_float(bf16 x) { return of_bits((uint32_t)x.bits << 16); }
inline float to_float(f16 x) {
    const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
    if (exponent == 31) return of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) return of_bits(sign | bits_of(std::ldexp((float)mantissa, -24)));
    return of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}
// Both round to nearest, ties to even.
inline void round_to(bf16 &to, float x) {
    const uint32_t bits = bits_of(x);
    to.bits = std::isnan(x) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void round_to(f16 &to, float x) {
    const uint16_t sign = bits_of(x) >> 16 & 0x8000;
    const float size = std::fabs(x);
    if (std::isnan(x)) {
        to.bits = 0x7fff;
    } else if (size >= 65520) {
        to.bits = sign | 0x7c00;
    } else if (size < of_bits(113u << 23)) {
        to.bits = sign | (uint16_t)std::nearbyint(std::ldexp(size, 24));
    } else {
        const uint32_t bits = bits_of(size);
        to.bits = sign | (uint16_t)((bits + 0xfff + (bits >> 13 & 1) - (112u << 23)) >> 13);
    }
}

inline float power_of_2(float x) { return std::exp2(x); }
inline float quotient(float x, float y) { return x / y; }

// Returns value `column` of a register pair.
template <typename T> float half_of(const uint32_t *registers, int column) {
    T pair[2];
    memcpy(pair, registers, 4);
    return to_float(pair[column]);
}

template <typename T> void multiply_tile(float *c, const uint32_t *a, const uint32_t *b, T) {
    host::Lane *lanes = host::lanes();
    const uint32_t lane = host::lane();
    memcpy(lanes[lane].a, a, 16);
    memcpy(lanes[lane].b, b, 8);
    host::meet_warp();
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const int quad = k % 8 / 2;
            const float left = half_of<T>(&lanes[row % 8 * 4 + quad].a[row / 8 + k / 8 * 2], k % 2);
            const float right = half_of<T>(&lanes[column * 4 + quad].b[k / 8], k % 2);
            c[i] += left * right;
        }
    }
    host::meet_warp();
}

template <bool TRANSPOSED> void load(uint32_t *to, const void *row) {
    if ((uintptr_t)row % 16 != 0) {
        fprintf(stderr, "a row of a tile is not aligned to 16 bytes\n");
        exit(3);
    }
    host::Lane *lanes = host::lanes();
    const uint32_t lane = host::lane();
    lanes[lane].row = row;
    host::meet_warp();
    for (int tile = 0; tile < 4; tile++) {
        uint16_t pair[2];
        for (int i = 0; i < 2; i++) {
            const int across = lane / 4, along = lane % 4 * 2 + i;
            const int r = TRANSPOSED ? along : across, c = TRANSPOSED ? across : along;
            pair[i] = static_cast<const uint16_t *>(lanes[8 * tile + r].row)[c];
        }
        memcpy(&to[tile], pair, 4);
    }
    host::meet_warp();
}
inline void load_tiles(uint32_t *to, const void *row) { load<false>(to, row); }
inline void load_tiles_transposed(uint32_t *to, const void *row) { load<true>(to, row); }
