// one_thread.h: mode "cpu": every block has one thread, and OpenMP's threads share the blocks.
//
// With blockDim = 1 a barrier does nothing, a block-stride loop is a plain loop, a reduction tree is empty, and the
// compiler optimises a kernel as any other loop. A kernel that exchanges registers between the lanes of a warp cannot
// run so: it fails with the line, and needs mode "threads".
#pragma once
#include <vector>
#include "in_parallel.h"

#define __shared__ thread_local

// Bytes of a vector register. convolution_layout.py asks for them, to choose the tile.
#if defined(__AVX512F__)
#define MINISK_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MINISK_VECTOR_BYTES 32
#else
#define MINISK_VECTOR_BYTES 16
#endif
extern "C" inline __attribute__((used)) int minisk_vector_bytes() { return MINISK_VECTOR_BYTES; }

static constexpr dim3 blockDim{1, 1, 1};
static constexpr uint3 threadIdx{0, 0, 0};
static thread_local uint3 blockIdx;
static thread_local dim3 gridDim;

static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() {}
static inline void __threadfence_system() { __threadfence(); }
static inline void __syncthreads() {}
static inline void __syncwarp(unsigned = 0) {}

#include "rescue.h"

namespace minisk {

// Ends a launch.
struct CannotRun {
    Place place;
    const char* reason;
};
static constexpr char needs_full_warp[] = "warp collectives need a full warp: run this kernel in mode threads";

static int lane() { return 0; }
template <class T> static T from_lane(unsigned, T, int, Place place) { throw CannotRun{place, needs_full_warp}; }
static unsigned ballot(unsigned, bool, Place place) { throw CannotRun{place, needs_full_warp}; }

template <class T, class Update> static inline T atomic_update(T* address, Update update, bool) {
    return update_in_parallel(address, update);
}

// Kept from launch to launch. There is no limit to its size: a CPU's caches are larger than a GPU's shared memory.
struct alignas(64) Line { char bytes[64]; };
static thread_local std::vector<Line> dynamic_shared_memory;

// Runs the blocks first … last − 1, one after the other.
__attribute__((noinline)) static void run_blocks(size_t first, size_t last, Launch& launch, KernelCall call) try {
    dynamic_shared_memory.resize(max(dynamic_shared_memory.size(), launch.dynamic_shared / sizeof(Line) + 1));
    gridDim = grid_of(launch);
    for (size_t block = first; block < last; ++block) {
        blockIdx = position(block, gridDim);
        call();
    }
} catch (const CannotRun& refusal) {
    #pragma omp critical(minisk_report)
    report(launch, "%s:%d: %s", refusal.place.file, refusal.place.line, refusal.reason);
}

// The same, and a crash of the kernel is an error. run: of all runs that share the blocks.
static void run_guarded(size_t run, size_t first, size_t last, Launch& launch, KernelCall call) {
    Rescue* const rescue = claim_rescue(run);
    if (!rescue) return run_blocks(first, last, launch, call);
    if (sigsetjmp(rescue->back, 0)) report_crash(launch, *rescue);
    else run_blocks(first, last, launch, call);
    rescue->thread = 0;
}

static void run_grid(Launch& launch, KernelCall call) {
    if (minisk_extern_shared && launch.dynamic_shared > 64 * 1024)
        return report(launch, "%u bytes of extern __shared__ memory: at most 65536", launch.dynamic_shared);
    [[maybe_unused]] static const bool has_handlers = install_handlers();
    share_blocks(launch, [&](size_t run, size_t first, size_t last) { run_guarded(run, first, last, launch, call); });
}

}  // namespace minisk

static inline char* minisk_dynamic_shared() { return minisk::dynamic_shared_memory.data()->bytes; }
