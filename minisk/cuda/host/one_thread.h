// one_thread.h: mode "cpu": every block has one thread, and the blocks are spread over OpenMP's threads.
//
// With blockDim = 1 a barrier has nobody to wait for, a block-stride loop is a plain loop and a reduction tree is empty, so
// that the compiler makes of a kernel what it makes of any loop. A kernel that exchanges registers between the lanes of a
// warp has no such reading: it fails, naming the line, and runs in mode "threads".
#pragma once
#include <algorithm>
#include <memory>
#ifdef _OPENMP
#include <omp.h>
#endif

#define __shared__ static thread_local

static constexpr dim3 blockDim{1, 1, 1};
static constexpr uint3 threadIdx{0, 0, 0};
static thread_local uint3 blockIdx;
static thread_local dim3 gridDim;

static inline void __syncthreads() {}
static inline void __syncwarp(unsigned = 0) {}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

namespace minisk {

struct NeedsFullWarp { Place place; };

static int lane() { return 0; }
template <class T> static T from_lane(unsigned, T, int, Place place) { throw NeedsFullWarp{place}; }
static unsigned ballot(unsigned, bool, Place place) { throw NeedsFullWarp{place}; }

// Two blocks may update one address at the same time, on two cores.
template <class T, class Update> static inline T atomic_update(T* address, Update update) {
    T old, updated;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do updated = update(old);
    while (!__atomic_compare_exchange(address, &old, &updated, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

static thread_local char* dynamic_shared_memory;

static uint3 block_position(size_t block) {
    const size_t row = block / gridDim.x;
    return {unsigned(block % gridDim.x), unsigned(row % gridDim.y), unsigned(row / gridDim.y)};
}

// Runs the blocks from first up to last, one after the other.
static void run_blocks(size_t first, size_t last, Launch& launch, KernelCall call) try {
    constexpr size_t alignment = 64;
    size_t room = launch.dynamic_shared + alignment;
    const std::unique_ptr<char[]> buffer(new char[room]);
    void* start = buffer.get();
    dynamic_shared_memory = static_cast<char*>(std::align(alignment, launch.dynamic_shared, start, room));
    gridDim = grid_of(launch);
    for (size_t block = first; block < last; ++block) {
        blockIdx = block_position(block);
        call();
    }
} catch (const NeedsFullWarp& refusal) {
    #pragma omp critical(minisk_report)
    report(launch, "%s:%d: warp collectives need a full warp: run this kernel in mode threads", refusal.place.file,
           refusal.place.line);
} catch (const std::bad_alloc&) {
    #pragma omp critical(minisk_report)
    report(launch, "no memory for %u bytes of dynamic shared memory", launch.dynamic_shared);
}

// Each OpenMP thread takes one contiguous run of blocks, the same at every launch, so that results don't change from run
// to run and neighbouring blocks find each other's data in their core's cache.
static void run_grid(Launch& launch, KernelCall call) {
    const size_t blocks = size_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
#ifdef _OPENMP
    const size_t runs = std::min<size_t>(blocks, omp_get_max_threads());
#else
    const size_t runs = 1;
#endif
    #pragma omp parallel for schedule(static, 1) if (runs > 1)
    for (size_t run = 0; run < runs; ++run)
        run_blocks(blocks * run / runs, blocks * (run + 1) / runs, launch, call);
}

}  // namespace minisk

static inline char* minisk_dynamic_shared() { return minisk::dynamic_shared_memory; }
