// sgd.cu: one step of SGD with momentum, in place and in one pass, as PyTorch defines it.
//
//   g = grad + weight_decay · weight     v ← momentum · v + g     weight ← weight - lr · (g + momentum · v, or v)
//
// Thread i takes elements i, i + threads, …. The kernel reads three elements and writes two; separate array operations
// would move about twenty. Cases for `minisk check`: cases/sgd.txt.
#include "common.cuh"

extern "C" __global__ ANY_BLOCK void sgd_momentum(const index_t count, const wide lr, const wide momentum,
                                                  const wide weight_decay, const int nesterov,
                                                  const real* __restrict__ grad, real* __restrict__ weight,
                                                  real* __restrict__ velocity) {
    GRID_LOOP(index_t, i, count) {
        const wide g = (wide)grad[i] + weight_decay * (wide)weight[i];
        const wide v = momentum * (wide)velocity[i] + g;
        velocity[i] = (real)v;
        weight[i] = (real)((wide)weight[i] - lr * (nesterov ? g + momentum * v : v));
    }
}
