// common.cuh: what all kernel files share: the stored and the computed type, loops over a grid, sums over a block.
//
// The same .cu text is compiled in three ways: by NVRTC for a GPU; by the system's C++ compiler with one thread per
// block (MINISK_ONE_THREAD: fast loops, mode `cpu`); by the same compiler with all threads of a block (mode `threads`).
//
//   REAL   the stored type: float, double, or half_t (float16)     real: the same as a type
//   wide   the type to compute in: double for double, else float
//   INDEX  int, or long long when an array has 2^31 elements or more   index_t: the same as a type
#pragma once

#ifndef REAL
#define REAL float
#endif
#ifndef INDEX
#define INDEX int
#endif

// Marks a kernel that is correct for every block size, one thread included: a CPU may run it as a plain loop.
#ifndef ANY_BLOCK
#define ANY_BLOCK
#endif

#ifndef INFINITY  // NVRTC has no <math.h>
#define INFINITY __int_as_float(0x7f800000)
#endif

#ifndef MINISK_ON_CPU
// float16 for storage. Each conversion is one instruction. CuPy's package does not contain CUDA's own header.
struct half_t {
    unsigned short bits;
    half_t() = default;
    __device__ half_t(float value) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value)); }
    __device__ operator float() const {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
    }
};
#elif defined(MINISK_HAS_HALF)
typedef minisk_half half_t;
#endif

typedef REAL real;
typedef INDEX index_t;

template <class T> struct Wide { typedef float type; };
template <> struct Wide<double> { typedef double type; };
typedef Wide<REAL>::type wide;

// GRID_LOOP: i takes each of n values once, over all threads of the grid's x; neighbouring threads take neighbours.
// TILE_LOOP: the same over the grid's y, for a block whose x selects a plane.
// BLOCK_LOOP: the same over the threads of one block.
// PLANE_LOOP: p takes each of n planes (or rows) once, over all blocks; all threads of a block work on the same plane.
// With one thread per block, a block takes a run of neighbours instead, which a compiler can vectorise.
#ifdef MINISK_ONE_THREAD
#define MINISK_RUN(T, i, n, block, blocks)                                                                            \
    for (T i = (T)((long long)(n) * (block) / (blocks)), i##_end = (T)((long long)(n) * ((block) + 1LL) / (blocks));  \
         i < i##_end; ++i)
#define GRID_LOOP(T, i, n) MINISK_RUN(T, i, n, blockIdx.x, gridDim.x)
#define TILE_LOOP(i, n) MINISK_RUN(int, i, n, blockIdx.y, gridDim.y)
#define PLANE_LOOP(p, n) MINISK_RUN(long long, p, n, blockIdx.x, gridDim.x)
#else
#define GRID_LOOP(T, i, n)                                                                                            \
    for (T i = (T)blockIdx.x * (T)blockDim.x + (T)threadIdx.x; i < (n); i += (T)blockDim.x * (T)gridDim.x)
#define TILE_LOOP(i, n)                                                                                               \
    for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.y)
#define PLANE_LOOP(p, n) for (long long p = blockIdx.x; p < (n); p += gridDim.x)
#endif
#define BLOCK_LOOP(i, n) for (int i = threadIdx.x; i < (n); i += blockDim.x)

// NEIGHBOURS: elements that one thread takes together where a plain loop would be too long to vectorise. On a GPU each
// neighbour has a thread of its own.
#ifdef MINISK_ONE_THREAD
#define NEIGHBOURS 256
#else
#define NEIGHBOURS 1
#endif

// a / b, rounded up: how many groups of b hold a elements. A negative quotient is rounded towards 0.
__device__ __forceinline__ int ceil_div(const int a, const int b) { return (a + b - 1) / b; }

// DYNAMIC_SHARED: shared memory whose size is given at launch.
#ifndef MINISK_ON_CPU
#define DYNAMIC_SHARED(T, name)                                                                                       \
    extern __shared__ __align__(16) unsigned char minisk_dynamic_bytes[];                                             \
    T* name = reinterpret_cast<T*>(minisk_dynamic_bytes)
#else
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(minisk_dynamic_shared())
#endif

// Four neighbours in one request, 16 bytes of float; p must be aligned to them. With one thread per block the compiler
// vectorises a plain loop instead.
struct alignas(4 * sizeof(real)) four { real item[4]; };

__device__ __forceinline__ bool can_load4(const real* p) {
#ifdef MINISK_ONE_THREAD
    return false;
#else
    return (unsigned long long)p % alignof(four) == 0;
#endif
}

__device__ __forceinline__ four load4(const real* p) {
#ifdef MINISK_CHECK
    return minisk_load_whole<four>(p);
#else
    return *reinterpret_cast<const four*>(p);
#endif
}

// Block-wide sum (or maximum); every thread gets the result. blockDim.x is a multiple of 32, up to 1,024.
#ifdef MINISK_ONE_THREAD
__device__ __forceinline__ wide block_sum(wide value) { return value; }
__device__ __forceinline__ wide block_max(wide value) { return value; }
#else
struct Add { static __device__ __forceinline__ wide of(wide a, wide b) { return a + b; } };
struct Max { static __device__ __forceinline__ wide of(wide a, wide b) { return a > b || a != a ? a : b; } };  // keeps NaN

template <class Operation> __device__ __forceinline__ wide warp_reduce(wide value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value = Operation::of(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

template <class Operation> __device__ __forceinline__ wide block_reduce(wide value, wide neutral) {
    __shared__ wide warp_values[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_reduce<Operation>(value);
    __syncthreads();  // all threads have read the previous call's values
    if (lane == 0) warp_values[warp] = value;
    __syncthreads();
    return warp_reduce<Operation>(lane < warps ? warp_values[lane] : neutral);
}

__device__ __forceinline__ wide block_sum(wide value) { return block_reduce<Add>(value, 0); }
__device__ __forceinline__ wide block_max(wide value) { return block_reduce<Max>(value, -(wide)INFINITY); }
#endif

// A sum of many terms adds up to RUN_TERMS of them in a register, a run, and the runs in double. So the error does not
// grow with the number of terms, and one addition in RUN_TERMS is slow.
#ifndef RUN_TERMS
#ifdef MINISK_ONE_THREAD
#define RUN_TERMS 1024  // 64 additions in each of 16 lanes
#else
#define RUN_TERMS 64
#endif
#endif

// The sum of the thread's share of term(i), for i in [0, n): the threads of the block take neighbours.
template <class Term> __device__ __forceinline__ double thread_sum(const int n, const Term term) {
    const int step = RUN_TERMS * (int)blockDim.x;
    double total = 0;
    int start = 0;
    for (; n - start > step; start += step) {
        wide run = 0;
        BLOCK_LOOP(i, step) run += term(start + i);
        total += (double)run;
    }
    wide run = 0;
    BLOCK_LOOP(i, n - start) run += term(start + i);
    return total + (double)run;
}

// The sum of term(i) for i in [0, n); every thread of the block gets it.
template <class Term> __device__ __forceinline__ wide sum_over_block(const int n, const Term term) {
    return block_sum((wide)thread_sum(n, term));
}
