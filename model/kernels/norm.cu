// Passes over rows that end in a layer norm: a warp holds a row, its values in registers from the first read to the
// last write.
#include "device.cuh"

// A row of 64 PAIRS values: thread `lane` holds values 64 i + 2 lane and the next one.
template <int PAIRS> struct Row {
    float2 at[PAIRS];

    // Computes (x - mean) / sqrt(variance + eps) weight + bias.
    __device__ __forceinline__ void norm(const float2 *weight, const float2 *bias, float eps, uint32_t lane) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < PAIRS; i++) sum += at[i].x + at[i].y;
        const float mean = warp_sum(sum) / (64 * PAIRS);
        float squares = 0;
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            at[i].x -= mean;
            at[i].y -= mean;
            squares += at[i].x * at[i].x + at[i].y * at[i].y;
        }
        const float scale = 1 / sqrtf(warp_sum(squares) / (64 * PAIRS) + eps);
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            const float2 w = weight[32 * i + lane], b = bias[32 * i + lane];
            at[i].x = at[i].x * scale * w.x + b.x;
            at[i].y = at[i].y * scale * w.y + b.y;
        }
    }

    __device__ __forceinline__ void write(float *to, uint32_t lane) const {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) reinterpret_cast<float2 *>(to)[32 * i + lane] = at[i];
    }

    template <typename T> __device__ __forceinline__ void write(T *to, uint32_t lane) const {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) reinterpret_cast<uint32_t *>(to)[32 * i + lane] = packed<T>(at[i].x, at[i].y);
    }
};

// Computes x (rows, width), `stride` apart, += product + bias, except where a row's position in its window (of
// `tokens`) is `active` or later; then normed (rows, width) = norm(x).
template <typename T, typename Normed, int PAIRS>
__device__ __forceinline__ void residual_norm(const T *product, const float *bias, float *x, uint32_t stride,
                                              const float *weight, const float *norm_bias, float eps, Normed *normed,
                                              uint32_t rows, uint32_t tokens, uint32_t active) {
    const uint32_t lane = threadIdx.x % 32, r = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (r >= rows) return;
    const size_t width = 64 * PAIRS;
    float2 *from = reinterpret_cast<float2 *>(x + (size_t)r * stride);
    Row<PAIRS> row;
#pragma unroll
    for (int i = 0; i < PAIRS; i++) row.at[i] = from[32 * i + lane];
    if (r % tokens < active) {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            const float2 add = unpacked<T>(reinterpret_cast<const uint32_t *>(product + r * width)[32 * i + lane]);
            const float2 b = reinterpret_cast<const float2 *>(bias)[32 * i + lane];
            row.at[i].x += add.x + b.x;
            row.at[i].y += add.y + b.y;
            from[32 * i + lane] = row.at[i];
        }
    }
    row.norm(reinterpret_cast<const float2 *>(weight), reinterpret_cast<const float2 *>(norm_bias), eps, lane);
    row.write(normed + r * width, lane);
}

// The flag of a row index that refers to a constant row instead of an embedding.
constexpr uint32_t CONSTANT = 0x80000000u;

// Assembles windows of `tokens` rows from the embeddings of their patches: x (rows, width) = pre-norm(embedded +
// position), or a constant row unchanged; then normed = norm(x). A window's rows after the first have the positions 0
// to patches - 1, once for each view.
template <typename T, int PAIRS>
__device__ __forceinline__ void assemble(const uint32_t *places, const float *embedded, const float *positions,
                                         const float *constants, const float *pre_weight, const float *pre_bias,
                                         const float *weight, const float *bias, float eps, float *x, T *normed,
                                         uint32_t rows, uint32_t tokens, uint32_t patches) {
    const uint32_t lane = threadIdx.x % 32, r = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (r >= rows) return;
    const size_t width = 64 * PAIRS;
    const uint32_t place = places[r];
    Row<PAIRS> row;
    if (place & CONSTANT) {
        const float2 *from = reinterpret_cast<const float2 *>(constants + (place & ~CONSTANT) * width);
#pragma unroll
        for (int i = 0; i < PAIRS; i++) row.at[i] = from[32 * i + lane];
    } else {
        const uint32_t position = (r % tokens + patches - 1) % patches;
        const float2 *from = reinterpret_cast<const float2 *>(embedded + place * width);
        const float2 *add = reinterpret_cast<const float2 *>(positions + position * width);
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            row.at[i].x = from[32 * i + lane].x + add[32 * i + lane].x;
            row.at[i].y = from[32 * i + lane].y + add[32 * i + lane].y;
        }
        row.norm(reinterpret_cast<const float2 *>(pre_weight), reinterpret_cast<const float2 *>(pre_bias), eps, lane);
    }
    row.write(x + r * width, lane);
    row.norm(reinterpret_cast<const float2 *>(weight), reinterpret_cast<const float2 *>(bias), eps, lane);
    row.write(normed + r * width, lane);
}

#define NORMS(T, WIDTH)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(256) residual_norm_##T##_##WIDTH(                                          \
        const T *product, const float *bias, float *x, uint32_t stride, const float *weight, const float *norm_bias,        \
        float eps, T *normed, uint32_t rows, uint32_t tokens, uint32_t active) {                                            \
        residual_norm<T, T, WIDTH / 64>(product, bias, x, stride, weight, norm_bias, eps, normed, rows, tokens, active);    \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256) residual_norm_f32_##T##_##WIDTH(                                      \
        const T *product, const float *bias, float *x, uint32_t stride, const float *weight, const float *norm_bias,        \
        float eps, float *normed, uint32_t rows, uint32_t tokens, uint32_t active) {                                        \
        residual_norm<T, float, WIDTH / 64>(product, bias, x, stride, weight, norm_bias, eps, normed, rows, tokens,         \
                                            active);                                                                        \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(256) assemble_##T##_##WIDTH(                                               \
        const uint32_t *places, const float *embedded, const float *positions, const float *constants,                      \
        const float *pre_weight, const float *pre_bias, const float *weight, const float *bias, float eps, float *x,        \
        T *normed, uint32_t rows, uint32_t tokens, uint32_t patches) {                                                      \
        assemble<T, WIDTH / 64>(places, embedded, positions, constants, pre_weight, pre_bias, weight, bias, eps, x, normed, \
                                rows, tokens, patches);                                                                     \
    }
// The tests' models, ViT-B and ViT-L.
NORMS(f16, 128)
NORMS(f16, 192)
NORMS(f16, 768)
NORMS(f16, 1024)
NORMS(bf16, 128)
NORMS(bf16, 192)
NORMS(bf16, 768)
NORMS(bf16, 1024)
