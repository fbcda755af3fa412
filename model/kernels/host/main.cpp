// Runs one kernel on the CPU: KERNEL BLOCKS THREADS SHARED_BYTES ARGUMENT...
// An argument is a number, or @FILE+BYTES: a buffer from there on, which is written back. Where the kernel reads or writes outside
// of its buffers, the address sanitizer ends it.
#include "cuda.h"

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <vector>

namespace host {
constexpr size_t STACK = 64 << 10;

struct Thread {
    uint32_t index = 0;
    ucontext_t context = {};
    bool has_ended = false;
};
// Where threads meet: who comes last lets the others go.
struct Meeting {
    uint32_t members = 0, arrived = 0, times = 0;
};

Thread *current;
Dim block, block_size, grid_size;
uint4 *shared;
static std::vector<Thread> threads;
static std::vector<Lane> put_down;
static std::vector<Meeting> warps;
static Meeting all;
static ucontext_t scheduler;
static std::function<void()> kernel;

Dim thread_of_current() { return {current->index}; }
uint32_t lane() { return current->index % 32; }
Lane *lanes() { return &put_down[current->index / 32 * 32]; }

static void give_way() { swapcontext(&current->context, &scheduler); }

static void meet(Meeting &meeting) {
    const uint32_t times = meeting.times;
    if (++meeting.arrived == meeting.members) {
        meeting.arrived = 0;
        meeting.times++;
        return;
    }
    while (meeting.times == times) give_way();
}
void meet_block() { meet(all); }
void meet_warp() { meet(warps[current->index / 32]); }

static void enter() {
    kernel();
    current->has_ended = true;
    give_way();
}

static void run_block(std::vector<char> &stacks) {
    for (uint32_t i = 0; i < block_size.x; i++) {
        threads[i] = Thread{i};
        getcontext(&threads[i].context);
        threads[i].context.uc_stack.ss_sp = &stacks[i * STACK];
        threads[i].context.uc_stack.ss_size = STACK;
        makecontext(&threads[i].context, enter, 0);
    }
    all = {block_size.x};
    warps.assign(block_size.x / 32, Meeting{32});
    uint64_t turns_left = 1u << 24;
    for (bool goes_on = true; goes_on;) {
        goes_on = false;
        for (Thread &thread : threads) {
            if (thread.has_ended) continue;
            goes_on = true;
            current = &thread;
            swapcontext(&scheduler, &thread.context);
        }
        if (turns_left-- == 0) {
            fprintf(stderr, "threads wait for those that do not come\n");
            exit(4);
        }
    }
}
} // namespace host

#include "../attention.cu"
#include "../elementwise.cu"
#include "../norm.cu"

// Memory of this size and no more, so that the sanitizer sees what lies outside.
static void *exactly(size_t size) {
    void *bytes = nullptr;
    if (posix_memalign(&bytes, 16, size) != 0) exit(2);
    return bytes;
}

struct Buffer {
    std::string file;
    char *bytes;
    size_t size;
};
static std::vector<Buffer> buffers;

static char *buffer(const std::string &file) {
    for (const Buffer &known : buffers) {
        if (known.file == file) return known.bytes;
    }
    FILE *from = fopen(file.c_str(), "rb");
    if (!from) {
        fprintf(stderr, "cannot read %s\n", file.c_str());
        exit(2);
    }
    fseek(from, 0, SEEK_END);
    const size_t size = ftell(from);
    rewind(from);
    char *bytes = static_cast<char *>(exactly(size));
    if (fread(bytes, 1, size, from) != size) exit(2);
    fclose(from);
    buffers.push_back({file, bytes, size});
    return bytes;
}

template <typename A> A argument(const char *text) {
    if constexpr (std::is_pointer_v<A>) {
        const char *start = strrchr(text, '+');
        if (text[0] != '@' || !start) {
            fprintf(stderr, "%s is no buffer\n", text);
            exit(2);
        }
        return reinterpret_cast<A>(buffer(std::string(text + 1, start)) + atoll(start + 1));
    } else if constexpr (std::is_floating_point_v<A>) {
        return strtof(text, nullptr);
    } else {
        return (A)strtoull(text, nullptr, 10);
    }
}

template <typename... A> void launch(void (*kernel)(A...), int count, char **texts) {
    if (count != 4 + (int)sizeof...(A)) {
        fprintf(stderr, "%zu arguments, not %d\n", sizeof...(A), count - 4);
        exit(2);
    }
    int next = 4;
    std::tuple<A...> arguments{argument<A>(texts[next++])...};
    host::grid_size = {(uint32_t)atoi(texts[1])};
    host::block_size = {(uint32_t)atoi(texts[2])};
    const size_t shared_size = atoi(texts[3]);
    host::threads.resize(host::block_size.x);
    host::put_down.resize(host::block_size.x);
    host::kernel = [&] { std::apply(kernel, arguments); };
    std::vector<char> stacks(host::block_size.x * host::STACK);
    for (uint32_t b = 0; b < host::grid_size.x; b++) {
        host::block = {b};
        host::shared = static_cast<uint4 *>(exactly(shared_size));
        memset(host::shared, 0xff, shared_size);
        host::run_block(stacks);
        free(host::shared);
    }
    for (const Buffer &buffer : buffers) {
        FILE *to = fopen(buffer.file.c_str(), "wb");
        if (!to || fwrite(buffer.bytes, 1, buffer.size, to) != buffer.size || fclose(to)) exit(2);
    }
}

#define KERNEL(name) {#name, [](int count, char **texts) { launch(name, count, texts); }}
static const std::map<std::string, void (*)(int, char **)> KERNELS = {
    KERNEL(attention_f16_4), KERNEL(attention_f16_7), KERNEL(attention_bf16_4), KERNEL(attention_bf16_7),
    KERNEL(pixels_f16), KERNEL(pixels_bf16), KERNEL(bias_silu_f16), KERNEL(bias_silu_bf16),
#define OF_WIDTH(T, WIDTH)                                                                                                  \
    KERNEL(residual_norm_##T##_##WIDTH), KERNEL(residual_norm_f32_##T##_##WIDTH), KERNEL(assemble_##T##_##WIDTH)
    OF_WIDTH(f16, 128), OF_WIDTH(f16, 192), OF_WIDTH(f16, 768), OF_WIDTH(f16, 1024),
    OF_WIDTH(bf16, 128), OF_WIDTH(bf16, 192), OF_WIDTH(bf16, 768), OF_WIDTH(bf16, 1024),
};

int main(int count, char **texts) {
    const auto kernel = count < 5 ? KERNELS.end() : KERNELS.find(texts[1]);
    if (kernel == KERNELS.end()) {
        fprintf(stderr, "no such kernel\n");
        return 2;
    }
    kernel->second(count - 1, texts + 1);
    return 0;
}
