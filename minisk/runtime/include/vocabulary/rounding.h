// rounding.h: arithmetic and conversions with a rounding mode in their names, as CUDA's Math API defines them.
//
//   _rn to nearest, ties to even      _rz towards zero      _ru towards +infinity      _rd towards -infinity
#pragma once
#include <cfenv>
#include <limits>

namespace minisk {

// Returns a value that the compiler may neither contract into a fused multiply-add nor reassociate.
#if defined(__has_builtin)
#if __has_builtin(__builtin_assoc_barrier)
#define MINISK_ROUNDED(value) __builtin_assoc_barrier(value)
#endif
#endif
#ifndef MINISK_ROUNDED
template <class T> static inline T as_rounded(T value) { volatile T kept = value; return kept; }
#define MINISK_ROUNDED(value) minisk::as_rounded(value)
#endif

// Computes in a rounding mode of <cfenv>. Operands and result are volatile: the operation stays between the calls.
template <int mode, class Compute, class... T> static inline auto in_mode(Compute compute, volatile T... operands) {
    const int before = std::fegetround();
    std::fesetround(mode);
    volatile auto result = compute(operands...);
    std::fesetround(before);
    return static_cast<std::remove_volatile_t<decltype(result)>>(result);
}

// Returns an integral floating-point number as an integer, as PTX's cvt does: out of range the nearest one, and for NaN
// 0 or, if one of the types has 64 bits, the highest bit.
template <class To, class From> static inline To to_integer(From x) {
    using Limits = std::numeric_limits<To>;
    constexpr From beyond = From(Limits::max() / 2 + 1) * 2;  // 2^31, for example
    if (x != x) return sizeof(To) == 8 || sizeof(From) == 8 ? To(1ull << (8 * sizeof(To) - 1)) : To(0);
    if (x >= beyond) return Limits::max();
    return x <= From(Limits::min()) ? Limits::min() : To(x);
}

}  // namespace minisk

// A template that always has the same argument is compiled only where it is called, which saves 30 ms of each build.
#define MINISK_IF_CALLED template <int = 0> static inline

#define MINISK_IN_MODE(name, mode, T, parameters, expression, ...)                                   \
    MINISK_IF_CALLED T name parameters {                                                             \
        return minisk::in_mode<mode>([] parameters -> T { return expression; }, __VA_ARGS__);        \
    }
#define MINISK_IN_DIRECTED_MODES(name, T, parameters, expression, ...)                               \
    MINISK_IN_MODE(name##_rz, FE_TOWARDZERO, T, parameters, expression, __VA_ARGS__)                 \
    MINISK_IN_MODE(name##_ru, FE_UPWARD, T, parameters, expression, __VA_ARGS__)                     \
    MINISK_IN_MODE(name##_rd, FE_DOWNWARD, T, parameters, expression, __VA_ARGS__)
#define MINISK_IN_ALL_MODES(name, T, parameters, expression, ...)                                    \
    MINISK_IF_CALLED T name##_rn parameters { return MINISK_ROUNDED(expression); }                   \
    MINISK_IN_DIRECTED_MODES(name, T, parameters, expression, __VA_ARGS__)

MINISK_IN_ALL_MODES(__fadd, float, (float a, float b), a + b, a, b)
MINISK_IN_ALL_MODES(__fsub, float, (float a, float b), a - b, a, b)
MINISK_IN_ALL_MODES(__fmul, float, (float a, float b), a * b, a, b)
MINISK_IN_ALL_MODES(__fdiv, float, (float a, float b), a / b, a, b)
MINISK_IN_ALL_MODES(__fmaf, float, (float a, float b, float c), fmaf(a, b, c), a, b, c)
MINISK_IN_ALL_MODES(__frcp, float, (float a), 1.0f / a, a)
MINISK_IN_ALL_MODES(__fsqrt, float, (float a), sqrtf(a), a)
MINISK_IN_ALL_MODES(__dadd, double, (double a, double b), a + b, a, b)
MINISK_IN_ALL_MODES(__dsub, double, (double a, double b), a - b, a, b)
MINISK_IN_ALL_MODES(__dmul, double, (double a, double b), a * b, a, b)
MINISK_IN_ALL_MODES(__ddiv, double, (double a, double b), a / b, a, b)
MINISK_IN_ALL_MODES(__fma, double, (double a, double b, double c), fma(a, b, c), a, b, c)
MINISK_IN_ALL_MODES(__drcp, double, (double a), 1.0 / a, a)
MINISK_IN_ALL_MODES(__dsqrt, double, (double a), sqrt(a), a)
static inline float __frsqrt_rn(float a) { return float(1.0 / sqrt(double(a))); }

MINISK_IN_ALL_MODES(__double2float, float, (double a), float(a), a)
MINISK_IN_ALL_MODES(__int2float, float, (int a), float(a), a)
MINISK_IN_ALL_MODES(__uint2float, float, (unsigned a), float(a), a)
MINISK_IN_ALL_MODES(__ll2float, float, (long long a), float(a), a)
MINISK_IN_ALL_MODES(__ull2float, float, (unsigned long long a), float(a), a)
MINISK_IN_ALL_MODES(__ll2double, double, (long long a), double(a), a)
MINISK_IN_ALL_MODES(__ull2double, double, (unsigned long long a), double(a), a)
static inline double __int2double_rn(int a) { return a; }
static inline double __uint2double_rn(unsigned a) { return a; }

#define MINISK_TO_INTEGER(name, From, To)                                                            \
    MINISK_IF_CALLED To name##_rn(From x) { return minisk::to_integer<To>(std::nearbyint(x)); }      \
    MINISK_IF_CALLED To name##_rz(From x) { return minisk::to_integer<To>(std::trunc(x)); }          \
    MINISK_IF_CALLED To name##_ru(From x) { return minisk::to_integer<To>(std::ceil(x)); }           \
    MINISK_IF_CALLED To name##_rd(From x) { return minisk::to_integer<To>(std::floor(x)); }
MINISK_TO_INTEGER(__float2int, float, int)
MINISK_TO_INTEGER(__float2uint, float, unsigned)
MINISK_TO_INTEGER(__float2ll, float, long long)
MINISK_TO_INTEGER(__float2ull, float, unsigned long long)
MINISK_TO_INTEGER(__double2int, double, int)
MINISK_TO_INTEGER(__double2uint, double, unsigned)
MINISK_TO_INTEGER(__double2ll, double, long long)
MINISK_TO_INTEGER(__double2ull, double, unsigned long long)
