// fibers.h: mode "threads": every CUDA thread is a fiber, so a kernel runs at its true block size on one CPU thread.
//
// A fiber is a stack and a saved stack pointer. It runs until it waits (at a barrier, at a warp collective) or exits;
// then the scheduler enters the next one. Nothing happens at the same time, so a wrong kernel is wrong in the same way
// each time: run it in several orders (forward, reverse, random), and a missing barrier shows as different results.
//
// Blocks run one after the other. Before each, shared memory is filled with NaN bytes, as it is undefined on a GPU.
#pragma once
#include <link.h>
#include <sys/mman.h>

#include <mutex>
#include <numeric>

#include "context_switch.h"

// Thread-local, not for the threads, but because the linker then lays a library's shared arrays side by side, those too
// of templates and inline functions: see static_shared_memory.
#ifndef MINISK_CHECK
#define __shared__ static thread_local
#else
// Beside each array lies a gap, so that what runs over its end is not taken for an access to its neighbour.
#define __shared__ MINISK_GAP(__COUNTER__) static thread_local
#define MINISK_GAP(number) MINISK_NUMBERED_GAP(number)
#define MINISK_NUMBERED_GAP(number) \
    static thread_local char minisk_gap_##number[256]; \
    minisk::keep_clear(minisk_gap_##number);
#endif

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace minisk {

constexpr int most_threads = 1024;
constexpr int nobody = -1;

// A stack grows downwards. Below what a thread may use is a canary, and below that a reserve, where a thread that runs
// over its stack does no harm until the canary is found dead at the end of the block.
constexpr size_t stack_bytes = 256 * 1024, stack_reserve = 128 * 1024;
constexpr uint64_t canary = 0x1badcafe5afeb1d5;

enum class State { ready, at_barrier, at_collective, exited };

struct Fiber {
    void* stack_pointer;
    uint3 index;  // threadIdx
    State state;
    Place place;  // where it waits

    // The warp collective it waits at: what it brings, and what it will leave with.
    unsigned mask;
    int source;
    bool vote;
    uint64_t offered, received;
    unsigned votes;
};

struct Bytes {
    char* start;
    size_t size;
    MINISK_UNWATCHED void fill(int value) const { memset(start, value, size); }
};

// One launch at a time per library: these are its state.
static std::mutex one_launch;
static Launch* running;
static KernelCall kernel_call;
static Fiber fibers[most_threads];
static char* stacks;
static int threads;             // in a block
static int current = nobody;    // the running thread; nobody while the scheduler runs
static void* scheduler_stack_pointer;
static Bytes dynamic_shared;
static uint32_t seed;

// What the checker wants to know; without it, nothing.
#ifdef MINISK_CHECK
#define MINISK_TELL(event) event
static void keep_clear(char* gap);
static void launch_begins(Bytes static_shared);
static void launch_ends();
static void block_begins();
static void barrier_passed();
static void collective_completed(int first_thread, unsigned group);
static void close_requests();
static void watch_atomic(void* address, size_t bytes, void* return_address);
#else
#define MINISK_TELL(event) ((void)0)
#endif

// Numerical Recipes' generator: <random> would take longer to compile than most kernels.
MINISK_UNWATCHED static uint64_t draw(uint64_t count) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % count;
}

// A permutation of 0 … count − 1.
struct Order {
    uint64_t count, start, step;

    MINISK_UNWATCHED explicit Order(uint64_t count) : count(count), start(0), step(1) {
        if (running->schedule == 1) start = step = count - 1;
        if (running->schedule < 2) return;
        start = draw(count);
        do step = 1 + draw(count);
        while (std::gcd(step, count) != 1);
    }
    MINISK_UNWATCHED uint64_t operator[](uint64_t i) const { return (start + i * step) % count; }
};

// ---- called by fibers ----

MINISK_UNWATCHED static void wait(State state, Place place) {
    Fiber& fiber = fibers[current];
    fiber.state = state;
    fiber.place = place;
    minisk_switch_stack(&fiber.stack_pointer, scheduler_stack_pointer);
}

MINISK_UNWATCHED static void fiber_main() {
    kernel_call();
    wait(State::exited, {});
    __builtin_unreachable();
}

MINISK_UNWATCHED static int lane() { return current % warpSize; }

MINISK_UNWATCHED static Fiber& wait_for_warp(unsigned mask, Place place) {
    Fiber& fiber = fibers[current];
    fiber.mask = mask;
    if (!(mask >> lane() & 1)) {
        report(*running, "%s:%d: lane %d calls a warp collective whose mask 0x%08x does not name it", place.file,
               place.line, lane(), mask);
    }
    wait(State::at_collective, place);
    return fiber;
}

template <class T> MINISK_UNWATCHED static T from_lane(unsigned mask, T value, int source, Place place) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a warp exchanges values of at most 8 bytes");
    Fiber& fiber = fibers[current];
    fiber.source = source;
    memcpy(&fiber.offered, &value, sizeof value);
    wait_for_warp(mask, place);
    memcpy(&value, &fiber.received, sizeof value);
    return value;
}

MINISK_UNWATCHED static unsigned ballot(unsigned mask, bool vote, Place place) {
    fibers[current].vote = vote;
    return wait_for_warp(mask, place).votes;
}

// Nothing else runs meanwhile: a plain update is atomic.
template <class T, class Update>
MINISK_UNWATCHED __attribute__((noinline)) static T atomic_update(T* address, Update update) {
    MINISK_TELL(watch_atomic(address, sizeof(T), __builtin_return_address(0)));
    const T old = *address;
    *address = update(old);
    return old;
}

// ---- the scheduler ----

MINISK_UNWATCHED static bool same(Place a, Place b) { return a.line == b.line && strcmp(a.file, b.file) == 0; }

MINISK_UNWATCHED static void resume(int thread) {
    current = thread;
    threadIdx = fibers[thread].index;
    minisk_switch_stack(&scheduler_stack_pointer, fibers[thread].stack_pointer);
    current = nobody;
}

// The lanes of a warp that stand at the same collective as `caller`.
MINISK_UNWATCHED static unsigned lanes_beside(const Fiber& caller, const Fiber* warp, int lanes) {
    unsigned beside = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const Fiber& other = warp[lane];
        const bool waits = other.state == State::at_collective && other.mask == caller.mask;
        if (waits && same(other.place, caller.place)) beside |= 1u << lane;
    }
    return beside;
}

MINISK_UNWATCHED static void exchange(Fiber* warp, unsigned group) {
    unsigned votes = 0;
    MINISK_TELL(collective_completed(int(warp - fibers), group));
    for (int lane = 0; lane < warpSize; ++lane) {
        if (group >> lane & 1) votes |= unsigned(warp[lane].vote) << lane;
    }
    for (int lane = 0; lane < warpSize; ++lane) {
        if (!(group >> lane & 1)) continue;
        Fiber& fiber = warp[lane];
        // What a GPU returns for a lane that takes no part is undefined: here it is NaN.
        fiber.received = group >> fiber.source & 1 ? warp[fiber.source].offered : ~uint64_t(0);
        fiber.votes = votes;
        fiber.state = State::ready;
    }
}

// Where a thread stands, in words.
struct Whereabouts {
    char text[220];

    explicit Whereabouts(const Fiber& fiber) {
        const auto [x, y, z] = fiber.index;
        const char* what = fiber.state == State::at_barrier ? "__syncthreads" : "a warp collective";
        if (fiber.state == State::exited) snprintf(text, sizeof text, "thread (%u,%u,%u) has exited", x, y, z);
        else snprintf(text, sizeof text, "thread (%u,%u,%u) waits at %s:%d (%s)", x, y, z, fiber.place.file,
                      fiber.place.line, what);
    }
};

static void report_apart(const char* problem, const Fiber& one, const Fiber& other) {
    report(*running, "%s in block (%u,%u,%u): %s, %s", problem, blockIdx.x, blockIdx.y, blockIdx.z,
           Whereabouts(one).text, Whereabouts(other).text);
}

// Lets the groups of lanes go on whose members have all arrived. False if there is none.
MINISK_UNWATCHED static bool complete_collectives(Fiber* warp, int lanes) {
    unsigned alive = 0;  // lanes that have exited, and those that a narrow last warp never had, are not waited for
    for (int lane = 0; lane < lanes; ++lane) alive |= unsigned(warp[lane].state != State::exited) << lane;
    const Fiber *stuck = nullptr, *missing = nullptr;
    bool completed = false;
    for (int lane = 0; lane < lanes; ++lane) {
        if (warp[lane].state != State::at_collective) continue;
        const unsigned group = lanes_beside(warp[lane], warp, lanes), absent = warp[lane].mask & alive & ~group;
        if (absent) {
            stuck = &warp[lane];
            missing = &warp[__builtin_ctz(absent)];
        } else {
            exchange(warp, group);
            completed = true;
        }
    }
    if (stuck && !completed) report_apart("a lane that the mask names misses a warp collective", *stuck, *missing);
    return completed;
}

// Gives each ready lane of a warp its turn. False if there was none.
MINISK_UNWATCHED static bool run_lanes(int first, int lanes) {
    const Order order(lanes);
    bool ran = false;
    for (int i = 0; i < lanes && !running->error[0]; ++i) {
        const int thread = first + int(order[i]);
        if (fibers[thread].state != State::ready) continue;
        resume(thread);
        ran = true;
    }
    MINISK_TELL(close_requests());
    return ran;
}

// Runs the lanes of a warp until each waits at a barrier or has exited.
MINISK_UNWATCHED static void run_warp(int warp) {
    const int first = warp * warpSize, lanes = min(threads - first, warpSize);
    do {
        while (!running->error[0] && run_lanes(first, lanes)) {}
    } while (!running->error[0] && complete_collectives(fibers + first, lanes));
}

// All threads wait at a barrier or have exited: lets them go on together. False if the block is done, or in error.
MINISK_UNWATCHED static bool pass_barrier() {
    const Fiber* waiting = nullptr;
    for (int thread = 0; thread < threads; ++thread) {
        if (fibers[thread].state == State::at_barrier) waiting = &fibers[thread];
    }
    if (!waiting) return false;
    for (int thread = 0; thread < threads; ++thread) {
        Fiber& fiber = fibers[thread];
        if (fiber.state == State::exited || !same(fiber.place, waiting->place)) {
            report_apart("barrier divergence", *waiting, fiber);
            return false;
        }
        fiber.state = State::ready;
    }
    MINISK_TELL(barrier_passed());
    return true;
}

MINISK_UNWATCHED static char* stack_of(int thread) { return stacks + thread * stack_bytes; }
MINISK_UNWATCHED static uint64_t& canary_of(int thread) {
    return *reinterpret_cast<uint64_t*>(stack_of(thread) + stack_reserve);
}

// The stacks, and above them the dynamic shared memory. They are kept for the next launch, if that has no more threads.
static bool make_room() {
    static int room = 0;
    if (threads <= room) return true;
    if (stacks) munmap(stacks, (room + 1) * stack_bytes);
    room = 0;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, (threads + 1) * stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    stacks = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
    if (!stacks) return false;
    for (int thread = 0; thread < threads; ++thread) canary_of(thread) = canary;
    dynamic_shared.start = stack_of(room = threads);
    return true;
}

MINISK_UNWATCHED static void check_stacks() {
    for (int thread = 0; thread < threads; ++thread) {
        if (canary_of(thread) == canary) continue;
        const uint3 index = fibers[thread].index;
        report(*running, "thread (%u,%u,%u) needs more than its %zu KiB of local memory", index.x, index.y, index.z,
               (stack_bytes - stack_reserve) / 1024);
        canary_of(thread) = canary;
    }
}

MINISK_UNWATCHED static void run_block() {
    for (int thread = 0; thread < threads; ++thread) {
        Fiber& fiber = fibers[thread];
        fiber.state = State::ready;
        fiber.stack_pointer = fresh_stack(stack_of(thread + 1), fiber_main);
        fiber.index = position(thread, blockDim);
    }
    const int warps = (threads + warpSize - 1) / warpSize;
    do {
        const Order order(warps);
        for (int i = 0; i < warps && !running->error[0]; ++i) run_warp(int(order[i]));
    } while (!running->error[0] && pass_barrier());
    check_stacks();
}

// All of this library's __shared__ arrays: its thread-local memory in the calling thread.
static Bytes static_shared_memory() {
    static thread_local char anchor;  // one byte that is certainly in there
    Bytes found{&anchor, 1};
    dl_iterate_phdr(
        [](dl_phdr_info* library, size_t, void* result) {
            auto found = static_cast<Bytes*>(result);
            for (int i = 0; i < library->dlpi_phnum; ++i) {
                const auto& part = library->dlpi_phdr[i];
                const auto start = static_cast<char*>(library->dlpi_tls_data);
                if (part.p_type != PT_TLS || found->start < start || found->start >= start + part.p_memsz) continue;
                *found = {start, part.p_memsz};
                return 1;
            }
            return 0;
        },
        &found);
    return found;
}

static void run_grid(Launch& launch, KernelCall call) {
    const std::lock_guard<std::mutex> lock(one_launch);
    running = &launch;
    kernel_call = call;
    seed = launch.seed;
    gridDim = grid_of(launch);
    blockDim = block_of(launch);
    threads = int(blockDim.x * blockDim.y * blockDim.z);
    dynamic_shared.size = launch.dynamic_shared;
    if (launch.dynamic_shared > 48 * 1024)
        return report(launch, "%u bytes of dynamic shared memory: at most 49152", launch.dynamic_shared);
    if (!make_room()) return report(launch, "no memory for the stacks of %d threads", threads);

    const Bytes static_shared = static_shared_memory();
    MINISK_TELL(launch_begins(static_shared));
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    const Order order(blocks);
    for (uint64_t i = 0; i < blocks && !launch.error[0]; ++i) {
        blockIdx = position(order[i], gridDim);
        static_shared.fill(0xff);
        dynamic_shared.fill(0xff);
        MINISK_TELL(block_begins());
        run_block();
    }
    MINISK_TELL(launch_ends());
}

}  // namespace minisk

static inline char* minisk_dynamic_shared() { return minisk::dynamic_shared.start; }

MINISK_UNWATCHED static inline void __syncthreads(MINISK_HERE) {
    minisk::wait(minisk::State::at_barrier, place);
}
MINISK_UNWATCHED static inline void __syncwarp(unsigned mask = ~0u, MINISK_HERE) {
    minisk::wait_for_warp(mask, place);
}
