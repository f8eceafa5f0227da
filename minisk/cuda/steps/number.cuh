// number.cuh: the type in which the steps compute. Under the checker it counts its operations; elsewhere it is `wide`.
//
// One addition, multiplication, division or comparison is one operation, and so is one exponential or square root.
// Arithmetic of indices is not counted. The includer includes common.cuh first.
#pragma once

#ifndef MINISK_CHECK

typedef wide number;

template <class T> __device__ __forceinline__ number as_number(T from) { return (wide)from; }

__device__ __forceinline__ number exponential_of(number x) { return exp(x); }
__device__ __forceinline__ number square_root(number x) { return sqrt(x); }
__device__ __forceinline__ number larger(number a, number b) { return a > b ? a : b; }

#else

struct number {  // without constructors: a shared array of numbers needs none
    wide value;
    __device__ __forceinline__ explicit operator wide() const { return value; }
};
template <class T> __device__ __forceinline__ number as_number(T from) { return {(wide)from}; }

static unsigned long long counters[2];  // operations, and those among them that are exponentials
MINISK_VISIBLE unsigned long long* minisk_step_counters() { return counters; }  // called by Python

// Not instrumented: the counters are no memory of the kernel's.
MINISK_UNWATCHED __attribute__((noinline)) static void count_operation() { counters[0]++; }
MINISK_UNWATCHED __attribute__((noinline)) static void count_exponential() { counters[1]++; }

__device__ __forceinline__ number counted(wide value) {
    count_operation();
    return as_number(value);
}
__device__ __forceinline__ number operator+(number a, number b) { return counted(a.value + b.value); }
__device__ __forceinline__ number operator-(number a, number b) { return counted(a.value - b.value); }
__device__ __forceinline__ number operator*(number a, number b) { return counted(a.value * b.value); }
__device__ __forceinline__ number operator/(number a, number b) { return counted(a.value / b.value); }
__device__ __forceinline__ number& operator+=(number& a, number b) { return a = a + b; }
__device__ __forceinline__ number larger(number a, number b) { return counted(a.value > b.value ? a.value : b.value); }
__device__ __forceinline__ number square_root(number x) { return counted(sqrt(x.value)); }
__device__ __forceinline__ number exponential_of(number x) {
    count_exponential();
    return counted(exp(x.value));
}
__device__ __forceinline__ number __shfl_xor_sync(unsigned lanes, number x, int distance) {
    return as_number(__shfl_xor_sync(lanes, x.value, distance));
}

#endif

__device__ __forceinline__ number negative_infinity() { return as_number(-(wide)INFINITY); }

// The sum, or the maximum, of a warp's numbers: five exchanges of registers, without a barrier.
__device__ __forceinline__ number warp_sum(number value) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

// Writes four neighbours in one request, as load4 of common.cuh reads them.
__device__ __forceinline__ void store4(real* p, const four value) {
#ifdef MINISK_CHECK
    minisk_store_whole<four>(p, value);
#else
    *reinterpret_cast<four*>(p) = value;
#endif
}
