// vector.cuh: what a thread computes at once: one element on a GPU, a vector register on a CPU.
//
//   lanes     the elements that a thread computes at once     VECTOR    how many they are
//
// The compiler vectorises plain loops by itself. A kernel says `lanes` where its loop is too short for that, or keeps
// sums in registers. The includer includes common.cuh first.
#pragma once

// load(p, zero) reads one element or VECTOR of them, as the type of zero says: wide or lanes.
__device__ __forceinline__ wide load(const real* p, wide) { return (wide)*p; }
__device__ __forceinline__ void store(real* p, const wide value) { *p = (real)value; }

#ifndef MINISK_ONE_THREAD

#define VECTOR 1
typedef wide lanes;

__device__ __forceinline__ lanes load(const real* p) { return (wide)*p; }

#else

#define VECTOR (MINISK_VECTOR_BYTES / (int)sizeof(wide))
typedef wide lanes __attribute__((vector_size(MINISK_VECTOR_BYTES)));

static inline lanes load(const real* p) {
    lanes value;
    if constexpr (sizeof(real) == sizeof(wide)) memcpy(&value, p, sizeof value);  // p need not be aligned
    else for (int k = 0; k < VECTOR; k++) value[k] = p[k];
#if defined(__x86_64__)  // without this, gcc reads memory again at each use of the value
    asm("" : "+v"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}

static inline lanes load(const real* p, lanes) { return load(p); }
static inline void store(real* p, const lanes value) {
    if constexpr (sizeof(real) == sizeof(wide)) memcpy(p, &value, sizeof value);
    else for (int k = 0; k < VECTOR; k++) p[k] = (real)value[k];
}

static inline wide sum_of(const lanes value) {
    wide sum = 0;
    for (int k = 0; k < VECTOR; k++) sum += value[k];
    return sum;
}

#endif

// A sum of many terms: a run adds up to RUN_TERMS of them in a register, and `total` adds the runs in double. So the
// error does not grow with the number of terms, and one addition in RUN_TERMS is slow.
struct LongSum {
    double total = 0;
    wide single = 0;
    __device__ __forceinline__ void add(const wide term) { single += term; }
#ifdef MINISK_ONE_THREAD
    lanes run = {};
    void add(const lanes terms) { run += terms; }
    void end_run() { total += (double)(sum_of(run) + single), run = lanes(), single = 0; }
#else
    __device__ __forceinline__ void end_run() { total += (double)single, single = 0; }
#endif
};
