// Passes over values one by one, 16 bytes at a time.
#include "device.cuh"

// Converts pixels to the patch weights' inputs: (byte - 128) / 64, exact in 16 bits. The rest of normalisation is in
// the weights.
template <typename T> __device__ __forceinline__ void pixels(const uint4 *bytes, uint4 *out, uint32_t vectors) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    const uint4 sixteen = bytes[i];
    const uint32_t words[4] = {sixteen.x, sixteen.y, sixteen.z, sixteen.w};
    uint32_t pairs[8];
#pragma unroll
    for (int p = 0; p < 8; p++) {
        const uint32_t two = words[p / 2] >> p % 2 * 16;
        pairs[p] = packed<T>(((int)(two & 255) - 128) / 64.0f, ((int)(two >> 8 & 255) - 128) / 64.0f);
    }
    out[2 * i] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    out[2 * i + 1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
}

// Computes x (rows, 8 columns) = silu(x + bias), in place.
template <typename T>
__device__ __forceinline__ void bias_silu(uint4 *x, const float4 *bias, uint32_t vectors, uint32_t columns) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= vectors) return;
    const uint32_t column = i % columns;
    const uint4 eight = x[i];
    uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
    const float4 low = bias[2 * column], high = bias[2 * column + 1];
    const float add[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int p = 0; p < 4; p++) {
        float2 value = unpacked<T>(pairs[p]);
        value.x += add[2 * p];
        value.y += add[2 * p + 1];
        const float LOG2_E = 1.4426950408889634f;
        pairs[p] = packed<T>(quotient(value.x, 1 + power_of_2(-LOG2_E * value.x)),
                             quotient(value.y, 1 + power_of_2(-LOG2_E * value.y)));
    }
    x[i] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

#define ELEMENTWISE(T)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(256) pixels_##T(const uint4 *bytes, uint4 *out, uint32_t vectors) {        \
        pixels<T>(bytes, out, vectors);                                                                                     \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256) bias_silu_##T(uint4 *x, const float4 *bias, uint32_t vectors,         \
                                                                    uint32_t columns) {                                     \
        bias_silu<T>(x, bias, vectors, columns);                                                                            \
    }
ELEMENTWISE(f16)
ELEMENTWISE(bf16)
