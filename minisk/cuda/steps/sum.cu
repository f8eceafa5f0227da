// sum.cu: a sum over each plane, from naive to fast. It is the gradient of axpy's scale.
//
//   out[p] = Σ_s g[p,s] · x[p,s]      g, x: (planes, spatial)   out: (planes)   grid (planes): one block per plane
//
//   1  channel_dot_serial   One thread sums a plane. The result is right; all other threads of the block are idle.
//   2  channel_dot_tree     Each thread sums every blockDim-th product. Then the partial sums are added in pairs in
//                           shared memory: log2(blockDim) rounds with a barrier each, as in the original Axpy layer.
//   3  channel_dot_shuffle  In ../axpy.cu: loads of four elements. The threads of a warp add in registers, without a
//                           barrier; shared memory holds one sum for each warp. Operations launch this one.
//
// Operations never launch steps 1 and 2. The tests compare each step with step 1.
#include "common.cuh"

#define TREE_BLOCK 256  // the most threads that channel_dot_tree has shared memory for; a power of two

// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ ANY_BLOCK void channel_dot_serial(const int spatial, const real* __restrict__ g,
                                                        const real* __restrict__ x, real* __restrict__ out) {
    if (threadIdx.x > 0) return;
    const long long plane = (long long)blockIdx.x * spatial;
    wide sum = 0;
    for (int s = 0; s < spatial; s++) sum += (wide)g[plane + s] * (wide)x[plane + s];
    out[blockIdx.x] = (real)sum;
}

// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ ANY_BLOCK void channel_dot_tree(const int spatial, const real* __restrict__ g,
                                                      const real* __restrict__ x, real* __restrict__ out) {
    __shared__ wide partial[TREE_BLOCK];
    const long long plane = (long long)blockIdx.x * spatial;
    const int thread = threadIdx.x;
    wide sum = 0;
    BLOCK_LOOP(s, spatial) sum += (wide)g[plane + s] * (wide)x[plane + s];
    partial[thread] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (thread < half) partial[thread] += partial[thread + half];
        __syncthreads();  // outside the if: every thread of the block must reach it
    }
    if (thread == 0) out[blockIdx.x] = (real)partial[0];
}
