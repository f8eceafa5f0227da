// exponential.cuh: e^x and log x of a `wide`.
#pragma once

__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }

#ifndef MINISK_ONE_THREAD
__device__ __forceinline__ float exponential(float x) { return expf(x); }
#else
// A call of the C library takes one number at a time; this is inlined, and vectorises. For x up to 88; within 1e-7 of e^x.
//     x = n·log 2 + r, |r| ≤ log(2) / 2     e^x = 2^n · e^r     coefficients: Cephes' expf
// The fused multiply-adds also keep -fassociative-math from taking log 2's two parts together.
static inline float exponential(float x) {
    const float n = rintf(x * 1.44269504f);
    const float r = fmaf(n, 1.90465430e-9f, fmaf(n, -0.693147182f, x));
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    const float e_r = fmaf(p, r * r, r) + 1;
    const unsigned bits = ((unsigned)(int)n + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return x < -87 ? 0 : e_r * power;  // smaller than a normal float; a NaN stays one
}
#endif
