// in_parallel.h: what the two executors that use all processors share: OpenMP's threads, and atomic updates between them.
#pragma once
#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_max_threads() { return 1; }
static inline int omp_get_num_threads() { return 1; }
#endif

namespace minisk {

// Two blocks may update one address at the same time, on two cores, so this is a compare-and-swap loop.
template <class T, class Update> static inline T update_in_parallel(T* address, Update update) {
    T old, updated;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do updated = update(old);
    while (!__atomic_compare_exchange(address, &old, &updated, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

// GNU's OpenMP takes 128 bytes of the stack for each thread that it starts: 65,536 threads overrun the usual 8 MB. The system
// may refuse a thread far below that, which ends the process. No more threads than this are therefore asked for.
constexpr int MOST_THREADS = 1024;

static inline int threads_of_a_launch() { return min(omp_get_max_threads(), MOST_THREADS); }

// Calls run_blocks(run, first, last) so that every block of the grid is run: each OpenMP thread takes one contiguous range,
// the same at every launch. Results are reproducible, and neighbouring blocks share their core's cache.
template <class RunBlocks> static void share_blocks(const Launch& launch, RunBlocks run_blocks) {
    const size_t blocks = size_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
    const int threads = threads_of_a_launch();
    const size_t runs = min(blocks, size_t(threads));
    #pragma omp parallel for schedule(static, 1) num_threads(threads) if (runs > 1)
    for (size_t run = 0; run < runs; ++run) run_blocks(run, blocks * run / runs, blocks * (run + 1) / runs);
}

}  // namespace minisk

// convolution_layout.py asks for it, to choose how many blocks share a convolution.
extern "C" inline __attribute__((used)) int minisk_threads() { return minisk::threads_of_a_launch(); }
