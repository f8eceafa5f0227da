// casts.h: the bits of a floating-point number as an integer, and the reverse.
#pragma once

namespace minisk {

template <class To, class From> static inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

}  // namespace minisk

static inline int __float_as_int(float x) { return minisk::bits_as<int>(x); }
static inline unsigned __float_as_uint(float x) { return minisk::bits_as<unsigned>(x); }
static inline float __int_as_float(int x) { return minisk::bits_as<float>(x); }
static inline float __uint_as_float(unsigned x) { return minisk::bits_as<float>(x); }
static inline long long __double_as_longlong(double x) { return minisk::bits_as<long long>(x); }
static inline double __longlong_as_double(long long x) { return minisk::bits_as<double>(x); }
static inline int __double2hiint(double x) { return int(__double_as_longlong(x) >> 32); }
static inline int __double2loint(double x) { return int(__double_as_longlong(x)); }
static inline double __hiloint2double(int high, int low) {
    return __longlong_as_double((long long)(unsigned long long)high << 32 | unsigned(low));
}
