// vocabulary.h: the keywords, types and functions of CUDA C that kernels use and a C++ compiler does not define.
//
// Those that depend on how threads are executed (threadIdx, __shared__, __syncthreads, shuffles, atomics, fences) are in
// one_thread.h and fibers.h.
#pragma once
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#ifdef MINISK_BLOCKS
#define __global__ inline
#else
#define __global__ __attribute__((noinline))
#endif
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static constexpr int warpSize = 32;

// Vector types, aligned as vector loads on a GPU require.
template <class T> struct alignas(2 * sizeof(T)) minisk_vector2 { T x, y; };
template <class T> struct alignas(16) minisk_vector4 { T x, y, z, w; };
using int2 = minisk_vector2<int>;
using int4 = minisk_vector4<int>;
using float2 = minisk_vector2<float>;
using float4 = minisk_vector4<float>;
using double2 = minisk_vector2<double>;
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

// float16 for storage; arithmetic is done in float. Some compilers have no such type (gcc before 12 on x86-64).
#if defined(__ARM_FP16_FORMAT_IEEE)
#define MINISK_HAS_HALF
using minisk_half = __fp16;
#elif defined(__FLT16_MANT_DIG__)
#define MINISK_HAS_HALF
using minisk_half = _Float16;
#endif

// min and max take any two arithmetic types; if one argument is NaN they return the other, as on a GPU.
#define MINISK_EXTREME(name, of_floats, before)                                            \
    template <class A, class B> constexpr std::common_type_t<A, B> name(A a, B b) {        \
        using T = std::common_type_t<A, B>;                                                \
        if constexpr (std::is_floating_point_v<T>) return of_floats(T(a), T(b));           \
        else return T(b) before T(a) ? T(b) : T(a);                                        \
    }
MINISK_EXTREME(min, std::fmin, <)
MINISK_EXTREME(max, std::fmax, >)

// CUDA's fast and rounded variants of <cmath> functions. Macros, because glibc itself declares names such as __expf.
#define __expf expf
#define __logf logf
#define __powf powf
#define __fdividef(a, b) ((a) / (b))
#define __fmaf_rn fmaf
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }

template <class T> static inline T __ldg(const T* address) { return *address; }
static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline int __ffs(int bits) { return __builtin_ffs(bits); }

namespace minisk {

// A line of a kernel's source. As a function's default argument, here() is the line of the call.
struct Place {
    const char* file;
    int line;
    static constexpr Place here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

// Defined by the executor: atomically sets *address = update(*address). Returns the old value.
template <class T, class Update> static inline T atomic_update(T* address, Update update, bool is_exchange = false);

}  // namespace minisk

#define MINISK_HERE minisk::Place place = minisk::Place::here()

// The address decides the type, not the value: atomicAdd(float*, 1) adds 1.0f.
template <class T> using minisk_value = std::common_type_t<T>;
#define MINISK_ATOMIC(name, updated)                                                             \
    template <class T> static __forceinline__ T name(T* address, minisk_value<T> value) {        \
        return minisk::atomic_update(address, [value](T old) -> T { return updated; });          \
    }
MINISK_ATOMIC(atomicAdd, old + value)
MINISK_ATOMIC(atomicSub, old - value)
MINISK_ATOMIC(atomicMax, old < value ? value : old)
MINISK_ATOMIC(atomicMin, value < old ? value : old)
MINISK_ATOMIC(atomicExch, value)
template <class T> static __forceinline__ T atomicCAS(T* address, minisk_value<T> expected, minisk_value<T> value) {
    return minisk::atomic_update(address, [=](T old) -> T { return old == expected ? value : old; }, true);
}
