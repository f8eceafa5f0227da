// select.cu: the select step of a selective kernel with two branches, from naive to fast.
//
//   a_m = softmax over m of logits[n,m,c]      out[p,s] = a_0 · x0[p,s] + a_1 · x1[p,s]      p = n · channels + c
//
//   logits: (N, 2, channels)   x0, x1, out: (planes, spatial)   planes = N · channels
//
// `minisk steps select` proves each step, compares it with step 1 and counts it. Operations never launch these kernels.
//
// in use: select.cu select_forward<<<(8, 1), 64>>> planes=8 channels=4 spatial=256 logits[16] x0[2048] x1[2048] x2[1] x3[1] weights[16] out[2048]
// adds: one to four branches; the weights; any size of plane, one element a request; small planes share a block.
#include "common.cuh"
#include "number.cuh"

struct Weights { number first, second; };

// The softmax over the two logits of a plane.
__device__ __forceinline__ Weights weights_of(const int plane, const int channels, const real* logits) {
    const int at = plane / channels * 2 * channels + plane % channels;
    const number one = as_number(logits[at]), other = as_number(logits[at + channels]);
    const number top = larger(one, other);
    const number first = exponential_of(one - top), second = exponential_of(other - top), sum = first + second;
    return {first / sum, second / sum};
}

// step: One thread computes a plane, one branch after the other: out is written, read and written again.
// check: <<<1, 32>>> planes=8 channels=4 spatial=256 logits[16] x0[2048] x1[2048] out[2048]
extern "C" __global__ void select_thread(const int planes, const int channels, const int spatial, const real* logits,
                                         const real* x0, const real* x1, real* out) {
    const int plane = blockIdx.x * blockDim.x + threadIdx.x;
    if (plane >= planes) return;
    const Weights a = weights_of(plane, channels, logits);
    const int start = plane * spatial;
    for (int s = 0; s < spatial; s++) out[start + s] = (real)(wide)(a.first * as_number(x0[start + s]));
    for (int s = 0; s < spatial; s++)
        out[start + s] = (real)(wide)(as_number(out[start + s]) + a.second * as_number(x1[start + s]));
}

// step: A thread an element, neighbours read neighbours. Every thread divides to find its plane, and computes a softmax.
// check: <<<32, 64>>> planes=8 channels=4 spatial=256 logits[16] x0[2048] x1[2048] out[2048]
extern "C" __global__ void select_element(const int planes, const int channels, const int spatial, const real* logits,
                                          const real* x0, const real* x1, real* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * spatial) return;
    const Weights a = weights_of(i / spatial, channels, logits);
    out[i] = (real)(wide)(a.first * as_number(x0[i]));
    out[i] = (real)(wide)(as_number(out[i]) + a.second * as_number(x1[i]));
}

// step: A block a plane: a thread computes the weights once. Fused: each branch is read once, and out is written once.
// check: <<<8, 64>>> planes=8 channels=4 spatial=256 logits[16] x0[2048] x1[2048] out[2048]
extern "C" __global__ void select_fused(const int planes, const int channels, const int spatial, const real* logits,
                                        const real* x0, const real* x1, real* out) {
    const Weights a = weights_of(blockIdx.x, channels, logits);
    const int start = blockIdx.x * spatial;
    for (int s = threadIdx.x; s < spatial; s += blockDim.x)
        out[start + s] = (real)(wide)(a.first * as_number(x0[start + s]) + a.second * as_number(x1[start + s]));
}

// step: Four neighbours in one request: the same bytes in a quarter of the requests. Planes must be multiples of four.
// check: <<<8, 64>>> planes=8 channels=4 spatial=256 logits[16] x0[2048] x1[2048] out[2048]
extern "C" __global__ void select_fours(const int planes, const int channels, const int spatial, const real* logits,
                                        const real* x0, const real* x1, real* out) {
    const Weights a = weights_of(blockIdx.x, channels, logits);
    const int start = blockIdx.x * spatial;
    for (int s = 4 * threadIdx.x; s < spatial; s += 4 * blockDim.x) {
        const four left = load4(x0 + start + s), right = load4(x1 + start + s);
        four mixed;
        for (int k = 0; k < 4; k++)
            mixed.item[k] = (real)(wide)(a.first * as_number(left.item[k]) + a.second * as_number(right.item[k]));
        store4(out + start + s, mixed);
    }
}
