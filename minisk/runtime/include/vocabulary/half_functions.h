// half_functions.h: operators and functions of one 16-bit number and its pair. half.h includes this file once for __half
// (MINISK_NUMBER) and __half2 (MINISK_PAIR), and once for bfloat16.

// ---- operators: in the namespace of the types, where templates find them ----

namespace minisk {

#define MINISK_OPERATOR(op)                                                                                           \
    static inline MINISK_NUMBER operator op(MINISK_NUMBER a, MINISK_NUMBER b) { return float(a) op float(b); }       \
    static inline MINISK_NUMBER& operator op##=(MINISK_NUMBER& a, MINISK_NUMBER b) { return a = a op b; }            \
    static inline MINISK_PAIR operator op(MINISK_PAIR a, MINISK_PAIR b) { return {a.x op b.x, a.y op b.y}; }         \
    static inline MINISK_PAIR& operator op##=(MINISK_PAIR& a, MINISK_PAIR b) { return a = a op b; }
MINISK_OPERATOR(+)
MINISK_OPERATOR(-)
MINISK_OPERATOR(*)
MINISK_OPERATOR(/)
#undef MINISK_OPERATOR
static inline MINISK_NUMBER operator-(MINISK_NUMBER a) { return MINISK_NUMBER::of_bits(a.__x ^ 0x8000); }
static inline MINISK_NUMBER operator+(MINISK_NUMBER a) { return a; }
static inline MINISK_PAIR operator-(MINISK_PAIR a) { return {-a.x, -a.y}; }
static inline MINISK_NUMBER& operator++(MINISK_NUMBER& a) { return a = float(a) + 1.0f; }
static inline MINISK_NUMBER& operator--(MINISK_NUMBER& a) { return a = float(a) - 1.0f; }

#define MINISK_COMPARISON(op)                                                                                         \
    static inline bool operator op(MINISK_NUMBER a, MINISK_NUMBER b) { return float(a) op float(b); }                \
    static inline bool operator op(MINISK_PAIR a, MINISK_PAIR b) { return a.x op b.x && a.y op b.y; }
MINISK_COMPARISON(==)
MINISK_COMPARISON(!=)
MINISK_COMPARISON(<)
MINISK_COMPARISON(<=)
MINISK_COMPARISON(>)
MINISK_COMPARISON(>=)
#undef MINISK_COMPARISON

}  // namespace minisk

// ---- arithmetic: name of numbers, name2 of pairs ----

#define MINISK_TWO(name, expression)                                                                                  \
    MINISK_IF_CALLED MINISK_NUMBER name(MINISK_NUMBER a, MINISK_NUMBER b) { return expression; }                        \
    MINISK_IF_CALLED MINISK_PAIR name##2(MINISK_PAIR a, MINISK_PAIR b) { return {name(a.x, b.x), name(a.y, b.y)}; }
MINISK_IF_CALLED MINISK_NUMBER minisk_saturated(MINISK_NUMBER a) { return __saturatef(float(a)); }
MINISK_TWO(__hadd, a + b)
MINISK_TWO(__hsub, a - b)
MINISK_TWO(__hmul, a * b)
MINISK_IF_CALLED MINISK_NUMBER __hdiv(MINISK_NUMBER a, MINISK_NUMBER b) { return a / b; }
MINISK_IF_CALLED MINISK_PAIR __h2div(MINISK_PAIR a, MINISK_PAIR b) { return a / b; }
MINISK_IF_CALLED MINISK_NUMBER __hadd_rn(MINISK_NUMBER a, MINISK_NUMBER b) { return a + b; }
MINISK_IF_CALLED MINISK_NUMBER __hsub_rn(MINISK_NUMBER a, MINISK_NUMBER b) { return a - b; }
MINISK_IF_CALLED MINISK_NUMBER __hmul_rn(MINISK_NUMBER a, MINISK_NUMBER b) { return a * b; }
MINISK_IF_CALLED MINISK_NUMBER __hadd_sat(MINISK_NUMBER a, MINISK_NUMBER b) { return minisk_saturated(a + b); }
MINISK_IF_CALLED MINISK_NUMBER __hsub_sat(MINISK_NUMBER a, MINISK_NUMBER b) { return minisk_saturated(a - b); }
MINISK_IF_CALLED MINISK_NUMBER __hmul_sat(MINISK_NUMBER a, MINISK_NUMBER b) { return minisk_saturated(a * b); }
MINISK_IF_CALLED MINISK_PAIR __hadd2_rn(MINISK_PAIR a, MINISK_PAIR b) { return a + b; }
MINISK_IF_CALLED MINISK_PAIR __hsub2_rn(MINISK_PAIR a, MINISK_PAIR b) { return a - b; }
MINISK_IF_CALLED MINISK_PAIR __hmul2_rn(MINISK_PAIR a, MINISK_PAIR b) { return a * b; }

// In double the product is exact, and so is the sum where its rounding decides.
MINISK_IF_CALLED MINISK_NUMBER __hfma(MINISK_NUMBER a, MINISK_NUMBER b, MINISK_NUMBER c) {
    return double(float(a)) * float(b) + float(c);
}
MINISK_IF_CALLED MINISK_NUMBER __hfma_sat(MINISK_NUMBER a, MINISK_NUMBER b, MINISK_NUMBER c) {
    return minisk_saturated(__hfma(a, b, c));
}
MINISK_IF_CALLED MINISK_NUMBER __hfma_relu(MINISK_NUMBER a, MINISK_NUMBER b, MINISK_NUMBER c) {
    const MINISK_NUMBER sum = __hfma(a, b, c);
    return float(sum) < 0 ? MINISK_NUMBER(0.0f) : sum;
}
MINISK_IF_CALLED MINISK_PAIR __hfma2(MINISK_PAIR a, MINISK_PAIR b, MINISK_PAIR c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
MINISK_IF_CALLED MINISK_PAIR __hfma2_relu(MINISK_PAIR a, MINISK_PAIR b, MINISK_PAIR c) {
    return {__hfma_relu(a.x, b.x, c.x), __hfma_relu(a.y, b.y, c.y)};
}
// min and max return the other argument if one is NaN; with _nan they return NaN.
MINISK_TWO(__hmax, MINISK_NUMBER(fmaxf(float(a), float(b))))
MINISK_TWO(__hmin, MINISK_NUMBER(fminf(float(a), float(b))))
#undef MINISK_TWO
MINISK_IF_CALLED MINISK_NUMBER __hmax_nan(MINISK_NUMBER a, MINISK_NUMBER b) { return a != a || b != b ? a + b : __hmax(a, b); }
MINISK_IF_CALLED MINISK_NUMBER __hmin_nan(MINISK_NUMBER a, MINISK_NUMBER b) { return a != a || b != b ? a + b : __hmin(a, b); }
MINISK_IF_CALLED MINISK_NUMBER __hneg(MINISK_NUMBER a) { return -a; }
MINISK_IF_CALLED MINISK_NUMBER __habs(MINISK_NUMBER a) { return MINISK_NUMBER::of_bits(a.__x & 0x7fff); }
MINISK_IF_CALLED MINISK_PAIR __hneg2(MINISK_PAIR a) { return -a; }
MINISK_IF_CALLED MINISK_PAIR __habs2(MINISK_PAIR a) { return {__habs(a.x), __habs(a.y)}; }

// ---- comparisons: false if one argument is NaN; with u true. Of pairs: 1 or 0 each, or with b both at once ----

#define MINISK_COMPARE(name, op)                                                                                      \
    MINISK_IF_CALLED bool __h##name(MINISK_NUMBER a, MINISK_NUMBER b) { return a op b; }                                \
    MINISK_IF_CALLED bool __h##name##u(MINISK_NUMBER a, MINISK_NUMBER b) { return a op b || a != a || b != b; }         \
    MINISK_IF_CALLED MINISK_PAIR __h##name##2(MINISK_PAIR a, MINISK_PAIR b) {                                           \
        return {float(__h##name(a.x, b.x)), float(__h##name(a.y, b.y))};                                             \
    }                                                                                                                 \
    MINISK_IF_CALLED bool __hb##name##2(MINISK_PAIR a, MINISK_PAIR b) {                                                 \
        return __h##name(a.x, b.x) && __h##name(a.y, b.y);                                                           \
    }
MINISK_COMPARE(eq, ==)
MINISK_COMPARE(lt, <)
MINISK_COMPARE(le, <=)
MINISK_COMPARE(gt, >)
MINISK_COMPARE(ge, >=)
#undef MINISK_COMPARE
MINISK_IF_CALLED bool __hne(MINISK_NUMBER a, MINISK_NUMBER b) { return a < b || a > b; }
MINISK_IF_CALLED bool __hneu(MINISK_NUMBER a, MINISK_NUMBER b) { return a != b; }
MINISK_IF_CALLED MINISK_PAIR __hne2(MINISK_PAIR a, MINISK_PAIR b) { return {float(__hne(a.x, b.x)), float(__hne(a.y, b.y))}; }
MINISK_IF_CALLED bool __hisnan(MINISK_NUMBER a) { return a != a; }
MINISK_IF_CALLED bool isnan(MINISK_NUMBER a) { return a != a; }

// ---- functions: hname of numbers, h2name of pairs ----

#define MINISK_FUNCTION(name, expression)                                                                             \
    MINISK_IF_CALLED MINISK_NUMBER h##name(MINISK_NUMBER number) { const float x = number; return expression; }         \
    MINISK_IF_CALLED MINISK_PAIR h2##name(MINISK_PAIR a) { return {h##name(a.x), h##name(a.y)}; }
MINISK_FUNCTION(exp, exp(double(x)))
MINISK_FUNCTION(exp2, exp2(double(x)))
MINISK_FUNCTION(exp10, exp10(double(x)))
MINISK_FUNCTION(log, log(double(x)))
MINISK_FUNCTION(log2, log2(double(x)))
MINISK_FUNCTION(log10, log10(double(x)))
MINISK_FUNCTION(sin, sin(double(x)))
MINISK_FUNCTION(cos, cos(double(x)))
MINISK_FUNCTION(tanh, tanh(double(x)))
MINISK_FUNCTION(sqrt, sqrt(double(x)))
MINISK_FUNCTION(rsqrt, 1 / sqrt(double(x)))
MINISK_FUNCTION(rcp, 1 / double(x))
MINISK_FUNCTION(ceil, ceilf(x))
MINISK_FUNCTION(floor, floorf(x))
MINISK_FUNCTION(trunc, truncf(x))
MINISK_FUNCTION(rint, nearbyintf(x))
#undef MINISK_FUNCTION

// ---- parts of pairs ----

MINISK_IF_CALLED float __low2float(MINISK_PAIR a) { return a.x; }
MINISK_IF_CALLED float __high2float(MINISK_PAIR a) { return a.y; }
MINISK_IF_CALLED MINISK_PAIR __lows2half2(MINISK_PAIR a, MINISK_PAIR b) { return {a.x, b.x}; }
MINISK_IF_CALLED MINISK_PAIR __highs2half2(MINISK_PAIR a, MINISK_PAIR b) { return {a.y, b.y}; }
MINISK_IF_CALLED MINISK_PAIR __low2half2(MINISK_PAIR a) { return {a.x, a.x}; }
MINISK_IF_CALLED MINISK_PAIR __high2half2(MINISK_PAIR a) { return {a.y, a.y}; }
MINISK_IF_CALLED MINISK_PAIR __lowhigh2highlow(MINISK_PAIR a) { return {a.y, a.x}; }
MINISK_IF_CALLED MINISK_PAIR __halves2half2(MINISK_NUMBER a, MINISK_NUMBER b) { return {a, b}; }
MINISK_IF_CALLED MINISK_PAIR __half2half2(MINISK_NUMBER a) { return {a, a}; }
