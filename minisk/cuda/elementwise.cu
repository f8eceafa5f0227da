// elementwise.cu: sums, ReLU and its gradient, the sum with a ReLU that ends every residual unit, and the sigmoid.
//
//   add: out = x + y
//   relu: out = max(x, 0)      add_relu: out = max(x + y, 0)      relu_grad: out = 0 where y ≤ 0, else dout
//   sigmoid: out = 1 / (1 + e^-x) = (1 where x ≥ 0, else s) / (1 + s), s = e^-|x| ≤ 1: no x overflows
//
// All arrays have `count` elements. Thread i takes elements i, i + threads, i + 2·threads, …, so neighbouring threads
// read neighbouring addresses. These kernels are bound by memory: add_relu saves two of five passes.
#include "common.cuh"
#include "exponential.cuh"

// NaN is not below 0, so it stays NaN.
__device__ __forceinline__ wide rectified(const wide x) { return x < 0 ? 0 : x; }

// check: <<<3, 64>>> count=1027 x[1027] out[1027]
extern "C" __global__ ANY_BLOCK void relu(const index_t count, const real* __restrict__ x, real* __restrict__ out) {
    GRID_LOOP(index_t, i, count) out[i] = (real)rectified(x[i]);
}

// check: <<<3, 64>>> count=1027 x[1027] y[1027] out[1027]
extern "C" __global__ ANY_BLOCK void add(const index_t count, const real* __restrict__ x, const real* __restrict__ y,
                                         real* __restrict__ out) {
    GRID_LOOP(index_t, i, count) out[i] = (real)((wide)x[i] + (wide)y[i]);
}

// check: <<<3, 64>>> count=1027 x[1027] y[1027] out[1027]
extern "C" __global__ ANY_BLOCK void add_relu(const index_t count, const real* __restrict__ x,
                                              const real* __restrict__ y, real* __restrict__ out) {
    GRID_LOOP(index_t, i, count) out[i] = (real)rectified((wide)x[i] + (wide)y[i]);
}

// check: <<<3, 64>>> count=1027 dout[1027] y[1027] out[1027]
extern "C" __global__ ANY_BLOCK void relu_grad(const index_t count, const real* __restrict__ dout,
                                               const real* __restrict__ y, real* __restrict__ out) {
    GRID_LOOP(index_t, i, count) {
        const wide g = dout[i];
        out[i] = (real)((wide)y[i] <= 0 ? 0 : g);  // NaN is not ≤ 0: the gradient shows it
    }
}

// check: <<<3, 64>>> count=1027 x[1027] out[1027]
extern "C" __global__ ANY_BLOCK void sigmoid(const index_t count, const real* __restrict__ x, real* __restrict__ out) {
    GRID_LOOP(index_t, i, count) {
        const wide value = x[i], shrunk = exponential(value < 0 ? value : -value);
        out[i] = (real)((value < 0 ? shrunk : 1) / (1 + shrunk));
    }
}
