// lanes.cuh: the register tile of convolution.cu, for a GPU and for a CPU.
//
//   LANES         threads of a team, which read neighbouring positions
//   SUMS          registers that hold a tile's sums; convolution_layout.py has the same numbers
//   TILE_VECTORS  `lanes` of a tile's row: a tile is TILE_OUT channels × TILE_VECTORS lanes; a layout may choose more
//   TILE_TAPS     the other side of the tile of a weight gradient of few outputs
//   OUT_SUMS      registers that hold the sums of a tile of a weight gradient of many outputs
//   STEP, SPAN    positions that a team reads at once; positions of a tile
//
// The includer defines TILE_OUT and IMAGES, and includes common.cuh first. vector.cuh defines `lanes` and VECTOR.
#pragma once
#include "vector.cuh"

#ifndef MINISK_ONE_THREAD

#ifndef LANES
#define LANES 8
#endif
#define SUMS 32
#define TILE_TAPS 3
#define OUT_SUMS 12

__device__ __forceinline__ wide team_sum(lanes value) { return warp_reduce<Add>(value); }  // a team of a whole warp

__device__ __forceinline__ void add_to(wide* place, const lanes value, const bool is_first) {
    *place = is_first ? value : *place + value;
}

__device__ __forceinline__ void copy(const real* from, const int count, real* to) {
    for (int k = threadIdx.x % LANES; k < count; k += LANES) to[k] = from[k];
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
#define SUMS 16
#define TILE_TAPS (MINISK_VECTOR_BYTES == 64 ? 3 : 2)
#endif
#define OUT_SUMS (MINISK_VECTOR_BYTES == 64 ? 24 : 12)  // of 32 registers or 16: the others hold outputs and a number of x

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

#ifndef TILE_VECTORS
#define TILE_VECTORS (SUMS / TILE_OUT)
#endif
#define STEP (LANES * VECTOR)
#define SPAN (STEP * TILE_VECTORS)

__device__ __forceinline__ int team() { return threadIdx.x / LANES; }
__device__ __forceinline__ int teams() { return blockDim.x / LANES; }
__device__ __forceinline__ int lane() { return threadIdx.x % LANES; }
__device__ __forceinline__ int own() { return lane() * VECTOR; }  // the first of STEP positions that this thread reads

// Writes one channel of a tile: every IMAGES-th element goes to one image, `step` pixels apart. line: the output row;
// image: elements from one image to the next; positions: the end of the row.
__device__ __forceinline__ void write(const lanes* sum, const long long image, const int step, const int position,
                                      const int positions, real* __restrict__ line) {
#ifdef MINISK_ONE_THREAD
    wide values[SPAN];
    memcpy(values, sum, sizeof values);
    line += position / IMAGES * step;
    const int count = min(SPAN, positions - position);
    if (SPAN % IMAGES) {  // a tile begins or ends between the images of a pixel
        const int first = position % IMAGES;
        for (int k = 0; k < count; k++) line[(first + k) % IMAGES * image + (first + k) / IMAGES * step] = (real)values[k];
    } else if (step == 1 && count == SPAN) {  // numbers known to the compiler, which shuffles vectors then
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < SPAN / IMAGES; c++) line[i * image + c] = (real)values[c * IMAGES + i];
    } else {
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < count / IMAGES; c++) line[i * image + c * step] = (real)values[c * IMAGES + i];
    }
#else
    for (int v = 0; v < TILE_VECTORS; v++) {
        const int p = position + v * STEP + lane();
        if (p < positions) line[p % IMAGES * image + p / IMAGES * step] = (real)sum[v];
    }
#endif
}
