// Attention of short sequences: one block computes one head of one window, with all its keys and values in shared
// memory.
//
// A warp takes 16 queries at a time. Scores stay in registers, from the first product through softmax to the second. If
// the keys exceed a chunk, the maximum and the sums are carried from chunk to chunk.
#include "device.cuh"

// Columns of a head, the same in all of CLIP's visual towers that are supported.
constexpr int HEAD = 64;
// Columns from row to row in shared memory: 144 bytes, so that the 8 rows of a tile lie in different banks.
constexpr int STRIDE = 72;

// Distances from row to row and from window to window, in elements.
struct Rows {
    uint32_t row, window;
};

// Copies a head's rows to shared memory: the window's own, then the prompts', then zeros up to `padded`.
template <typename T>
__device__ __forceinline__ void fill(T *shared, const T *own, uint32_t own_row, uint32_t tokens, const T *prompts,
                                     uint32_t prompt_row, uint32_t keys, uint32_t padded) {
    for (uint32_t i = threadIdx.x; i < padded * (HEAD / 8); i += blockDim.x) {
        uint32_t key = i / (HEAD / 8), column = i % (HEAD / 8) * 8;
        uint4 value = make_uint4(0, 0, 0, 0);
        if (key < tokens) {
            value = *reinterpret_cast<const uint4 *>(own + (size_t)key * own_row + column);
        } else if (key < keys) {
            value = *reinterpret_cast<const uint4 *>(prompts + (size_t)(key - tokens) * prompt_row + column);
        }
        *reinterpret_cast<uint4 *>(shared + key * STRIDE + column) = value;
    }
}

// A quad of threads holds a row.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Computes queries (window, rows, width), scaled; keys and values (window, tokens, width); prompts (prompts, width) of
// every window -> out (window, rows, width). TILES: tiles of 16 keys in a chunk.
template <typename T, int TILES>
__device__ __forceinline__ void attention(const T *queries, Rows query, const T *keys_from, const T *values_from, Rows key,
                                          const T *prompt_keys, const T *prompt_values, T *out, Rows to, uint32_t heads,
                                          uint32_t rows, uint32_t tokens, uint32_t prompts) {
    SHARED(shared_bytes);
    constexpr int CHUNK = 16 * TILES;
    const float LOG2_E = 1.4426950408889634f;
    const uint32_t window = blockIdx.x / heads, head = blockIdx.x % heads, width = heads * HEAD;
    const uint32_t keys = tokens + prompts, padded = (keys + CHUNK - 1) / CHUNK * CHUNK;
    T *shared_keys = reinterpret_cast<T *>(shared_bytes);
    T *shared_values = shared_keys + padded * STRIDE;
    const size_t own = (size_t)window * key.window + head * HEAD;
    fill(shared_keys, keys_from + own, key.row, tokens, prompt_keys + head * HEAD, width, keys, padded);
    fill(shared_values, values_from + own, key.row, tokens, prompt_values + head * HEAD, width, keys, padded);
    __syncthreads();

    const uint32_t lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    queries += (size_t)window * query.window + head * HEAD;
    out += (size_t)window * to.window + head * HEAD;
    for (uint32_t first = threadIdx.x / 32 * 16; first < rows; first += blockDim.x / 32 * 16) {
        const uint32_t upper = first + g, lower = upper + 8;
        uint32_t q[HEAD / 16][4];
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++) {
            const T *at = queries + 16 * k + 2 * t;
            const T *at_upper = at + (size_t)upper * query.row, *at_lower = at + (size_t)lower * query.row;
            q[k][0] = upper < rows ? *reinterpret_cast<const uint32_t *>(at_upper) : 0;
            q[k][1] = lower < rows ? *reinterpret_cast<const uint32_t *>(at_lower) : 0;
            q[k][2] = upper < rows ? *reinterpret_cast<const uint32_t *>(at_upper + 8) : 0;
            q[k][3] = lower < rows ? *reinterpret_cast<const uint32_t *>(at_lower + 8) : 0;
        }
        float sums[HEAD / 8][4] = {};
        float max_upper = -INFINITY, max_lower = -INFINITY, total_upper = 0, total_lower = 0;
        for (uint32_t start = 0; start < padded; start += CHUNK) {
            float scores[2 * TILES][4] = {};
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                const T *row = shared_keys + (start + 16 * tile + lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
                for (int k = 0; k < HEAD / 16; k++) {
                    uint32_t b[4];
                    load_tiles(b, row + 16 * k);
                    multiply_tile(scores[2 * tile], q[k], b, T());
                    multiply_tile(scores[2 * tile + 1], q[k], b + 2, T());
                }
            }
            float largest_upper = max_upper, largest_lower = max_lower;
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (start + 8 * n + 2 * t + i % 2 >= keys) scores[n][i] = -INFINITY;
                }
                largest_upper = fmaxf(largest_upper, fmaxf(scores[n][0], scores[n][1]));
                largest_lower = fmaxf(largest_lower, fmaxf(scores[n][2], scores[n][3]));
            }
            largest_upper = quad_max(largest_upper);
            largest_lower = quad_max(largest_lower);
            // Each chunk has a key, so the new maxima are finite; before the first chunk there is nothing to carry.
            const float carry_upper = power_of_2((max_upper - largest_upper) * LOG2_E);
            const float carry_lower = power_of_2((max_lower - largest_lower) * LOG2_E);
            max_upper = largest_upper;
            max_lower = largest_lower;
            total_upper *= carry_upper;
            total_lower *= carry_lower;
#pragma unroll
            for (int n = 0; n < HEAD / 8; n++) {
                sums[n][0] *= carry_upper;
                sums[n][1] *= carry_upper;
                sums[n][2] *= carry_lower;
                sums[n][3] *= carry_lower;
            }
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                uint32_t weights[4];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float *score = scores[2 * tile + half];
                    score[0] = power_of_2((score[0] - max_upper) * LOG2_E);
                    score[1] = power_of_2((score[1] - max_upper) * LOG2_E);
                    score[2] = power_of_2((score[2] - max_lower) * LOG2_E);
                    score[3] = power_of_2((score[3] - max_lower) * LOG2_E);
                    total_upper += score[0] + score[1];
                    total_lower += score[2] + score[3];
                    weights[2 * half] = packed<T>(score[0], score[1]);
                    weights[2 * half + 1] = packed<T>(score[2], score[3]);
                }
                const T *row = shared_values + (start + 16 * tile + lane % 16) * STRIDE + lane / 16 * 8;
#pragma unroll
                for (int n = 0; n < HEAD / 16; n++) {
                    uint32_t b[4];
                    load_tiles_transposed(b, row + 16 * n);
                    multiply_tile(sums[2 * n], weights, b, T());
                    multiply_tile(sums[2 * n + 1], weights, b + 2, T());
                }
            }
        }
        const float part_upper = 1 / quad_sum(total_upper), part_lower = 1 / quad_sum(total_lower);
#pragma unroll
        for (int n = 0; n < HEAD / 8; n++) {
            T *at = out + 8 * n + 2 * t;
            if (upper < rows) {
                *reinterpret_cast<uint32_t *>(at + (size_t)upper * to.row) = packed<T>(sums[n][0] * part_upper, sums[n][1] * part_upper);
            }
            if (lower < rows) {
                *reinterpret_cast<uint32_t *>(at + (size_t)lower * to.row) = packed<T>(sums[n][2] * part_lower, sums[n][3] * part_lower);
            }
        }
    }
}

#define ATTENTION(T, TILES)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(224, 2) attention_##T##_##TILES(                                           \
        const T *queries, uint32_t query_row, uint32_t query_window, const T *keys, const T *values, uint32_t key_row,      \
        uint32_t key_window, const T *prompt_keys, const T *prompt_values, T *out, uint32_t out_row, uint32_t out_window,   \
        uint32_t heads, uint32_t rows, uint32_t tokens, uint32_t prompts) {                                                 \
        attention<T, TILES>(queries, Rows{query_row, query_window}, keys, values, Rows{key_row, key_window}, prompt_keys,   \
                            prompt_values, out, Rows{out_row, out_window}, heads, rows, tokens, prompts);                   \
    }
ATTENTION(f16, 4)
ATTENTION(f16, 7)
ATTENTION(bf16, 4)
ATTENTION(bf16, 7)
