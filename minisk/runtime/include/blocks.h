// blocks.h: mode "blocks": any kernel at its true block size, once and without checks; OpenMP's threads share the blocks.
//
// Most threads never wait. So a stack does not belong to one thread: it runs the threads of the block one after the
// other, as a plain loop (see call_untyped in launch.h). If a thread waits, at a barrier or a warp collective, it keeps
// the stack, and the next thread begins on another one. When all have begun, the scheduler goes on as in mode "threads".
#pragma once
#include <sched.h>

#include <chrono>

namespace minisk {

// Makes the next thread of the block the running one, in the order x, y, z, and returns its number; no_thread if all have
// begun. `previous`: the thread that this stack ran before, or no_thread.
static inline int begin_next_thread(int previous) {
    Processor& own = processor();
    if (own.has_waited && previous != no_thread) fibers[previous].state = State::exited;
    if (own.begun == own.threads) return no_thread;
    uint3& index = own.thread_index;
    if (++index.x == own.block_size.x) {
        index.x = 0;
        if (++index.y == own.block_size.y) index.y = 0, ++index.z;
    }
    *own.current_thread = own.begun;
    asm volatile("" ::"m"(*own.current_thread));  // in memory, because the handler of a crash reads it
    return own.begun++;
}

// A thread that waits hands over to the next one, if that is ready, without a detour through the scheduler.
static void* next_stack_pointer() {
    has_progress |= fibers[current].state > State::in_loop;
    if (current + 1 == threads || fibers[current + 1].state != State::ready) return scheduler_stack_pointer;
    threadIdx = fibers[++current].index;
    return fibers[current].stack_pointer;
}

static void run_block_in_a_loop() {
    Processor& own = processor();
    own.begun = 0;
    own.has_waited = false;
    own.thread_index = {~0u, 0, 0};  // before the first thread
    for (int stack = 0; own.begun < threads && !running->error[0]; ++stack) {
        current = own.begun;
        minisk_switch_stack(&scheduler_stack_pointer, fresh_stack(stack_top(stack), fiber_main));
        own.has_waited |= fibers[current].state != State::exited;
    }
    has_progress = true;  // of this block, whatever this processor ran before
    if (own.has_waited) run_until_exit();
    current = no_thread;
}

// If no thread of this block got on, waits for a block on another processor, for 20 seconds at most.
static bool may_progress() {
    using Clock = std::chrono::steady_clock;
    static thread_local Clock::time_point since;
    if (has_progress) since = Clock::now();
    if (has_progress || omp_get_num_threads() == 1) return has_progress;
    sched_yield();
    return Clock::now() - since < std::chrono::seconds(20);
}

static void run_range(size_t first, size_t last, Launch& own, KernelCall call) {
    const SignalStack signal_stack;
    is_in_launch = true;
    running = &own;
    kernel_call = call;
    gridDim = grid_of(own);
    blockDim = block_of(own);
    threads = processor().threads = int(blockDim.x * blockDim.y * blockDim.z);
    processor().current_thread = &current;
    dynamic_shared.size = own.dynamic_shared;
    if (!make_room()) return report(own, "no memory for the stacks of %d threads", threads);
    dynamic_shared.start = minisk_extern_shared ? minisk_extern_shared() : dynamic_shared_above;
    for (int thread = 0; thread < threads; ++thread) {
        fibers[thread].index = position(thread, blockDim);
        fibers[thread].state = State::exited;
    }
    for (size_t block = first; block < last && !own.error[0]; ++block) {
        blockIdx = position(block, gridDim);
        run_block_in_a_loop();
    }
    is_in_launch = false;
}

static void run_grid(Launch& launch, KernelCall call) {
    if (launch.dynamic_shared > most_dynamic_shared) return report_too_much_shared(launch);
    const std::lock_guard<std::mutex> lock(one_launch);
    const CrashGuard guard;
    share_blocks(launch, [&](size_t, size_t first, size_t last) {
        Launch own = launch;
        run_range(first, last, own, call);
        #pragma omp critical(minisk_report)
        if (own.error[0] && !launch.error[0]) launch = own;
    });
}

}  // namespace minisk
