"""CUDA's words in runtime/include/vocabulary return the bits that NVIDIA's guide defines."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from host_library import build, launch, needs_compiler

pytestmark = needs_compiler

HALF = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void widen(const unsigned short* x, float* half, float* bfloat16, int n) {
    for (int i = 0; i < n; i++) {
        half[i] = __half2float(__ushort_as_half(x[i]));
        bfloat16[i] = __bfloat162float(__ushort_as_bfloat16(x[i]));
    }
}
extern "C" __global__ void narrow(const double* x, unsigned short* half, unsigned short* bfloat16, int n) {
    for (int i = 0; i < n; i++) {
        half[i] = __half_as_ushort(__double2half(x[i]));
        bfloat16[i] = __bfloat16_as_ushort(__double2bfloat16(x[i]));
    }
}
extern "C" __global__ void directed(const float* x, unsigned short* out, int n) {
    for (int i = 0; i < n; i++) {
        unsigned short* row = out + 4 * i;
        row[0] = __half_as_ushort(__float2half_rn(x[i]));
        row[1] = __half_as_ushort(__float2half_rz(x[i]));
        row[2] = __half_as_ushort(__float2half_ru(x[i]));
        row[3] = __half_as_ushort(__float2half_rd(x[i]));
    }
}
extern "C" __global__ void arithmetic(const __half* a, const __half* b, const __half* c, __half* out, int n) {
    for (int i = 0; i < n; i++) {
        __half* row = out + 5 * i;
        row[0] = a[i] + b[i];
        row[1] = __hsub(a[i], b[i]);
        row[2] = a[i] * b[i];
        row[3] = __hdiv(a[i], b[i]);
        row[4] = __hfma(a[i], b[i], c[i]);
    }
}
"""
HALF_KERNELS = ("widen", "narrow", "directed", "arithmetic")
ALL_BITS = np.arange(65536, dtype=np.uint16)


def bfloat16_values() -> np.ndarray:
    """Return the value of every bfloat16: the upper half of a float32."""
    return (ALL_BITS.astype(np.uint32) << 16).view(np.float32)


def awkward_doubles() -> np.ndarray:
    """Return every float16 and bfloat16 value, the midpoints between neighbours, and the doubles beside both."""
    sorted_values = []
    for values in (ALL_BITS.view(np.float16), bfloat16_values()):
        finite = np.unique(values[np.isfinite(values)].astype(float))
        sorted_values += [finite, (finite[1:] + finite[:-1]) / 2]
    exact = np.concatenate(sorted_values)
    return np.concatenate([exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf), [np.inf, -np.inf]])


def rounded_to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Return the bits of the nearest bfloat16 of each double, ties to even, by search in the list of all values."""
    bits = np.arange(0x7F81, dtype=np.uint16)  # 0 to infinity
    values = bfloat16_values()[bits].astype(float)
    values[-1] = 2.0**128  # infinity takes the place of the next number
    size = abs(x)
    above = np.searchsorted(values, size).clip(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    is_high = (size - low > high - size) | ((size - low == high - size) & (bits[above] % 2 == 0))
    return np.where(is_high, bits[above], bits[above - 1]) | (np.signbit(x) * np.uint16(0x8000))


def test_every_half_and_bfloat16_becomes_its_float() -> None:
    half, bfloat16 = np.zeros(65536, np.float32), np.zeros(65536, np.float32)
    library = build(HALF, "threads", *HALF_KERNELS)
    assert launch(library, "widen", 1, 1, ALL_BITS, half, bfloat16, np.int32(65536)) == ""
    np.testing.assert_array_equal(half, ALL_BITS.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(bfloat16.view(np.uint32), ALL_BITS.astype(np.uint32) << 16)


def test_numbers_are_rounded_once_to_half_and_to_bfloat16() -> None:
    x = awkward_doubles()
    half, bfloat16 = np.zeros(len(x), np.uint16), np.zeros(len(x), np.uint16)
    library = build(HALF, "threads", *HALF_KERNELS)
    assert launch(library, "narrow", 1, 1, x, half, bfloat16, np.int32(len(x))) == ""
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(half, x.astype(np.float16).view(np.uint16))
    np.testing.assert_array_equal(bfloat16, rounded_to_bfloat16(x))


def test_nan_becomes_the_bits_that_a_gpu_writes() -> None:
    half, bfloat16 = np.zeros(1, np.uint16), np.zeros(1, np.uint16)
    library = build(HALF, "threads", *HALF_KERNELS)
    assert launch(library, "narrow", 1, 1, np.array([np.nan]), half, bfloat16, np.int32(1)) == ""
    assert (half[0], bfloat16[0]) == (0x7FFF, 0x7FFF)


def test_directed_conversions_return_the_neighbour_on_that_side() -> None:
    with np.errstate(over="ignore"):
        x = awkward_doubles().astype(np.float32)
    x = x[abs(x) < 65504]
    out = np.zeros((len(x), 4), np.uint16)
    assert launch(build(HALF, "threads", *HALF_KERNELS), "directed", 1, 1, x, out, np.int32(len(x))) == ""
    nearest, zero, up, down = out.view(np.float16).T
    half = x.astype(np.float16)
    np.testing.assert_array_equal(nearest, half)
    above = np.where(half.astype(np.float32) >= x, half, np.nextafter(half, np.float16(np.inf)))
    below = np.where(half.astype(np.float32) <= x, half, np.nextafter(half, np.float16(-np.inf)))
    np.testing.assert_array_equal(up, above)
    np.testing.assert_array_equal(down, below)
    np.testing.assert_array_equal(zero, np.where(x > 0, below, above))


def test_half_arithmetic_is_correctly_rounded() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 0x7C00, (3, 20000)).astype(np.uint16) | rng.integers(0, 2, (3, 20000), np.uint16) << 15
    a, b, c = a.view(np.float16), b.view(np.float16), c.view(np.float16)
    out = np.zeros((20000, 5), np.float16)
    assert launch(build(HALF, "threads", *HALF_KERNELS), "arithmetic", 1, 1, a, b, c, out, np.int32(20000)) == ""
    with np.errstate(all="ignore"):
        expected = np.stack([a + b, a - b, a * b, a / b], axis=1)
        # 64 binary digits, and the midpoints have 12: rounding twice gives the right number.
        fused = (a.astype(np.longdouble) * b + c).astype(np.float16)
    np.testing.assert_array_equal(out[:, :4], expected)
    np.testing.assert_array_equal(out[:, 4], fused)


ROUNDING = """
#define ROW(i, name, ...) out[4 * i] = name##_rn(__VA_ARGS__); out[4 * i + 1] = name##_rz(__VA_ARGS__); \\
    out[4 * i + 2] = name##_ru(__VA_ARGS__); out[4 * i + 3] = name##_rd(__VA_ARGS__);
extern "C" __global__ void floats(const float* a, const float* b, float* out, int n) {
    for (int i = 0; i < n; i++, out += 20) {
        ROW(0, __fadd, a[i], b[i])
        ROW(1, __fsub, a[i], b[i])
        ROW(2, __fmul, a[i], b[i])
        ROW(3, __fdiv, a[i], b[i])
        ROW(4, __fmaf, a[i], b[i], a[i])
    }
}
extern "C" __global__ void uncontracted(const float* a, float* out) {
    out[0] = __fmul_rn(a[0], a[0]) - a[1];
    out[1] = __fadd_rn(__fadd_rn(a[2], a[3]), -a[2]);
}
extern "C" __global__ void integers(const float* x, const double* y, int* out, unsigned* natural, long long* wide) {
    for (int i = 0; i < 12; i++) {
        ROW(i, __float2int, x[i])
        natural[i] = __double2uint_rn(y[i]);
        wide[i] = __float2ll_rz(x[i]);
    }
}
"""
ROUNDING_KERNELS = ("floats", "uncontracted", "integers")


@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_rounding_forms_return_the_neighbour_in_their_direction(mode: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((2, 2000)) * 10.0 ** rng.integers(-6, 7, (2, 2000))).astype(np.float32)
    out = np.zeros((2000, 5, 4), np.float32)
    assert launch(build(ROUNDING, mode, *ROUNDING_KERNELS), "floats", 1, 1, a, b, out, np.int32(2000)) == ""
    for i in range(2000):
        p, q = Fraction(float(a[i])), Fraction(float(b[i]))
        for exact, (nearest, zero, up, down) in zip((p + q, p - q, p * q, p / q, p * q + p), out[i], strict=True):
            assert Fraction(float(up)) >= exact > Fraction(float(np.nextafter(up, np.float32(-np.inf))))
            assert Fraction(float(down)) <= exact < Fraction(float(np.nextafter(down, np.float32(np.inf))))
            assert zero == (down if exact > 0 else up)
            distances = [abs(Fraction(float(side)) - exact) for side in (down, up)]
            assert abs(Fraction(float(nearest)) - exact) == min(distances)


@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_rounded_operations_are_neither_fused_nor_reassociated(mode: str) -> None:
    # The square of 1 + 2^-12 is 1 + 2^-11 + 2^-24, of which a float keeps 1 + 2^-11. A fused operation leaves 2^-24.
    a = np.array([1 + 2**-12, 1 + 2**-11, 1e8, 1], np.float32)
    out = np.ones(2, np.float32)
    assert launch(build(ROUNDING, mode, *ROUNDING_KERNELS), "uncontracted", 1, 1, a, out) == ""
    np.testing.assert_array_equal(out, [0, 0])


def test_conversions_to_integers_round_and_saturate() -> None:
    x = np.array([0.5, 1.5, -0.5, -1.5, 2.7, -2.7, 3e9, -3e9, np.inf, -np.inf, np.nan, 2**31], np.float32)
    y = np.array([0.5, 1.5, -0.5, -1.5, 2.7, -2.7, 5e9, -3e9, np.inf, -np.inf, np.nan, 2**31], float)
    out, natural, wide = np.zeros((12, 4), np.int32), np.zeros(12, np.uint32), np.zeros(12, np.int64)
    library = build(ROUNDING, "threads", *ROUNDING_KERNELS)
    assert launch(library, "integers", 1, 1, x, y, out, natural, wide) == ""
    least, most = -(2**31), 2**31 - 1
    small = [[0, 0, 1, 0], [2, 1, 2, 1], [0, 0, 0, -1], [-2, -1, -1, -2], [3, 2, 3, 2], [-3, -2, -2, -3]]
    assert out.tolist() == [*small, [most] * 4, [least] * 4, [most] * 4, [least] * 4, [0] * 4, [most] * 4]
    assert natural.tolist() == [0, 2, 0, 0, 3, 0, 2**32 - 1, 0, 2**32 - 1, 0, 2**31, 2**31]
    assert wide[8:].tolist() == [2**63 - 1, -(2**63), -(2**63), 2**31]


INTEGERS = """
extern "C" __global__ void integers(const unsigned* x, const unsigned* y, unsigned* out, int n) {
    for (int i = 0; i < n; i++, out += 20) {
        const unsigned a = x[i], b = y[i];
        const unsigned results[20] = {
            __brev(a), unsigned(__clz(a)), unsigned(__popc(a)), unsigned(__ffs(a)), __byte_perm(a, b, b),
            __umulhi(a, b), unsigned(__mulhi(int(a), int(b))), unsigned(__mul24(int(a), int(b))), __umul24(a, b),
            __usad(a, b, 7), __funnelshift_l(a, b, b), __funnelshift_r(a, b, a), __funnelshift_lc(a, b, b % 40),
            __dp4a(a, b, 5u), unsigned(__dp4a(int(a), int(b), 5)), __vadd4(a, b), __vmaxs2(a, b), __vabsdiffu4(a, b),
            __uhadd(a, b), unsigned(__rhadd(int(a), int(b)))};
        for (int k = 0; k < 20; k++) out[k] = results[k];
    }
}
"""


def signed(x: int, bits: int = 32) -> int:
    return x - (1 << bits) if x >> (bits - 1) & 1 else x


def parts(x: int, bits: int, is_signed: bool = False) -> list[int]:
    found = [x >> shift & (1 << bits) - 1 for shift in range(0, 32, bits)]
    return [signed(part, bits) for part in found] if is_signed else found


def joined(values: list[int], bits: int) -> int:
    return sum((value & (1 << bits) - 1) << bits * i for i, value in enumerate(values))


def defined_integers(a: int, b: int) -> list[int]:
    """Return what CUDA's guide defines for the intrinsics of INTEGERS, by Python's integers."""
    both, bytes_ = b << 32 | a, [*parts(a, 8), *parts(b, 8)]
    clamped = min(b % 40, 32)
    low24 = [signed(x & 0xFFFFFF, 24) for x in (a, b)]
    return [
        int(f"{a:032b}"[::-1], 2),
        32 - a.bit_length(),
        a.bit_count(),
        (a & -a).bit_length(),
        joined([bytes_[b >> 4 * i & 7] for i in range(4)], 8),
        a * b >> 32,
        signed(a) * signed(b) >> 32,
        low24[0] * low24[1],
        (a & 0xFFFFFF) * (b & 0xFFFFFF),
        abs(a - b) + 7,
        both << (b & 31) >> 32,
        both >> (a & 31),
        both << clamped >> 32,
        5 + sum(p * q for p, q in zip(parts(a, 8), parts(b, 8), strict=True)),
        5 + sum(p * q for p, q in zip(parts(a, 8, True), parts(b, 8, True), strict=True)),
        joined([p + q for p, q in zip(parts(a, 8), parts(b, 8), strict=True)], 8),
        joined([max(p, q) for p, q in zip(parts(a, 16, True), parts(b, 16, True), strict=True)], 16),
        joined([abs(p - q) for p, q in zip(parts(a, 8), parts(b, 8), strict=True)], 8),
        (a + b) >> 1,
        (signed(a) + signed(b) + 1) >> 1,
    ]


def test_integer_intrinsics_return_what_the_guide_defines() -> None:
    rng = np.random.default_rng(0)
    edges = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    x = np.array([*np.repeat(edges, 5), *rng.integers(0, 2**32, 1000)], np.uint32)
    y = np.array([*np.tile(edges, 5), *rng.integers(0, 2**32, 1000)], np.uint32)
    out = np.zeros((len(x), 20), np.uint32)
    assert launch(build(INTEGERS, "threads", "integers"), "integers", 1, 1, x, y, out, np.int32(len(x))) == ""
    for a, b, row in zip(x.tolist(), y.tolist(), out.tolist(), strict=True):
        assert row == [value & 0xFFFFFFFF for value in defined_integers(a, b)], (hex(a), hex(b))


MATHEMATICS = """
extern "C" __global__ void absolute(const float* x, const long long* y, float* out, long long* big, int* is) {
    out[0] = abs(x[0]);
    big[0] = abs(y[0]);
    is[0] = isnan(x[1]), is[1] = isinf(x[2]), is[2] = isfinite(x[0]), is[3] = signbit(x[0]) != 0;
}
extern "C" __global__ void special(const double* x, double* out, int n) {
    for (int i = 0; i < n; i++, out += 8) {
        out[0] = erfinv(erf(x[i]));
        out[1] = erfcinv(erfc(x[i]));
        out[2] = normcdfinv(normcdf(x[i]));
        out[3] = erfcx(x[i]) - exp(x[i] * x[i]) * erfc(x[i]);
        out[4] = cyl_bessel_i0(x[i]);
        out[5] = sinpi(x[i] * 8) - sin(3.14159265358979323846 * 8 * x[i]);
        out[6] = rcbrt(x[i]) * cbrt(x[i]);
        out[7] = norm3d(x[i], 2.0, 3.0);
    }
}
extern "C" __global__ void branches(double* out) {
#if __CUDA_ARCH__ >= 700 && defined(__CUDACC__)
    out[0] = erfcx(30.0), out[1] = sinpi(0.5), out[2] = cospi(0.5), out[3] = sinpi(1e15), out[4] = erfcinv(1e-300);
#endif
}
"""


@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_abs_and_its_family_keep_the_type_of_their_argument(mode: str) -> None:
    x, y = np.array([-2.75, np.nan, -np.inf], np.float32), np.array([-5_000_000_000])
    out, big, is_ = np.zeros(1, np.float32), np.zeros(1, np.int64), np.zeros(4, np.int32)
    library = build(MATHEMATICS, mode, "absolute", "special", "branches")
    assert launch(library, "absolute", 1, 1, x, y, out, big, is_) == ""
    assert (out[0], big[0], is_.tolist()) == (2.75, 5_000_000_000, [1, 1, 1, 1])


def test_special_functions_agree_with_their_definitions() -> None:
    x = np.linspace(-2.5, 2.5, 100)  # no integer, where cbrt or sin would be 0
    out = np.zeros((100, 8))
    library = build(MATHEMATICS, "threads", "absolute", "special", "branches")
    assert launch(library, "special", 1, 1, x, out, np.int32(100)) == ""
    for inverse in out.T[:3]:
        np.testing.assert_allclose(inverse, x, rtol=1e-12)
    np.testing.assert_allclose(out[:, 3], 0, atol=1e-12)
    np.testing.assert_allclose(out[:, 4], np.i0(x), rtol=1e-14)
    np.testing.assert_allclose(out[:, 5], 0, atol=1e-13)
    np.testing.assert_allclose(out[:, 6], 1, rtol=1e-15)
    np.testing.assert_allclose(out[:, 7], np.sqrt(x * x + 13), rtol=1e-15)


def test_special_functions_hold_where_their_formula_would_not() -> None:
    out = np.zeros(5)
    library = build(MATHEMATICS, "threads", "absolute", "special", "branches")
    assert launch(library, "branches", 1, 1, out) == ""
    # The series of erfcx: 1 / (x sqrt(pi)) · (1 - 1 / (2 x^2) + 3 / (4 x^4))
    series = (1 - 1 / 1800 + 3 / (4 * 30**4)) / (30 * math.sqrt(math.pi))
    np.testing.assert_allclose(out[0], series, rtol=1e-8)
    assert out[1:4].tolist() == [1, 0, 0]
    np.testing.assert_allclose(math.erfc(out[4]), 1e-300, rtol=1e-10)
