// Runs a kernel's blocks one after the other, and lists the kernels.
#pragma once
#include "cuda.h"

#include <functional>
#include <ucontext.h>
#include <vector>

namespace host {
constexpr size_t STACK = 64 << 10;

struct Thread {
    uint32_t index = 0;
    ucontext_t context = {};
    bool has_ended = false;
};
// A barrier: the last thread to arrive releases the others.
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
            fprintf(stderr, "not all threads reached a barrier\n");
            exit(4);
        }
    }
}

// Memory of exactly this size, so that the sanitizer detects accesses outside it.
static void *exactly(size_t size) {
    void *bytes = nullptr;
    if (posix_memalign(&bytes, 16, size) != 0) exit(2);
    return bytes;
}

static void run(std::function<void()> work, uint32_t blocks, uint32_t block_threads, size_t shared_size) {
    grid_size = {blocks};
    block_size = {block_threads};
    threads.resize(block_threads);
    put_down.resize(block_threads);
    kernel = std::move(work);
    std::vector<char> stacks(block_threads * STACK);
    for (uint32_t b = 0; b < blocks; b++) {
        block = {b};
        shared = static_cast<uint4 *>(exactly(shared_size));
        memset(shared, 0xff, shared_size);
        run_block(stacks);
        free(shared);
    }
}
} // namespace host

#include "../attention.cu"
#include "../elementwise.cu"
#include "../norm.cu"

// Applies DO(name) to each kernel.
#define KERNELS_OF_WIDTH(DO, T, WIDTH) DO(residual_norm_##T##_##WIDTH) DO(residual_norm_f32_##T##_##WIDTH) DO(assemble_##T##_##WIDTH)
#define KERNELS_OF(DO, T)                                                                                                   \
    DO(attention_##T##_4) DO(attention_##T##_7) DO(pixels_##T) DO(bias_silu_##T)                                            \
    KERNELS_OF_WIDTH(DO, T, 128) KERNELS_OF_WIDTH(DO, T, 192) KERNELS_OF_WIDTH(DO, T, 768) KERNELS_OF_WIDTH(DO, T, 1024)
#define EACH_KERNEL(DO) KERNELS_OF(DO, f16) KERNELS_OF(DO, bf16)
