// exponential.cuh: e^x, the logarithm to base 2, and a term of log-softmax, for a `wide`.
#pragma once

__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ double binary_log(double x) { return log2(x); }
__device__ __forceinline__ float binary_log(float x) { return log2f(x); }

// x - top - log(sum), in this order. -fassociative-math would compute x - (top + log(sum)), which rounds away the
// difference of two large x. The compiler does not reorder a fused multiply-add.
__device__ __forceinline__ double log_share(double x, double top, double log2_sum) {
    return fma(log2_sum, -0.69314718055994531, x - top);
}
__device__ __forceinline__ float log_share(float x, float top, float log2_sum) {
    return fmaf(log2_sum, -0.693147182f, x - top);
}

#ifndef MINISK_ONE_THREAD
__device__ __forceinline__ float exponential(float x) { return expf(x); }
#else
// The C library's expf takes one number at a time; this one is inlined and vectorises. For x ≤ 88; error ≤ 1e-7 · e^x.
//     x = n·log 2 + r, |r| ≤ log(2) / 2     e^x = 2^n · e^r     coefficients: Cephes' expf
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
