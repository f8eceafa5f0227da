// lanes.cuh: the register tile of convolution.cu, for a GPU and for a CPU.
//
//   LANES         threads of a team, which read neighbouring positions
//   SUMS          registers that hold a tile's sums; convolution_layout.py has the same numbers
//   TILE_TAPS     the other side of the tile of a weight gradient of few outputs
//   OUT_SUMS      registers that hold the sums of a tile of a weight gradient of many outputs
//   OUT_VECTORS   the most vectors of outputs of such a tile; convolution_layout.py has the same numbers
//   STEP          positions that a team reads at once
//
// The includer includes common.cuh first, and defines TILE_OUT if it uses TILE_TAPS. vector.cuh defines `lanes` and VECTOR.
#pragma once
#include "vector.cuh"

#ifndef MINISK_ONE_THREAD

#ifndef LANES
#define LANES 8
#endif
#define SUMS 32
#define TILE_TAPS 3
#define OUT_SUMS 12
#define MOST_OUT_VECTORS 1

__device__ __forceinline__ wide team_sum(lanes value) { return warp_reduce<Add>(value); }  // a team of a whole warp

__device__ __forceinline__ void add_to(wide* place, const lanes value, const bool is_first) {
    *place = is_first ? value : *place + value;
}

#else  // a block of one thread: a team of one, whose elements are vector registers

#ifndef LANES
#define LANES 1
#endif
static_assert(LANES == 1, "convolution.cu: a block of one thread has teams of one: LANES=1");
#if MINISK_VECTOR_BYTES == 32  // AVX2 has 16 registers: 12 sums, 3 vectors of pixels and a weight
#define SUMS 12
#define TILE_TAPS (TILE_OUT > 4 ? 1 : 3)
#else
#define SUMS (MINISK_VECTOR_BYTES == 64 ? 24 : 16)
#define TILE_TAPS (MINISK_VECTOR_BYTES == 64 ? 3 : 2)
#endif
#define OUT_SUMS (MINISK_VECTOR_BYTES == 64 ? 24 : 12)  // of 32 registers or 16: the others hold outputs and a number of x
#define MOST_OUT_VECTORS (MINISK_VECTOR_BYTES == 64 ? 4 : 2)

static inline wide team_sum(lanes value) { return sum_of(value); }

// Adds to what is there, or writes, if it is the first sum.
static inline void add_to(wide* place, const lanes value, const bool is_first) {
    lanes sum = value;
    if (!is_first) memcpy(&sum, place, sizeof sum), sum += value;
    memcpy(place, &sum, sizeof sum);
}

// Copies a row. For the short rows of an image, calling memcpy would take longer than copying.
static inline void copy(const real* from, const int count, real* to) {
    if (count < VECTOR) {
        for (int k = 0; k < count; k++) to[k] = from[k];
        return;
    }
    for (int k = 0; k < count - VECTOR; k += VECTOR) store(to + k, load(from + k));
    store(to + count - VECTOR, load(from + count - VECTOR));  // overlaps the one before
}

#endif

#ifndef OUT_VECTORS  // `minisk check` proves larger tiles too
#define OUT_VECTORS MOST_OUT_VECTORS
#endif
#define STEP (LANES * VECTOR)

__device__ __forceinline__ int team() { return threadIdx.x / LANES; }
__device__ __forceinline__ int teams() { return blockDim.x / LANES; }
__device__ __forceinline__ int lane() { return threadIdx.x % LANES; }
__device__ __forceinline__ int own() { return lane() * VECTOR; }  // the first of STEP positions that this thread reads
