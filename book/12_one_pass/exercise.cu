// Exercise 12: the select step of a selective kernel with two branches, in one pass each way.
//
//   a_m = softmax over m of logits[n,m,c]        out[p,s] = a_0 · x0[p,s] + a_1 · x1[p,s]        p = n · channels + c
//
//   dx_m = a_m · dout       da_m = Σ_s dout · x_m + dweights_m       dlogits_m = a_m · (da_m − a_0 · da_0 − a_1 · da_1)
//
//   logits, weights, dweights, dlogits: (N, 2, channels)      x0, x1, out, dout, dx0, dx1: (planes, spatial)
//
// A block of 64 threads computes one plane. `wide` is the type of the arithmetic. block_sum(v) returns the sum of all
// threads' v to every thread (chapter 11); all threads must call it.
#include "common.cuh"

// check: <<<6, 64>>> channels=3 spatial=200 logits[12] x0[1200] x1[1200] weights[12] out[1200]
extern "C" __global__ void select_forward(const int channels, const int spatial, const real* logits, const real* x0,
                                          const real* x1, real* weights, real* out) {
    // Each thread computes both weights for itself; one thread writes them. Then read each branch once.
}

// check: <<<6, 64>>> channels=3 spatial=200 dout[1200] dweights[12] weights[12] x0[1200] x1[1200] dlogits[12] dx0[1200] dx1[1200]
extern "C" __global__ void select_backward(const int channels, const int spatial, const real* dout,
                                           const real* dweights, const real* weights, const real* x0, const real* x1,
                                           real* dlogits, real* dx0, real* dx1) {
    // One loop is enough: it writes dx0 and dx1, and adds to two sums.
}
