// sum.cu: a sum over each plane, from naive to fast. It is the gradient of axpy's scale.
//
//   out[p] = Σ_s g[p,s] · x[p,s]      g, x: (planes, spatial)   out: (planes)   grid (planes): one block per plane
//
// `minisk steps sum` proves each step, compares it with step 1 and counts it. Operations never launch these kernels.
//
// in use: axpy.cu channel_dot_shuffle<<<6, 64>>> planes=6 spatial=904 g[6*spatial] x[6*spatial] out[6]
// adds: loads of four elements; sums of long runs in double; a block takes several small planes in turn.
#include "common.cuh"
#include "number.cuh"

#define MOST_THREADS 256  // of a block: a power of two

// step: One thread sums a plane. All other threads of the block are idle.
// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ void channel_dot_serial(const int spatial, const real* g, const real* x, real* out) {
    if (threadIdx.x > 0) return;
    const int plane = blockIdx.x * spatial;
    number sum = as_number(0);
    for (int s = 0; s < spatial; s++) sum += as_number(g[plane + s]) * as_number(x[plane + s]);
    out[blockIdx.x] = (real)(wide)sum;
}

// step: Each thread sums a run of neighbours, as on a CPU; one thread adds the partial sums.
// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ void channel_dot_runs(const int spatial, const real* g, const real* x, real* out) {
    __shared__ number partial[MOST_THREADS];
    const int thread = threadIdx.x, threads = blockDim.x, plane = blockIdx.x * spatial;
    number sum = as_number(0);
    for (int s = spatial * thread / threads; s < spatial * (thread + 1) / threads; s++)
        sum += as_number(g[plane + s]) * as_number(x[plane + s]);
    partial[thread] = sum;
    __syncthreads();
    if (thread > 0) return;
    for (int other = 1; other < threads; other++) sum += partial[other];
    out[blockIdx.x] = (real)(wide)sum;
}

// step: Neighbouring threads take neighbouring elements; a tree in shared memory adds the partial sums.
// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ void channel_dot_tree(const int spatial, const real* g, const real* x, real* out) {
    __shared__ number partial[MOST_THREADS];
    const int thread = threadIdx.x, plane = blockIdx.x * spatial;
    number sum = as_number(0);
    for (int s = thread; s < spatial; s += blockDim.x) sum += as_number(g[plane + s]) * as_number(x[plane + s]);
    partial[thread] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (thread < half) partial[thread] = partial[thread] + partial[thread + half];
        __syncthreads();  // outside the if: every thread of the block must reach it
    }
    if (thread == 0) out[blockIdx.x] = (real)(wide)partial[0];
}

// step: The threads of a warp add in registers, without a barrier; shared memory holds one sum for each warp.
// check: <<<6, 64>>> spatial=904 g[6*spatial] x[6*spatial] out[6]
extern "C" __global__ void channel_dot_warps(const int spatial, const real* g, const real* x, real* out) {
    __shared__ number of_warp[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int plane = blockIdx.x * spatial;
    number sum = as_number(0);
    for (int s = threadIdx.x; s < spatial; s += blockDim.x) sum += as_number(g[plane + s]) * as_number(x[plane + s]);
    sum = warp_sum(sum);
    if (lane == 0) of_warp[warp] = sum;
    __syncthreads();
    if (warp > 0) return;
    sum = warp_sum(lane < warps ? of_warp[lane] : as_number(0));
    if (lane == 0) out[blockIdx.x] = (real)(wide)sum;
}
