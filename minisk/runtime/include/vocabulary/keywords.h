// keywords.h: CUDA's qualifiers of functions and variables, and the macros by which a file recognises CUDA.
//
// `__shared__` depends on the executor: one_thread.h, fibers.h.
#pragma once

// A file asks for these to choose between host and device code, and between generations of GPUs. 800 is the A100.
#define __CUDACC__ 1
#define __NVCC__ 1
#define __CUDA_ARCH__ 800
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define CUDART_VERSION 13000
#define CUDA_VERSION 13000

#ifndef MINISK_SCAN  // runtime/preprocess.py finds kernels and variables by these words in the preprocessed text
#ifdef MINISK_BLOCKS
// Compiled into a loop (launch.h), as an inline function could be. An explicit instantiation must not be `inline`.
#define __global__ __attribute__((visibility("hidden")))
#else
#define __global__ __attribute__((noinline))
#endif
#define __device__
#define __constant__
#define __managed__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#endif
#define __host__
#define __maxnreg__(...)
#define __grid_constant__
#define __restrict __restrict__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __noinline__  // nothing, because the C++ library writes __attribute__((__noinline__))
#define __nv_pure__ __attribute__((pure))
#if defined(MINISK_FIBERS) && !defined(MINISK_BLOCKS)
// A function whose address is taken cannot be inlined everywhere, and g++ then refuses always_inline.
#define __forceinline__ inline
#else
#define __forceinline__ inline __attribute__((always_inline))
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return {x, y, z}; }
};

static constexpr int warpSize = 32;

using uchar = unsigned char;

#ifndef __clang__
#define __builtin_assume(condition) ((void)0)
#endif
#define __assume(condition) ((void)0)
