// mathematics.h: CUDA's mathematical functions that C++ lacks, and its fast variants, which are computed exactly here.
//
// <math.h> puts C++'s overloads of abs, isnan, sqrt, … at file scope, where CUDA has them: abs(float) is a float.
#pragma once
#include <math.h>
#include <stdlib.h>

// min and max take any two arithmetic types; if one argument is NaN they return the other, as on a GPU.
#define MINISK_EXTREME(name, of_floats, before)                                            \
    template <class A, class B> constexpr std::common_type_t<A, B> name(A a, B b) {        \
        using T = std::common_type_t<A, B>;                                                \
        if constexpr (std::is_floating_point_v<T>) return of_floats(T(a), T(b));           \
        else return T(b) before T(a) ? T(b) : T(a);                                        \
    }
MINISK_EXTREME(min, std::fmin, <)
MINISK_EXTREME(max, std::fmax, >)
static inline unsigned umin(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned umax(unsigned a, unsigned b) { return a < b ? b : a; }
static inline long long llmin(long long a, long long b) { return a < b ? a : b; }
static inline long long llmax(long long a, long long b) { return a < b ? b : a; }
static inline unsigned long long ullmin(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
static inline unsigned long long ullmax(unsigned long long a, unsigned long long b) { return a < b ? b : a; }

// Macros, because glibc itself declares names such as __expf.
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
#define __tanhf tanhf
#define __sincosf sincosf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float fdividef(float a, float b) { return a / b; }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN becomes 0

// Each function in two types: the name with f takes floats. The float is computed in double, and rounded once.
#define MINISK_OF_ONE(name, x, ...)                                                        \
    static inline double name(double x) { __VA_ARGS__ }                                    \
    static inline float name##f(float argument) { return float(name(double(argument))); }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float rsqrt(float x) { return rsqrtf(x); }
MINISK_OF_ONE(rcbrt, x, return 1.0 / cbrt(x);)
// The angle is reduced first, exactly: sinpi(2^53) is 0.
MINISK_OF_ONE(sinpi, x, const double r = remainder(x, 2.0);
              return r == 0.5 ? 1.0 : r == -0.5 ? -1.0 : r == trunc(r) ? copysign(0.0, x) : sin(M_PI * r);)
MINISK_OF_ONE(cospi, x, const double r = fabs(remainder(x, 2.0)); return r == 0.5 ? 0.0 : cos(M_PI * r);)
MINISK_OF_ONE(normcdf, x, return 0.5 * erfc(-x * M_SQRT1_2);)
// exp(x²) · erfc(x). Beyond 25, erfc underflows: the asymptotic series has an error below 1e-15 there.
MINISK_OF_ONE(erfcx, x, if (!(x > 25)) return exp(x * x) * erfc(x);
              const double t = 0.5 / (x * x);
              return (1 - t * (1 - 3 * t * (1 - 5 * t))) / (x * sqrt(M_PI));)

namespace minisk {

// Solves erfc(y) = x: a first estimate (Giles, Approximating the erfinv function, 2012), then Newton's method on the
// logarithm, which also converges in the tail.
static inline double inverse_erfc(double x) {
    if (!(x > 0) || !(x < 2)) return x == 0 ? INFINITY : x == 2 ? -INFINITY : NAN;
    if (x > 1) return -inverse_erfc(2 - x);
    const double w = -log(x * (2 - x));
    double y = w < 5 ? sqrt(w) * 0.9 : sqrt(w - log(sqrt(w)) - 0.57);
    for (int i = 0; i < 60; ++i) {
        const double value = erfc(y), slope = -2 / sqrt(M_PI) * exp(-y * y);
        const double step = (log(value) - log(x)) * value / slope;
        y -= step;
        if (fabs(step) <= 1e-16 * fabs(y)) break;
    }
    return y;
}

// Solves erf(y) = x. Near 0, 1 − x would lose digits: Newton's method on erf itself.
static inline double inverse_erf(double x) {
    if (!(fabs(x) < 0.5)) return x < 0 ? -inverse_erfc(1 + x) : inverse_erfc(1 - x);
    double y = x * sqrt(M_PI) / 2;
    for (int i = 0; i < 8; ++i) y -= (erf(y) - x) / (2 / sqrt(M_PI) * exp(-y * y));
    return y;
}

static inline double bessel_i(int order, double x) {
    double term = order ? x / 2 : 1, sum = term;
    for (int k = 1; fabs(term) > 1e-17 * fabs(sum) && fabs(sum) < INFINITY; ++k) {
        term *= x * x / 4 / (double(k) * (k + order));
        sum += term;
    }
    return sum;
}

}  // namespace minisk

// The power series of the modified Bessel functions I0 and I1: all terms have one sign, so no digits cancel.
MINISK_OF_ONE(cyl_bessel_i0, x, return minisk::bessel_i(0, x);)
MINISK_OF_ONE(cyl_bessel_i1, x, return minisk::bessel_i(1, x);)
MINISK_OF_ONE(erfcinv, x, return minisk::inverse_erfc(x);)
MINISK_OF_ONE(erfinv, x, return minisk::inverse_erf(x);)
MINISK_OF_ONE(normcdfinv, x, return -M_SQRT2 * minisk::inverse_erfc(2 * x);)

static inline void sincospi(double x, double* sine, double* cosine) { *sine = sinpi(x), *cosine = cospi(x); }
static inline void sincospif(float x, float* sine, float* cosine) { *sine = sinpif(x), *cosine = cospif(x); }

// Lengths of vectors. Over- and underflow of a double's squares is avoided by hypot.
static inline double norm3d(double a, double b, double c) { return std::hypot(a, b, c); }
static inline double norm4d(double a, double b, double c, double d) { return hypot(std::hypot(a, b, c), d); }
static inline double rhypot(double a, double b) { return 1.0 / hypot(a, b); }
static inline double rnorm3d(double a, double b, double c) { return 1.0 / norm3d(a, b, c); }
static inline double rnorm4d(double a, double b, double c, double d) { return 1.0 / norm4d(a, b, c, d); }
static inline float norm3df(float a, float b, float c) { return float(norm3d(a, b, c)); }
static inline float norm4df(float a, float b, float c, float d) { return float(norm4d(a, b, c, d)); }
static inline float rhypotf(float a, float b) { return float(rhypot(a, b)); }
static inline float rnorm3df(float a, float b, float c) { return float(rnorm3d(a, b, c)); }
static inline float rnorm4df(float a, float b, float c, float d) { return float(rnorm4d(a, b, c, d)); }
static inline double norm(int n, const double* x) {
    double length = 0;
    for (int i = 0; i < n; ++i) length = hypot(length, x[i]);
    return length;
}
static inline float normf(int n, const float* x) {
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += double(x[i]) * x[i];
    return float(sqrt(squares));
}
static inline float rnormf(int n, const float* x) { return 1.0f / normf(n, x); }
static inline double rnorm(int n, const double* x) { return 1.0 / norm(n, x); }
