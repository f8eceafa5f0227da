#include "common.cuh"

// check: <<<6, 64>>> channels=3 spatial=200 logits[12] x0[1200] x1[1200] weights[12] out[1200]
extern "C" __global__ void select_forward(const int channels, const int spatial, const real* logits, const real* x0,
                                          const real* x1, real* weights, real* out) {
    const int first = blockIdx.x / channels * 2 * channels + blockIdx.x % channels, second = first + channels;
    const wide z0 = logits[first], z1 = logits[second], top = z0 > z1 ? z0 : z1;
    const wide e0 = exp(z0 - top), e1 = exp(z1 - top);
    const wide a0 = e0 / (e0 + e1), a1 = e1 / (e0 + e1);
    if (threadIdx.x == 0) {
        weights[first] = (real)a0;
        weights[second] = (real)a1;
    }
    for (int s = threadIdx.x; s < spatial; s += blockDim.x) {
        const int i = blockIdx.x * spatial + s;
        out[i] = (real)(a0 * (wide)x0[i] + a1 * (wide)x1[i]);
    }
}

// check: <<<6, 64>>> channels=3 spatial=200 dout[1200] dweights[12] weights[12] x0[1200] x1[1200] dlogits[12] dx0[1200] dx1[1200]
extern "C" __global__ void select_backward(const int channels, const int spatial, const real* dout,
                                           const real* dweights, const real* weights, const real* x0, const real* x1,
                                           real* dlogits, real* dx0, real* dx1) {
    const int first = blockIdx.x / channels * 2 * channels + blockIdx.x % channels, second = first + channels;
    const wide a0 = weights[first], a1 = weights[second];
    wide sum0 = 0, sum1 = 0;
    for (int s = threadIdx.x; s < spatial; s += blockDim.x) {
        const int i = blockIdx.x * spatial + s;
        const wide g = dout[i];
        dx0[i] = (real)(a0 * g);
        dx1[i] = (real)(a1 * g);
        sum0 += g * (wide)x0[i];
        sum1 += g * (wide)x1[i];
    }
    const wide da0 = block_sum(sum0) + (wide)dweights[first], da1 = block_sum(sum1) + (wide)dweights[second];
    const wide mean = a0 * da0 + a1 * da1;
    if (threadIdx.x == 0) {
        dlogits[first] = (real)(a0 * (da0 - mean));
        dlogits[second] = (real)(a1 * (da1 - mean));
    }
}
