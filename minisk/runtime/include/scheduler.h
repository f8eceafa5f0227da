// scheduler.h: resumes the fibers of fibers.h: grid by block, block by warp, warp by lane.
//
// Blocks run one after the other. Before each, shared memory is filled with NaN bytes: on a GPU it is undefined.
// A block runs in rounds: each warp runs until all its lanes wait at a barrier or have exited, then the barrier opens.
#pragma once
#include <link.h>

namespace minisk {

MINISK_UNWATCHED static bool same(Place a, Place b) {
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

MINISK_UNWATCHED static void resume(int thread) {
    current = thread;
    threadIdx = fibers[thread].index;
    minisk_switch_stack(&scheduler_stack_pointer, fibers[thread].stack_pointer);
    current = no_thread;
    has_progress |= fibers[thread].state > State::in_loop;
}

// A bit for each lane of a warp that waits at the same collective as `caller`; every __syncwarp is the same one.
MINISK_UNWATCHED static unsigned lanes_beside(const Fiber& caller, const Fiber* warp, int lanes) {
    unsigned beside = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const Fiber& other = warp[lane];
        const bool waits = other.state == State::at_collective && other.mask == caller.mask;
        const bool is_same = caller.is_barrier ? other.is_barrier : same(other.place, caller.place);
        if (waits && is_same) beside |= 1u << lane;
    }
    return beside;
}

// A value from a lane that takes no part in a shuffle is undefined on a GPU; here it is NaN.
MINISK_UNWATCHED static void report_absent_lane(const Fiber* warp, int lane) {
    const int source = warp[lane].source, first_thread = int(warp - fibers);
    const char* why = "which takes no part";
    if (first_thread + source >= threads) why = "which the block does not have";
    else if (warp[source].state == State::exited) why = "which has exited";
    char text[300];
    snprintf(text, sizeof text, "%s:%d: lane %d takes a value from lane %d, %s, so it is undefined",
             file_name(warp[lane].place), warp[lane].place.line, lane, source, why);
    MINISK_NOTIFY(find_synchronisation(false, text));
}

MINISK_UNWATCHED static void exchange(Fiber* warp, unsigned group) {
    unsigned votes = 0;
    if (warp[__builtin_ctz(group)].is_barrier) MINISK_NOTIFY(syncwarp_completed(int(warp - fibers), group));
    for (int lane = 0; lane < warpSize; ++lane) {
        if (group >> lane & 1) votes |= unsigned(warp[lane].vote) << lane;
    }
    for (int lane = 0; lane < warpSize; ++lane) {
        if (!(group >> lane & 1)) continue;
        Fiber& fiber = warp[lane];
        const bool has_source = group >> fiber.source & 1;
        fiber.received = has_source ? warp[fiber.source].offered : ~uint64_t(0);
        if (!has_source) report_absent_lane(warp, lane);
        fiber.votes = votes;
        fiber.state = State::ready;
    }
}

// The position of a thread, in words.
struct Whereabouts {
    char text[120];

    explicit Whereabouts(const Fiber& fiber) {
        const auto [x, y, z] = fiber.index;
        const char* what = fiber.state == State::at_barrier ? "__syncthreads" : "a warp collective";
        if (fiber.state == State::exited) snprintf(text, sizeof text, "thread (%u,%u,%u) has exited", x, y, z);
        else snprintf(text, sizeof text, "thread (%u,%u,%u) waits at %s:%d (%s)", x, y, z, file_name(fiber.place),
                      fiber.place.line, what);
    }
};

// A sentence about two threads that are apart. `one` waits.
struct Apart {
    char text[512];

    Apart(const char* problem, const Fiber& one, const Fiber& other) {
        snprintf(text, sizeof text, "%s:%d: %s in block (%u,%u,%u): %s, %s", file_name(one.place), one.place.line,
                 problem, blockIdx.x, blockIdx.y, blockIdx.z, Whereabouts(one).text, Whereabouts(other).text);
    }
};

// Completes the collectives whose lanes have all arrived. Returns false if there is none.
MINISK_UNWATCHED static bool complete_collectives(Fiber* warp, int lanes) {
    unsigned alive = 0, in_loop = 0;
    // Collectives do not wait for lanes that have exited or that a narrow last warp lacks.
    for (int lane = 0; lane < lanes; ++lane) {
        alive |= unsigned(warp[lane].state != State::exited) << lane;
        in_loop |= unsigned(warp[lane].state == State::in_loop) << lane;
    }
    const Fiber *stuck = nullptr, *missing = nullptr;
    bool completed = false;
    for (int lane = 0; lane < lanes; ++lane) {
        if (warp[lane].state != State::at_collective) continue;
        const unsigned group = lanes_beside(warp[lane], warp, lanes), absent = warp[lane].mask & alive & ~group;
        if (absent & in_loop) continue;  // they may still come
        if (absent) {
            stuck = &warp[lane];
            missing = &warp[__builtin_ctz(absent)];
        } else {
            exchange(warp, group);
            completed = true;
        }
    }
    if (stuck && !completed)
        report_synchronisation(Apart("a lane that the mask names misses a warp collective", *stuck, *missing).text);
    return completed;
}

// Resumes each ready lane of a warp once. Returns false if there was none.
MINISK_UNWATCHED static bool run_lanes(int first, int lanes) {
    const Order order(lanes);
    bool ran = false;
    for (int i = 0; i < lanes && !running->error[0]; ++i) {
        const int thread = first + int(order[i]);
        if (fibers[thread].state != State::ready) continue;
        resume(thread);
        ran = true;
    }
    MINISK_NOTIFY(close_requests());
    return ran;
}

// Runs the lanes of a warp until each waits at a barrier or has exited.
MINISK_UNWATCHED static void run_warp(int warp) {
    const int first = warp * warpSize, lanes = min(threads - first, warpSize);
    do {
        while (!running->error[0] && run_lanes(first, lanes)) {}
    } while (!running->error[0] && complete_collectives(fibers + first, lanes));
}

MINISK_UNWATCHED static bool has_exited(int warp) {
    for (int thread = warp * warpSize; thread < min(threads, (warp + 1) * warpSize); ++thread) {
        if (fibers[thread].state != State::exited) return false;
    }
    return true;
}

[[maybe_unused]] constexpr char before_volta[] = "a barrier without the warps that have exited, undefined before Volta,";

// Opens the barrier at which all threads wait. Returns false if all have exited; reports if only some wait there. Since
// Volta, a barrier does not wait for threads that have exited. Here that holds for whole warps; where only some lanes of
// a warp are missing, older GPUs are undefined.
MINISK_UNWATCHED static bool pass_barrier() {
    const Fiber *waiting = nullptr, *exited = nullptr;
    for (int thread = 0; thread < threads; ++thread) {
        if (fibers[thread].state == State::at_barrier) waiting = &fibers[thread];
    }
    if (!waiting) return false;
    for (int thread = 0; thread < threads; ++thread) {
        const Fiber& fiber = fibers[thread];
        const bool is_out = fiber.state == State::exited;
        if (is_out && has_exited(thread / warpSize)) exited = &fiber;
        else if (is_out || !same(fiber.place, waiting->place))
            return report_synchronisation(Apart("barrier divergence", *waiting, fiber).text), false;
    }
    if (exited) MINISK_NOTIFY(find_synchronisation(true, Apart(before_volta, *waiting, *exited).text));
    for (int thread = 0; thread < threads; ++thread) {
        if (fibers[thread].state == State::at_barrier) fibers[thread].state = State::ready;
    }
    MINISK_NOTIFY(barrier_passed());
    return true;
}

// Returns whether a thread that waits in a loop may see another value when it runs again.
#ifdef MINISK_BLOCKS
static bool may_progress();
#else
static bool may_progress() { return has_progress; }  // blocks run one after the other
#endif

MINISK_UNWATCHED static char* stack_of(int thread) { return stacks + thread * stack_bytes; }
// Stacks lie a power of two apart. Without this shift, their tops would all fall into the same few lines of a cache.
MINISK_UNWATCHED static char* stack_top(int thread) { return stack_of(thread + 1) - thread % 64 * 1088; }
MINISK_UNWATCHED static bool is_reserve(uintptr_t address) {
    const uintptr_t offset = address - uintptr_t(stacks);
    return offset < threads * stack_bytes && offset % stack_bytes < stack_reserve;
}

}  // namespace minisk

#include "crashes.h"

namespace minisk {

// Makes threads that wait in a loop ready again. Returns false if there are none; reports if no other thread ran since.
MINISK_UNWATCHED static bool resume_loops() {
    const Fiber* waiting = nullptr;
    for (int thread = 0; thread < threads; ++thread) {
        if (fibers[thread].state != State::in_loop) continue;
        waiting = &fibers[thread];
        fibers[thread].state = State::ready;
    }
    if (waiting && !may_progress()) {
        current = int(waiting - fibers);
        report_thread("waits in a loop without end: no thread of its block changes the value, and blocks run one after "
                      "the other here", uintptr_t(waiting->polled_from) - 1);
        current = no_thread;
    }
    has_progress = false;
    return waiting != nullptr;
}

// Maps the stacks, above them the dynamic shared memory, and above that memory that may not be accessed. Launches with no
// more threads use them again.
static bool make_room() {
    Stacks& mapped = mapped_stacks();
    if (threads > mapped.number) {
        mapped.unmap();
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* memory = mmap(nullptr, (threads + 1) * stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED) return false;
        stacks = static_cast<char*>(memory);
        mapped.memory = stacks;
        mapped.number = threads;
        for (int thread = 0; thread < threads; ++thread) mprotect(stack_of(thread), stack_reserve, PROT_NONE);
        mprotect(stack_of(threads) + most_dynamic_shared, stack_bytes - most_dynamic_shared, PROT_NONE);
    }
    stacks = mapped.memory;
    dynamic_shared_above = stack_of(mapped.number);
    return true;
}

// Runs the threads that have begun until all have exited.
MINISK_UNWATCHED static void run_until_exit() {
    const int warps = (threads + warpSize - 1) / warpSize;
    do {
        const Order order(warps);
        for (int i = 0; i < warps && !running->error[0]; ++i) run_warp(int(order[i]));
    } while (!running->error[0] && (resume_loops() || pass_barrier()));
}

static void report_too_much_shared(Launch& launch) {
    report(launch, "%u bytes of dynamic shared memory: at most %zu", launch.dynamic_shared, most_dynamic_shared);
}

#ifndef MINISK_BLOCKS
MINISK_UNWATCHED static void run_block() {
    for (int thread = 0; thread < threads; ++thread) {
        Fiber& fiber = fibers[thread];
        fiber.state = State::ready;
        fiber.stack_pointer = fresh_stack(stack_top(thread), fiber_main);
        fiber.index = position(thread, blockDim);
        fiber.polled = nullptr;
    }
    run_until_exit();
}

// Returns all __shared__ arrays of this library: its thread-local memory in the calling thread.
static Bytes static_shared_memory() {
    static thread_local char anchor;  // one byte in that memory
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

// On a GPU, shared memory is undefined when a block begins. In mode check, it is the checker that fills it.
static void fill_shared_memory(Bytes static_shared) {
#ifndef MINISK_CHECK
    static_shared.fill(0xff);
    dynamic_shared.fill(0xff);
#endif
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
    if (launch.dynamic_shared > most_dynamic_shared) return report_too_much_shared(launch);
    if (!make_room()) return report(launch, "no memory for the stacks of %d threads", threads);
    // The memory of extern arrays belongs to the calling thread.
    dynamic_shared.start = minisk_extern_shared ? minisk_extern_shared() : dynamic_shared_above;

    const Bytes static_shared = static_shared_memory();
    const CrashGuard guard;
    MINISK_NOTIFY(launch_begins());
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    const Order order(blocks);
    for (uint64_t i = 0; i < blocks && !launch.error[0]; ++i) {
        blockIdx = position(order[i], gridDim);
        fill_shared_memory(static_shared);
        MINISK_NOTIFY(block_begins());
        run_block();
    }
    MINISK_NOTIFY(launch_ends());
}

#endif  // MINISK_BLOCKS

}  // namespace minisk

// Where this library lies in memory, for the offsets in its symbol table.
MINISK_VISIBLE char* minisk_library_start() { return minisk::__ehdr_start; }
