// vocabulary.h: the words of CUDA C that a C++ compiler does not know, as far as kernels need them.
//
// What depends on how threads are executed (threadIdx, __shared__, __syncthreads, shuffles, atomics) is in one_thread.h
// and fibers.h; the rest is here.
#pragma once
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#define __global__ __attribute__((noinline))
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

// Vectors, aligned as a GPU's vector loads need them.
template <class T> struct alignas(2 * sizeof(T)) minisk_vector2 { T x, y; };
template <class T> struct alignas(16) minisk_vector4 { T x, y, z, w; };
using int2 = minisk_vector2<int>;
using int4 = minisk_vector4<int>;
using uint2 = minisk_vector2<unsigned>;
using uint4 = minisk_vector4<unsigned>;
using float2 = minisk_vector2<float>;
using float4 = minisk_vector4<float>;
using double2 = minisk_vector2<double>;
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

// Sixteen-bit storage, computed on as float; absent where the compiler has no such type (gcc before 12 on x86-64).
#if defined(__ARM_FP16_FORMAT_IEEE)
#define MINISK_HAS_HALF
using minisk_half = __fp16;
#elif defined(__FLT16_MANT_DIG__)
#define MINISK_HAS_HALF
using minisk_half = _Float16;
#endif

// min and max take any two arithmetic types; of a number and a NaN they return the number, as on a GPU.
template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
    else return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
    else return T(a) < T(b) ? T(b) : T(a);
}

// A GPU's fast and rounded forms of what <cmath> has. Macros, because glibc declares __expf and its like for itself.
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
static inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }

namespace minisk {

// A line of a kernel's source. As the default argument of a function, here() is the line of that function's caller.
struct Place {
    const char* file;
    int line;
    static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

// Defined by the executor: *address = update(*address) in one step, whatever other threads do. Returns the old value.
template <class T, class Update> static inline T atomic_update(T* address, Update update);

}  // namespace minisk

// The type of the value never decides: atomicAdd(float*, 1) adds 1.0f.
template <class T> using minisk_value = std::common_type_t<T>;
template <class T> static __forceinline__ T atomicAdd(T* address, minisk_value<T> value) {
    return minisk::atomic_update(address, [value](T old) { return old + value; });
}
template <class T> static __forceinline__ T atomicSub(T* address, minisk_value<T> value) {
    return minisk::atomic_update(address, [value](T old) { return old - value; });
}
template <class T> static __forceinline__ T atomicMax(T* address, minisk_value<T> value) {
    return minisk::atomic_update(address, [value](T old) { return old < value ? value : old; });
}
template <class T> static __forceinline__ T atomicMin(T* address, minisk_value<T> value) {
    return minisk::atomic_update(address, [value](T old) { return value < old ? value : old; });
}
template <class T> static __forceinline__ T atomicExch(T* address, minisk_value<T> value) {
    return minisk::atomic_update(address, [value](T) { return value; });
}
template <class T> static __forceinline__ T atomicCAS(T* address, minisk_value<T> expected, minisk_value<T> value) {
    return minisk::atomic_update(address, [=](T old) { return old == expected ? value : old; });
}
