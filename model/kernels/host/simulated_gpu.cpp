// A simulated GPU: libcuda, cuBLASLt, and the part of cuBLAS and cuRAND that opening a device needs, for a program that was
// built with CUDA. Kernels run as in main.cpp; products are three loops. It rehearses the host's side: which calls it makes,
// in which order, with which arguments.
//
// Work is done as late as allowed: a stream's work waits until it is waited for, and copies from pinned memory read it then. So
// a buffer that is reused too soon, or a stream that does not wait for another, gives wrong scores here. Memory starts as NaN,
// and becomes NaN again when it is freed.
//
// CARD_BYTES: bytes of its memory. CARD_BREAKS_AFTER: number of launches after which it loses its context.
#include "block.h"

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

namespace {
std::mutex alone;

[[noreturn]] void refuse(const char *what) {
    fprintf(stderr, "the rehearsal's card: %s\n", what);
    abort();
}

// Work that returns whether it could be done yet.
struct Stream {
    std::deque<std::function<bool()>> work;
};
struct Event {
    uint64_t recorded = 0, reached = 0;
};
std::vector<Stream *> streams;
std::map<const char *, size_t> pinned;
thread_local void *context = nullptr;

bool step(Stream &stream) {
    if (stream.work.empty() || !stream.work.front()()) return false;
    stream.work.pop_front();
    return true;
}

// Does no more work than needed, starting with the stream that it is needed from.
template <typename Done> void until(Stream *first, Done done) {
    while (!done()) {
        if (first && step(*first)) continue;
        bool goes_on = false;
        for (Stream *stream : streams) goes_on = goes_on || (stream != first && step(*stream));
        if (!goes_on) refuse("streams wait for each other forever");
    }
}

void give(void *stream, std::function<void()> work) {
    static_cast<Stream *>(stream)->work.push_back([work] {
        work();
        return true;
    });
}

bool is_pinned(const void *at) {
    const char *bytes = static_cast<const char *>(at);
    auto after = pinned.upper_bound(bytes);
    if (after == pinned.begin()) return false;
    --after;
    return bytes < after->first + after->second;
}

std::map<void *, size_t> sizes;

size_t setting(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : SIZE_MAX;
}

void *allocate(size_t size) {
    void *bytes = nullptr;
    if (posix_memalign(&bytes, 256, size) != 0) return nullptr;
    memset(bytes, 0xff, size);
    sizes[bytes] = size;
    return bytes;
}

void release(void *bytes) {
    memset(bytes, 0xff, sizes.at(bytes));
    sizes.erase(bytes);
    free(bytes);
}

template <typename... A, size_t... I>
std::function<void()> bound(void (*kernel)(A...), void **values, std::index_sequence<I...>) {
    std::tuple<A...> arguments{*static_cast<A *>(values[I])...};
    return [=] { std::apply(kernel, arguments); };
}
template <typename... A> std::function<void()> bind(void (*kernel)(A...), void **values) {
    return bound(kernel, values, std::index_sequence_for<A...>());
}

using Bind = std::function<void()> (*)(void **);
#define KERNEL(name) {#name, [](void **values) { return bind(name, values); }},
std::map<std::string, Bind> kernels = {EACH_KERNEL(KERNEL)};

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;
};
struct Product {
    int transposes = 0, epilogue = 1;
    const void *bias = nullptr;
};

float value(const void *from, int type, size_t at) {
    switch (type) {
    case 0: return static_cast<const float *>(from)[at];
    case 2: return to_float(static_cast<const f16 *>(from)[at]);
    case 14: return to_float(static_cast<const bf16 *>(from)[at]);
    default: refuse("a product of an unknown type");
    }
}
void put(void *to, int type, size_t at, float x) {
    switch (type) {
    case 0: static_cast<float *>(to)[at] = x; break;
    case 2: round_to(static_cast<f16 *>(to)[at], x); break;
    case 14: round_to(static_cast<bf16 *>(to)[at], x); break;
    default: refuse("a product of an unknown type");
    }
}

// d (m, n) = a^T b, all column by column; a (k, m), b (k, n).
void multiply(const Product &product, const void *a, const Layout &la, const void *b, const Layout &lb, void *d, const Layout &ld) {
    const size_t m = ld.rows, n = ld.columns, k = la.rows;
    if (!product.transposes || la.columns != m || lb.rows != k || lb.columns != n) refuse("a product's sizes do not fit");
    std::vector<float> left(m * k), right(k);
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < k; c++) left[i * k + c] = value(a, la.type, i * la.stride + c);
    }
    for (size_t j = 0; j < n; j++) {
        for (size_t c = 0; c < k; c++) right[c] = value(b, lb.type, j * lb.stride + c);
        for (size_t i = 0; i < m; i++) {
            float sums[8] = {};
            for (size_t c = 0; c < k; c++) sums[c % 8] += left[i * k + c] * right[c];
            float sum = 0;
            for (float part : sums) sum += part;
            if (product.epilogue == 4) sum += value(product.bias, ld.type, i);
            put(d, ld.type, j * ld.stride + i, sum);
        }
    }
}
} // namespace

#define CARD extern "C" __attribute__((visibility("default"))) int
#define LOCKED std::lock_guard<std::mutex> guard(alone)

CARD cuInit(unsigned) { return 0; }
CARD cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? 0 : 101; }
CARD cuDeviceGetCount(int *count) { return *count = 1, 0; }
CARD cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "no card: a rehearsal on the CPU"), 0; }
CARD cuDevicePrimaryCtxRetain(void **to, int) { return *to = &alone, 0; }
CARD cuDevicePrimaryCtxRelease_v2(int) { return 0; }
CARD cuCtxGetCurrent(void **to) { return *to = context, 0; }
CARD cuCtxSetCurrent(void *to) { return context = to, 0; }
CARD cuCtxSynchronize() {
    LOCKED;
    for (Stream *stream : streams) until(stream, [&] { return stream->work.empty(); });
    return 0;
}
CARD cuDeviceGetAttribute(int *value, int attribute, int) {
    // Processors, shared memory that a block may request, memory pools.
    *value = attribute == 16 ? 2 : attribute == 97 ? 232448 : attribute == 115 ? 1 : 0;
    return 0;
}
CARD cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &alone, 0; }
CARD cuMemPoolSetAttribute(void *, int, void *) { return 0; }
CARD cuGetErrorString(int, const char **text) { return *text = "a rehearsal's error", 0; }
CARD cuGetErrorName(int, const char **text) { return *text = "REHEARSAL", 0; }

CARD cuStreamCreate(void **stream, unsigned) {
    LOCKED;
    streams.push_back(new Stream);
    return *stream = streams.back(), 0;
}
CARD cuStreamDestroy_v2(void *) { return 0; }
CARD cuStreamSynchronize(void *stream) {
    LOCKED;
    Stream *of = static_cast<Stream *>(stream);
    until(of, [&] { return of->work.empty(); });
    return 0;
}
CARD cuStreamIsCapturing(void *, int *status) { return *status = 0, 0; }
CARD cuStreamWaitEvent(void *stream, void *event, unsigned) {
    LOCKED;
    Event *of = static_cast<Event *>(event);
    const uint64_t recorded = of->recorded;
    static_cast<Stream *>(stream)->work.push_back([=] { return of->reached >= recorded; });
    return 0;
}
CARD cuEventCreate(void **event, unsigned) { return *event = new Event, 0; }
CARD cuEventDestroy_v2(void *) { return 0; }
CARD cuEventRecord(void *event, void *stream) {
    LOCKED;
    Event *of = static_cast<Event *>(event);
    const uint64_t recorded = ++of->recorded;
    give(stream, [=] { of->reached = recorded; });
    return 0;
}
CARD cuEventSynchronize(void *event) {
    LOCKED;
    Event *of = static_cast<Event *>(event);
    const uint64_t recorded = of->recorded;
    until(nullptr, [&] { return of->reached >= recorded; });
    return 0;
}
CARD cuEventQuery(void *event) {
    LOCKED;
    return static_cast<Event *>(event)->reached >= static_cast<Event *>(event)->recorded ? 0 : 600;
}
CARD cuEventElapsedTime_v2(float *milliseconds, void *, void *) { return *milliseconds = 1, 0; }

CARD cuMemAllocAsync(void **to, size_t size, void *stream) {
    LOCKED;
    static const size_t most = setting("CARD_BYTES");
    auto is_room = [&] {
        size_t taken = 0;
        for (const auto &[at, bytes] : sizes) taken += pinned.count(static_cast<char *>(at)) ? 0 : bytes;
        return taken + size <= most;
    };
    // Memory that was freed earlier on this stream may be reused.
    Stream *of = static_cast<Stream *>(stream);
    if (!is_room()) until(of, [&] { return of->work.empty(); });
    return is_room() && (*to = allocate(size)) ? 0 : 2;
}
CARD cuMemFreeAsync(void *bytes, void *stream) {
    LOCKED;
    give(stream, [=] { release(bytes); });
    return 0;
}
CARD cuMemHostAlloc(void **to, size_t size, unsigned) {
    LOCKED;
    if (!(*to = allocate(size))) return 2;
    pinned[static_cast<char *>(*to)] = size;
    return 0;
}
CARD cuMemFreeHost(void *bytes) {
    LOCKED;
    pinned.erase(static_cast<char *>(bytes));
    release(bytes);
    return 0;
}
CARD cuMemsetD8Async(void *to, unsigned char byte, size_t size, void *stream) {
    LOCKED;
    give(stream, [=] { memset(to, byte, size); });
    return 0;
}
CARD cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
    LOCKED;
    if (is_pinned(from)) {
        give(stream, [=] { memcpy(to, from, size); });
    } else { // Read before the call returns.
        const char *bytes = static_cast<const char *>(from);
        std::vector<char> now(bytes, bytes + size);
        give(stream, [=] { memcpy(to, now.data(), size); });
    }
    return 0;
}
CARD cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, void *stream) {
    LOCKED;
    give(stream, [=] { memcpy(to, from, size); });
    if (!is_pinned(to)) {
        Stream *of = static_cast<Stream *>(stream);
        until(of, [&] { return of->work.empty(); });
    }
    return 0;
}
CARD cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
    LOCKED;
    give(stream, [=] { memcpy(to, from, size); });
    return 0;
}

CARD cuModuleLoadData(void **module, const void *) { return *module = &alone, 0; }
CARD cuModuleUnload(void *) { return 0; }
CARD cuModuleGetFunction(void **function, void *, const char *name) {
    LOCKED;
    auto found = kernels.find(name);
    if (found == kernels.end()) return 500;
    return *function = &found->second, 0;
}
CARD cuFuncSetAttribute(void *, int, int) { return 0; }
CARD cuLaunchKernel(void *function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned, unsigned shared,
                    void *stream, void **values, void **) {
    LOCKED;
    static size_t left = setting("CARD_BREAKS_AFTER");
    if (left == 0) return 700;
    left--;
    if (blocks == 0 || threads == 0 || threads > 256 || threads % 32 != 0 || shared > 232448) return 1;
    std::function<void()> work = (*static_cast<Bind *>(function))(values);
    give(stream, [=] { host::run(work, blocks, threads, shared); });
    return 0;
}

CARD cublasCreate_v2(void **handle) { return *handle = &alone, 0; }
CARD cublasDestroy_v2(void *) { return 0; }
CARD cublasSetStream_v2(void *, void *) { return 0; }
CARD curandCreateGenerator(void **generator, int) { return *generator = &alone, 0; }
CARD curandDestroyGenerator(void *) { return 0; }
CARD curandSetStream(void *, void *) { return 0; }
CARD curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }

CARD cublasLtCreate(void **handle) { return *handle = &alone, 0; }
CARD cublasLtDestroy(void *) { return 0; }
CARD cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    return *layout = new Layout{type, rows, columns, stride}, 0;
}
CARD cublasLtMatrixLayoutDestroy(void *layout) { return delete static_cast<Layout *>(layout), 0; }
CARD cublasLtMatmulDescCreate(void **product, int compute, int scale) {
    if (compute != 68 || scale != 0) refuse("the sum of a product is not in f32");
    return *product = new Product, 0;
}
CARD cublasLtMatmulDescDestroy(void *product) { return delete static_cast<Product *>(product), 0; }
CARD cublasLtMatmulDescSetAttribute(void *product, int attribute, const void *value, size_t size) {
    Product *of = static_cast<Product *>(product);
    if (attribute == 3 && size == 4) return memcpy(&of->transposes, value, size), 0;
    if (attribute == 7 && size == 4) return memcpy(&of->epilogue, value, size), 0;
    if (attribute == 8 && size == 8) return memcpy(&of->bias, value, size), 0;
    return 7;
}
CARD cublasLtMatmulPreferenceCreate(void **preference) { return *preference = &alone, 0; }
CARD cublasLtMatmulPreferenceDestroy(void *) { return 0; }
CARD cublasLtMatmulPreferenceSetAttribute(void *, int attribute, const void *, size_t size) {
    return attribute == 1 && size == 8 ? 0 : 7;
}
struct Advice {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
CARD cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int, Advice *advice, int *count) {
    return *advice = Advice{}, *count = 1, 0;
}
CARD cublasLtMatmulAlgoCheck(void *, void *, void *, void *, void *, void *, const void *, Advice *advice) {
    return *advice = Advice{}, 0;
}
CARD cublasLtMatmul(void *, void *product, const void *one, const void *a, void *la, const void *b, void *lb, const void *zero,
                    const void *, void *, void *d, void *ld, const void *, void *, size_t, void *stream) {
    LOCKED;
    if (*static_cast<const float *>(one) != 1 || *static_cast<const float *>(zero) != 0) refuse("a product is scaled");
    const Product of = *static_cast<Product *>(product);
    const Layout of_a = *static_cast<Layout *>(la), of_b = *static_cast<Layout *>(lb), of_d = *static_cast<Layout *>(ld);
    give(stream, [=] { multiply(of, a, of_a, b, of_b, d, of_d); });
    return 0;
}
