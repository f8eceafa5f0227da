// fibers.h: mode "threads": every CUDA thread is a fiber, so a kernel runs at its true block size on one CPU thread.
//
// A fiber is a stack and a saved stack pointer. It runs until it waits (at a barrier, at a warp collective) or exits;
// then the scheduler resumes the next one (scheduler.h). Fibers never run in parallel, so a launch is deterministic:
// run a kernel in several orders (forward, reverse, random), and a missing barrier shows as different results.
//
// Here: the state of a launch, and the functions that fibers call.
#pragma once
#include <pthread.h>
#include <sys/mman.h>

#include <mutex>
#include <numeric>

#include "context_switch.h"
#ifdef MINISK_BLOCKS
#include "in_parallel.h"
#endif

// Thread-local storage, because the linker then places all shared arrays of a library side by side, also those of
// templates and inline functions: see static_shared_memory.
#ifndef MINISK_CHECK
#define __shared__ thread_local
#else
// Arrays lie so far apart that an access beyond the end of one, of 48 KiB at most, does not hit the next.
#define __shared__ thread_local __attribute__((aligned(64 * 1024)))
#endif

// The state of the block that runs. In mode "blocks" each processor runs one, and has a state of its own.
#ifdef MINISK_BLOCKS
#define MINISK_STATE static thread_local
#include "processor.h"
#else
#define MINISK_STATE static
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
#endif

namespace minisk {

constexpr int most_threads = 1024;
constexpr int no_thread = -1;

// A stack grows downwards. Below the part that a thread may use is a reserve, which may not be accessed: a thread that
// overflows its stack is reported there.
constexpr size_t stack_bytes = 256 * 1024, stack_reserve = 128 * 1024;
constexpr size_t most_dynamic_shared = 48 * 1024;
constexpr char stack_overflow[] = "needs more than its 128 KiB of local memory";

// in_loop: see let_others_run. What comes after it is progress.
enum class State { ready, in_loop, at_barrier, at_collective, exited };

struct Fiber {
    void* stack_pointer;
    uint3 index;  // threadIdx
    State state;
    Place place;  // where it waits
    const void* polled;  // the address of its last access, if watched, or of its last update
    int polls;           // at this address, one after the other, without a change
    void* polled_from;   // the instruction after the last poll

    // The warp collective it waits at: its arguments, and its results.
    unsigned mask;
    bool is_barrier;  // __syncwarp
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

// The mapped stacks, with room for the dynamic shared memory after them. A page that may not be accessed lies between
// two stacks, and a process may have only some 65,000 ranges of pages. So all libraries use the same stacks: g++ gives an
// inline variable one address in the process. Another compiler may give each library its own, which costs memory only.
struct Stacks {
    char* memory = nullptr;
    int number = 0;
    MINISK_UNWATCHED void unmap() {
        if (memory) munmap(memory, (number + 1) * stack_bytes);
        memory = nullptr;
        number = 0;
    }
};
#ifdef MINISK_BLOCKS
struct StacksOfProcessor : Stacks { ~StacksOfProcessor() { unmap(); } };  // when the processor's thread ends
inline thread_local StacksOfProcessor stacks_of_processor;
MINISK_UNWATCHED static Stacks& mapped_stacks() { return stacks_of_processor; }
#else
inline Stacks stacks_of_process;
MINISK_UNWATCHED static Stacks& mapped_stacks() { return stacks_of_process; }
#endif

// The one launch that runs at a time.
inline std::mutex one_launch;
// A fork waits until no other thread launches: in the child, no thread would unlock the mutex. The first library that is
// loaded says so for all; one is loaded at a time.
inline int fork_handlers = 0;
__attribute__((constructor)) static void handle_forks() {
    if (fork_handlers++ > 0) return;
    pthread_atfork([] { one_launch.lock(); }, [] { one_launch.unlock(); }, [] { one_launch.unlock(); });
}
MINISK_STATE Launch* running;
MINISK_STATE KernelCall kernel_call;
MINISK_STATE Fiber fibers[most_threads];
MINISK_STATE char* stacks;             // of this launch
MINISK_STATE int threads;              // in a block
MINISK_STATE int current = no_thread;  // the running thread; no_thread while the scheduler runs
MINISK_STATE void* scheduler_stack_pointer;
MINISK_STATE Bytes dynamic_shared;
MINISK_STATE char* dynamic_shared_above;  // the stacks; for files without extern arrays
MINISK_STATE uint32_t seed;
MINISK_STATE void* last_access;           // the instruction after the last watched access, in mode "check"
MINISK_STATE bool has_progress;  // since yielded threads were last resumed, some thread did more than poll

// The checker is notified of these events; without MINISK_CHECK they are ignored.
#ifdef MINISK_CHECK
#define MINISK_NOTIFY(event) event
static void launch_begins();
static void launch_ends();
static void block_begins();
static void barrier_passed();
static void syncwarp_completed(int first_thread, unsigned group);
static void find_synchronisation(bool is_hint, const char* text);
static void fence(bool is_within_block);
static void close_requests();
static void watch_atomic(void* address, size_t bytes, bool is_exchange, void* return_address);
#else
#define MINISK_NOTIFY(event) ((void)0)
#endif

// The linear congruential generator of Numerical Recipes: <random> takes longer to compile than most kernels.
MINISK_UNWATCHED static uint64_t draw(uint64_t count) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % count;
}

// A permutation of 0 … count − 1.
struct Order {
    uint64_t count, start, step;

#ifdef MINISK_BLOCKS
    explicit Order(uint64_t) {}
    uint64_t operator[](uint64_t i) const { return i; }
#else
    MINISK_UNWATCHED explicit Order(uint64_t count) : count(count), start(0), step(1) {
        if (running->schedule == 1) start = step = count - 1;
        if (running->schedule < 2) return;
        start = draw(count);
        do step = 1 + draw(count);
        while (std::gcd(step, count) != 1);
    }
    MINISK_UNWATCHED uint64_t operator[](uint64_t i) const { return (start + i * step) % count; }
#endif
};

// ---- called by fibers ----

#ifdef MINISK_BLOCKS
static void* next_stack_pointer();  // blocks.h
#else
MINISK_UNWATCHED static void* next_stack_pointer() { return scheduler_stack_pointer; }
#endif

MINISK_UNWATCHED static void wait(State state, Place place) {
    Fiber& fiber = fibers[current];
    fiber.state = state;
    fiber.place = place;
    minisk_switch_stack(&fiber.stack_pointer, next_stack_pointer());
}

MINISK_UNWATCHED static void fiber_main() {
    kernel_call();
    wait(State::exited, {});
    __builtin_unreachable();
}

MINISK_UNWATCHED static int lane() { return current % warpSize; }

MINISK_UNWATCHED static const char* file_name(Place place) {
    const char* const slash = strrchr(place.file, '/');
    return slash ? slash + 1 : place.file;
}

// Reports that threads do not meet as they must.
MINISK_UNWATCHED static void report_synchronisation(const char* text) {
    report(*running, "%s", text);
    MINISK_NOTIFY(find_synchronisation(false, text));
}

MINISK_UNWATCHED static Fiber& wait_for_warp(unsigned mask, bool is_barrier, Place place) {
    Fiber& fiber = fibers[current];
    fiber.mask = mask;
    fiber.is_barrier = is_barrier;
    if (!(mask >> lane() & 1)) {
        char text[300];
        snprintf(text, sizeof text, "%s:%d: lane %d calls a warp collective whose mask 0x%08x does not name it",
                 file_name(place), place.line, lane(), mask);
        report_synchronisation(text);
    }
    wait(State::at_collective, place);
    return fiber;
}

template <class T> MINISK_UNWATCHED static T from_lane(unsigned mask, T value, int source, Place place) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a warp exchanges values of at most 8 bytes");
    Fiber& fiber = fibers[current];
    fiber.source = source;
    memcpy(&fiber.offered, &value, sizeof value);
    wait_for_warp(mask, false, place);
    memcpy(&value, &fiber.received, sizeof value);
    return value;
}

MINISK_UNWATCHED static unsigned ballot(unsigned mask, bool vote, Place place) {
    fibers[current].vote = vote;
    fibers[current].source = lane();
    return wait_for_warp(mask, false, place).votes;
}

// Counts the polls of an address. A thread that has polled `most` times waits for another thread, which must run first.
MINISK_UNWATCHED static inline void let_others_run(const void* address, bool is_poll, int most,
                                                   void* return_address) {
    Fiber& fiber = fibers[current];
    if (!is_poll || fiber.polled != address) fiber.polls = 0;
    fiber.polled = address;
    if (!is_poll || ++fiber.polls < most) return;
    fiber.polls = 0;
    fiber.polled_from = return_address;
    wait(State::in_loop, {});
}

// is_exchange: it is an atomicCAS.
template <class T, class Update>
MINISK_UNWATCHED __attribute__((noinline)) static T atomic_update(T* address, Update update, bool is_exchange) {
    MINISK_NOTIFY(watch_atomic(address, sizeof(T), is_exchange, __builtin_return_address(0)));
#ifdef MINISK_BLOCKS
    const T old = update_in_parallel(address, update);
#else
    const T old = *address;  // no other fiber runs meanwhile
    *address = update(old);
#endif
    const bool is_same = memcmp(&old, address, sizeof old) == 0;
    has_progress |= !is_same;
    let_others_run(address, is_same, 100, __builtin_return_address(0));
    return old;
}

}  // namespace minisk

static inline char* minisk_dynamic_shared() { return minisk::dynamic_shared.start; }

MINISK_UNWATCHED static inline void __threadfence() { MINISK_NOTIFY(minisk::fence(false)); }
MINISK_UNWATCHED static inline void __threadfence_block() { MINISK_NOTIFY(minisk::fence(true)); }
MINISK_UNWATCHED static inline void __threadfence_system() { __threadfence(); }
MINISK_UNWATCHED static inline void __syncthreads(MINISK_HERE) {
    minisk::wait(minisk::State::at_barrier, place);
}
MINISK_UNWATCHED static inline void __syncwarp(unsigned mask = ~0u, MINISK_HERE) {
    minisk::fibers[minisk::current].source = minisk::lane();
    minisk::wait_for_warp(mask, true, place);
}

#include "scheduler.h"
#ifdef MINISK_BLOCKS
#include "blocks.h"
#endif
