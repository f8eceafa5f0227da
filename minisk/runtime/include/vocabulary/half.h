// half.h: __half and __nv_bfloat16, and their pairs __half2 and __nv_bfloat162, as in CUDA's cuda_fp16.h and cuda_bf16.h.
//
// A number is 16 bits. Each operation is computed in float (fused ones in double) and rounded once to 16 bits: float has
// more than twice their digits, so the result is the correctly rounded one. The functions are in half_functions.h.
#pragma once
#include "casts.h"
#include "rounding.h"

// float16 for storage; arithmetic is done in float. Some compilers have no such type (gcc before 12 on x86-64).
#if defined(__ARM_FP16_FORMAT_IEEE)
#define MINISK_HAS_HALF
using minisk_half = __fp16;
#elif defined(__FLT16_MANT_DIG__)
#define MINISK_HAS_HALF
using minisk_half = _Float16;
#endif

namespace minisk {

// The bits of the 16-bit number nearest to a float. NaN becomes 0x7fff, as on a GPU.
struct HalfFormat {
    static constexpr unsigned short infinity = 0x7c00;
    static constexpr const char* name = "f2";
    static float to_float(unsigned short bits) {
        const unsigned sign = unsigned(bits & 0x8000) << 16, exponent = bits >> 10 & 31, digits = bits & 0x3ff;
        if (exponent == 31) return bits_as<float>(sign | 0x7f800000 | digits << 13);
        if (exponent) return bits_as<float>(sign | (exponent + 112) << 23 | digits << 13);
        return bits_as<float>(sign | bits_as<unsigned>(float(digits) * 0x1p-24f));
    }
    static unsigned short from_float(float x) {
        const unsigned bits = bits_as<unsigned>(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
        if (size > 0x7f800000) return 0x7fff;
        if (size >= 0x477ff000) return (unsigned short)(sign | infinity);
        if (size < 0x38800000)  // subnormal: 0.5f is added, and float's own rounding leaves multiples of 2^-24
            return (unsigned short)(sign | (bits_as<unsigned>(bits_as<float>(size) + 0.5f) - 0x3f000000));
        return (unsigned short)(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13));
    }
};
struct Bfloat16Format {
    static constexpr unsigned short infinity = 0x7f80;
    static constexpr const char* name = "E2";
    static float to_float(unsigned short bits) { return bits_as<float>(unsigned(bits) << 16); }
    static unsigned short from_float(float x) {
        const unsigned bits = bits_as<unsigned>(x);
        return x != x ? 0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
};

// A number of 16 bits.
template <class Format> struct Short {
    unsigned short __x;

    Short() = default;
    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Short(T value) { *this = nearest(value); }
    template <class Other> explicit Short(Short<Other> value) : __x(Format::from_float(float(value))) {}
    operator float() const { return Format::to_float(__x); }

    static Short of_bits(unsigned short bits) { Short made; made.__x = bits; return made; }
    static Short nearest(float value) { return of_bits(Format::from_float(value)); }
    // Rounds a double once: the float in between is rounded to odd, which keeps a remainder visible.
    template <class T> static Short nearest(T value) {
        const double exact = double(value);
        float between = float(exact);
        if (double(between) != exact && between - between == 0) {  // inexact and finite
            const unsigned bits = bits_as<unsigned>(between) - (fabs(between) > fabs(exact));
            between = bits_as<float>(bits | 1);
        }
        return nearest(between);
    }
    // direction: −1 down, 1 up, 0 towards zero.
    static Short directed(float value, int direction) {
        const Short near = nearest(value);
        const float got = float(near);
        const bool is_above = got > value, is_below = got < value;
        const bool wants_smaller = is_above && (direction < 0 || (direction == 0 && value > 0));
        const bool wants_larger = is_below && (direction > 0 || (direction == 0 && value < 0));
        if (!wants_smaller && !wants_larger) return near;
        if ((near.__x & 0x7fff) == 0) return of_bits(wants_smaller ? 0x8001 : 0x0001);
        const bool shrinks = wants_smaller == (got > 0);
        return of_bits((unsigned short)(near.__x + (shrinks ? -1 : 1)));
    }
};

template <class Format> struct alignas(4) ShortPair {
    Short<Format> x, y;
    ShortPair() = default;
    ShortPair(Short<Format> x, Short<Format> y) : x(x), y(y) {}
};

template <class Format> struct NumberName<Short<Format>> { static constexpr const char* text = Format::name; };
template <class Format> struct Components<ShortPair<Format>> {
    using type = Short<Format>;
    static constexpr int count = 2;
};

}  // namespace minisk

using __half = minisk::Short<minisk::HalfFormat>;
using half = __half;
using __half2 = minisk::ShortPair<minisk::HalfFormat>;
using half2 = __half2;
using __half_raw = __half;
using __nv_bfloat16 = minisk::Short<minisk::Bfloat16Format>;
using nv_bfloat16 = __nv_bfloat16;
using __nv_bfloat162 = minisk::ShortPair<minisk::Bfloat16Format>;
using nv_bfloat162 = __nv_bfloat162;

#define MINISK_NUMBER __half
#define MINISK_PAIR __half2
#include "half_functions.h"
#undef MINISK_NUMBER
#undef MINISK_PAIR
#define MINISK_NUMBER __nv_bfloat16
#define MINISK_PAIR __nv_bfloat162
#include "half_functions.h"
#undef MINISK_NUMBER
#undef MINISK_PAIR

// ---- conversions: CUDA names them after the type ----

MINISK_IF_CALLED float __half2float(__half a) { return a; }
MINISK_IF_CALLED __half __float2half(float a) { return a; }
MINISK_IF_CALLED __half __double2half(double a) { return a; }
MINISK_IF_CALLED float2 __half22float2(__half2 a) { return {a.x, a.y}; }
MINISK_IF_CALLED __half2 __float22half2_rn(float2 a) { return {a.x, a.y}; }
MINISK_IF_CALLED __half2 __floats2half2_rn(float a, float b) { return {a, b}; }
MINISK_IF_CALLED __half2 __float2half2_rn(float a) { return {a, a}; }
MINISK_IF_CALLED __half2 make_half2(__half a, __half b) { return {a, b}; }
MINISK_IF_CALLED __half __low2half(__half2 a) { return a.x; }
MINISK_IF_CALLED __half __high2half(__half2 a) { return a.y; }
MINISK_IF_CALLED short __half_as_short(__half a) { return short(a.__x); }
MINISK_IF_CALLED unsigned short __half_as_ushort(__half a) { return a.__x; }
MINISK_IF_CALLED __half __short_as_half(short a) { return __half::of_bits((unsigned short)a); }
MINISK_IF_CALLED __half __ushort_as_half(unsigned short a) { return __half::of_bits(a); }
MINISK_IF_CALLED int __hisinf(__half a) { return (a.__x & 0x7fff) != 0x7c00 ? 0 : a.__x >> 15 ? -1 : 1; }

MINISK_IF_CALLED float __bfloat162float(__nv_bfloat16 a) { return a; }
MINISK_IF_CALLED __nv_bfloat16 __float2bfloat16(float a) { return a; }
MINISK_IF_CALLED __nv_bfloat16 __double2bfloat16(double a) { return a; }
MINISK_IF_CALLED float2 __bfloat1622float2(__nv_bfloat162 a) { return {a.x, a.y}; }
MINISK_IF_CALLED __nv_bfloat162 __float22bfloat162_rn(float2 a) { return {a.x, a.y}; }
MINISK_IF_CALLED __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {a, b}; }
MINISK_IF_CALLED __nv_bfloat162 __float2bfloat162_rn(float a) { return {a, a}; }
MINISK_IF_CALLED __nv_bfloat162 make_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
MINISK_IF_CALLED __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
MINISK_IF_CALLED __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 a) { return {a, a}; }
MINISK_IF_CALLED __nv_bfloat16 __low2bfloat16(__nv_bfloat162 a) { return a.x; }
MINISK_IF_CALLED __nv_bfloat16 __high2bfloat16(__nv_bfloat162 a) { return a.y; }
MINISK_IF_CALLED __nv_bfloat162 __low2bfloat162(__nv_bfloat162 a) { return {a.x, a.x}; }
MINISK_IF_CALLED __nv_bfloat162 __high2bfloat162(__nv_bfloat162 a) { return {a.y, a.y}; }
MINISK_IF_CALLED short __bfloat16_as_short(__nv_bfloat16 a) { return short(a.__x); }
MINISK_IF_CALLED unsigned short __bfloat16_as_ushort(__nv_bfloat16 a) { return a.__x; }
MINISK_IF_CALLED __nv_bfloat16 __short_as_bfloat16(short a) { return __nv_bfloat16::of_bits((unsigned short)a); }
MINISK_IF_CALLED __nv_bfloat16 __ushort_as_bfloat16(unsigned short a) { return __nv_bfloat16::of_bits(a); }
MINISK_IF_CALLED int __hisinf(__nv_bfloat16 a) { return (a.__x & 0x7fff) != 0x7f80 ? 0 : a.__x >> 15 ? -1 : 1; }

#define MINISK_ROUNDED_CONVERSIONS(name, type)                                                       \
    MINISK_IF_CALLED type name##_rn(float a) { return type::nearest(a); }                               \
    MINISK_IF_CALLED type name##_rz(float a) { return type::directed(a, 0); }                           \
    MINISK_IF_CALLED type name##_ru(float a) { return type::directed(a, 1); }                           \
    MINISK_IF_CALLED type name##_rd(float a) { return type::directed(a, -1); }
MINISK_ROUNDED_CONVERSIONS(__float2half, __half)
MINISK_ROUNDED_CONVERSIONS(__float2bfloat16, __nv_bfloat16)

// From integers to nearest, and to integers in each rounding mode.
#define MINISK_SHORT_INTEGERS(integer, T)                                                            \
    MINISK_IF_CALLED __half __##integer##2half_rn(T a) { return a; }                                    \
    MINISK_IF_CALLED __nv_bfloat16 __##integer##2bfloat16_rn(T a) { return a; }                         \
    MINISK_TO_INTEGER(__half2##integer, __half, T)                                                   \
    MINISK_TO_INTEGER(__bfloat162##integer, __nv_bfloat16, T)
MINISK_SHORT_INTEGERS(int, int)
MINISK_SHORT_INTEGERS(uint, unsigned)
MINISK_SHORT_INTEGERS(short, short)
MINISK_SHORT_INTEGERS(ushort, unsigned short)
MINISK_SHORT_INTEGERS(ll, long long)
MINISK_SHORT_INTEGERS(ull, unsigned long long)
