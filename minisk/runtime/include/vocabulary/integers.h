// integers.h: CUDA's integer intrinsics, and the SIMD ones that treat an int as two or four numbers.
#pragma once

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }

static inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1) << (31 - bit);
    return reversed;
}
static inline unsigned long long __brevll(unsigned long long x) {
    return (unsigned long long)__brev(unsigned(x)) << 32 | __brev(unsigned(x >> 32));
}

// The position of the n-th set bit from `base` upwards (n > 0) or downwards (n < 0); ~0 if there is none.
static inline unsigned __fns(unsigned mask, unsigned base, int n) {
    if (n == 0) return mask >> base & 1 ? base : ~0u;
    const int step = n > 0 ? 1 : -1;
    for (int bit = int(base), left = n * step; bit >= 0 && bit < 32; bit += step) {
        if (mask >> bit & 1 && --left == 0) return unsigned(bit);
    }
    return ~0u;
}

// Four bytes of the eight of y and x, each chosen by the lower 3 bits of a nibble of s.
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
    const unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned chosen = 0;
    for (int i = 0; i < 4; ++i) chosen |= unsigned(both >> 8 * (s >> 4 * i & 7) & 0xff) << 8 * i;
    return chosen;
}

static inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
static inline long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
// The lower 32 bits of the product of the lower 24 bits.
static inline int __mul24(int a, int b) { return int((long long)(a << 8 >> 8) * (b << 8 >> 8)); }
static inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffff) * (b & 0xffffff); }
static inline unsigned __sad(int a, int b, unsigned sum) {
    return sum + (a < b ? unsigned(b) - unsigned(a) : unsigned(a) - unsigned(b));
}
static inline unsigned __usad(unsigned a, unsigned b, unsigned sum) { return sum + (a < b ? b - a : a - b); }
static inline int __hadd(int a, int b) { return int(((long long)a + b) >> 1); }
static inline int __rhadd(int a, int b) { return int(((long long)a + b + 1) >> 1); }
static inline unsigned __uhadd(unsigned a, unsigned b) { return unsigned(((unsigned long long)a + b) >> 1); }
static inline unsigned __urhadd(unsigned a, unsigned b) { return unsigned(((unsigned long long)a + b + 1) >> 1); }

// The 64 bits of high and low, shifted: the upper half to the left, the lower half to the right. The shift wraps at 32,
// or with c it is clamped there.
static inline unsigned __funnelshift_lc(unsigned low, unsigned high, unsigned shift) {
    const unsigned long long both = (unsigned long long)high << 32 | low;
    return unsigned(both << (shift < 32 ? shift : 32) >> 32);
}
static inline unsigned __funnelshift_rc(unsigned low, unsigned high, unsigned shift) {
    const unsigned long long both = (unsigned long long)high << 32 | low;
    return unsigned(both >> (shift < 32 ? shift : 32));
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return __funnelshift_lc(low, high, shift & 31);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return __funnelshift_rc(low, high, shift & 31);
}

namespace minisk {

// Part i of an int that is divided into numbers of type T.
template <class T> constexpr T part(unsigned x, int i) { return T(x >> 8 * int(sizeof(T)) * i); }

// Applies an operation to each part; it returns an int, of which the lower bits are kept.
template <class T, class Operation> constexpr unsigned by_parts(unsigned a, unsigned b, Operation operation) {
    using Bits = std::make_unsigned_t<T>;
    unsigned result = 0;
    for (int i = 0; i * sizeof(T) < 4; ++i)
        result |= unsigned(Bits(operation(int(part<T>(a, i)), int(part<T>(b, i))))) << 8 * int(sizeof(T)) * i;
    return result;
}

template <class T> constexpr int saturated(int x) {
    constexpr int least = std::is_signed_v<T> ? -(1 << (8 * sizeof(T) - 1)) : 0;
    constexpr int most = least + (1 << 8 * sizeof(T)) - 1;
    return x < least ? least : x > most ? most : x;
}

// The sum of products of the four bytes of a and b.
template <class A, class B> constexpr int dot4(unsigned a, unsigned b) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) sum += int(part<A>(a, i)) * int(part<B>(b, i));
    return sum;
}
// The sum of products of the two halves of a and two bytes of b.
template <class A, class B> constexpr int dot2(unsigned a, unsigned b, int first) {
    return int(part<A>(a, 0)) * int(part<B>(b, first)) + int(part<A>(a, 1)) * int(part<B>(b, first + 1));
}

}  // namespace minisk

static inline int __dp4a(int a, int b, int c) { return c + minisk::dot4<int8_t, int8_t>(a, b); }
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) { return c + minisk::dot4<uint8_t, uint8_t>(a, b); }
static inline int __dp2a_lo(int a, int b, int c) { return c + minisk::dot2<int16_t, int8_t>(a, b, 0); }
static inline int __dp2a_hi(int a, int b, int c) { return c + minisk::dot2<int16_t, int8_t>(a, b, 2); }
static inline unsigned __dp2a_lo(unsigned a, unsigned b, unsigned c) {
    return c + minisk::dot2<uint16_t, uint8_t>(a, b, 0);
}
static inline unsigned __dp2a_hi(unsigned a, unsigned b, unsigned c) {
    return c + minisk::dot2<uint16_t, uint8_t>(a, b, 2);
}

// For two halfwords (name2) and four bytes (name4), signed or unsigned.
#define MINISK_SIMD(name, count, T, expression)                                                      \
    MINISK_IF_CALLED unsigned name##count(unsigned a, unsigned b) {                                  \
        return minisk::by_parts<T>(a, b, [](int a, int b) -> int { return expression; });            \
    }
#define MINISK_SIMD_SIGNED(name, expression)                                                         \
    MINISK_SIMD(name, 2, int16_t, expression) MINISK_SIMD(name, 4, int8_t, expression)
#define MINISK_SIMD_UNSIGNED(name, expression)                                                       \
    MINISK_SIMD(name, 2, uint16_t, expression) MINISK_SIMD(name, 4, uint8_t, expression)
MINISK_SIMD_UNSIGNED(__vadd, a + b)
MINISK_SIMD_UNSIGNED(__vsub, a - b)
MINISK_SIMD_SIGNED(__vmaxs, a < b ? b : a)
MINISK_SIMD_SIGNED(__vmins, a < b ? a : b)
MINISK_SIMD_UNSIGNED(__vmaxu, a < b ? b : a)
MINISK_SIMD_UNSIGNED(__vminu, a < b ? a : b)
MINISK_SIMD_UNSIGNED(__vabsdiffu, a < b ? b - a : a - b)
MINISK_SIMD_SIGNED(__vabsdiffs, a < b ? b - a : a - b)
MINISK_SIMD_UNSIGNED(__vavgu, (a + b + 1) >> 1)
MINISK_SIMD_SIGNED(__vavgs, (a + b + (a + b >= 0)) >> 1)
MINISK_SIMD_UNSIGNED(__vcmpeq, a == b ? -1 : 0)
MINISK_SIMD_UNSIGNED(__vcmpne, a != b ? -1 : 0)
MINISK_SIMD_UNSIGNED(__vcmpgtu, a > b ? -1 : 0)
MINISK_SIMD_UNSIGNED(__vcmpgeu, a >= b ? -1 : 0)
MINISK_SIMD_UNSIGNED(__vcmpltu, a < b ? -1 : 0)
MINISK_SIMD_UNSIGNED(__vcmpleu, a <= b ? -1 : 0)
MINISK_SIMD_SIGNED(__vcmpgts, a > b ? -1 : 0)
MINISK_SIMD_SIGNED(__vcmpges, a >= b ? -1 : 0)
MINISK_SIMD_SIGNED(__vcmplts, a < b ? -1 : 0)
MINISK_SIMD_SIGNED(__vcmples, a <= b ? -1 : 0)
MINISK_SIMD(__vaddss, 2, int16_t, minisk::saturated<int16_t>(a + b))
MINISK_SIMD(__vaddss, 4, int8_t, minisk::saturated<int8_t>(a + b))
MINISK_SIMD(__vsubss, 2, int16_t, minisk::saturated<int16_t>(a - b))
MINISK_SIMD(__vsubss, 4, int8_t, minisk::saturated<int8_t>(a - b))
MINISK_SIMD(__vaddus, 2, uint16_t, minisk::saturated<uint16_t>(a + b))
MINISK_SIMD(__vaddus, 4, uint8_t, minisk::saturated<uint8_t>(a + b))
MINISK_SIMD(__vsubus, 2, uint16_t, minisk::saturated<uint16_t>(a - b))
MINISK_SIMD(__vsubus, 4, uint8_t, minisk::saturated<uint8_t>(a - b))
static inline unsigned __vneg2(unsigned a) { return __vsub2(0, a); }
static inline unsigned __vneg4(unsigned a) { return __vsub4(0, a); }
static inline unsigned __vabs2(unsigned a) { return __vsub2(a ^ __vcmplts2(a, 0), __vcmplts2(a, 0)); }
static inline unsigned __vabs4(unsigned a) { return __vsub4(a ^ __vcmplts4(a, 0), __vcmplts4(a, 0)); }
