// axpy.cu: out = a·x + y with one scale per plane (image, channel), and its gradients.
//
//   out[p,s] = a[p] · x[p,s] + y[p,s]        da[p] = Σ_s dout[p,s] · x[p,s]        dx[p,s] = a[p] · dout[p,s]
//
//   a: (planes)   x, y, out: (planes, spatial)   planes = N·C, spatial = H·W
//   Source: the Axpy layer of the SENet and SKNet Caffe forks.
//
// Elementwise kernels: grid (planes, tiles). A block is in one plane at a time, so no thread divides to find its scale,
// and neighbouring threads touch neighbouring addresses, so every 32-byte sector is moved once. Of small planes a block
// takes several in turn.
//
// The scale's gradient, one block for a plane, is told in three steps, of which the last is launched:
//   1  channel_dot_serial   one thread sums a plane: right, while all others of the block idle.
//   2  channel_dot_tree     each thread sums every blockDim-th product; then halves meet in shared memory, as in the
//                           original: log2(blockDim) rounds, a barrier each.
//   3  channel_dot_shuffle  four products a request, and the last five halvings stay inside a warp, whose threads read
//                           each other's registers without a barrier (block_sum in common.cuh).
//
// A line `check:` says with what sizes `minisk check` tries a kernel: several tiles or rounds, and a tail.
#include "common.cuh"

#define TREE_BLOCK 256  // the most threads channel_dot_tree has room for; a power of two

// check: <<<(3, 3), 64>>> planes=7 spatial=904 a[7] x[7*spatial] y[7*spatial] out[7*spatial]
extern "C" __global__ ANY_BLOCK void axpy_forward(const index_t planes, const int spatial, const real* __restrict__ a,
                                                  const real* __restrict__ x, const real* __restrict__ y,
                                                  real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const long long start = plane * spatial;
        const wide scale = a[plane];
        TILE_LOOP(s, spatial) out[start + s] = (real)(scale * (wide)x[start + s] + (wide)y[start + s]);
    }
}

// check: <<<(3, 3), 64>>> planes=7 spatial=904 a[7] x[7*spatial] out[7*spatial]
extern "C" __global__ ANY_BLOCK void channel_scale(const index_t planes, const int spatial, const real* __restrict__ a,
                                                   const real* __restrict__ x, real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const long long start = plane * spatial;
        const wide scale = a[plane];
        TILE_LOOP(s, spatial) out[start + s] = (real)(scale * (wide)x[start + s]);
    }
}

// check: <<<(3, 3), 64>>> planes=7 spatial=904 a[7] x[7*spatial] out[7*spatial]
extern "C" __global__ ANY_BLOCK void channel_add(const index_t planes, const int spatial, const real* __restrict__ a,
                                                 const real* __restrict__ x, real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const long long start = plane * spatial;
        const wide number = a[plane];
        TILE_LOOP(s, spatial) out[start + s] = (real)(number + (wide)x[start + s]);
    }
}

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
        __syncthreads();  // outside the if: every thread of the block has to come here
    }
    if (thread == 0) out[blockIdx.x] = (real)partial[0];
}

// check: <<<3, 64>>> planes=7 spatial=904 g[7*spatial] x[7*spatial] out[7]
// check: <<<3, 64>>> planes=7 spatial=651 g[7*spatial] x[7*spatial] out[7]
extern "C" __global__ ANY_BLOCK void channel_dot_shuffle(const index_t planes, const int spatial,
                                                         const real* __restrict__ g, const real* __restrict__ x,
                                                         real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const real *g_plane = g + plane * spatial, *x_plane = x + plane * spatial;
        // A plane that starts off a 16-byte boundary is read number by number.
        const int fours = can_load4(g_plane) && can_load4(x_plane) ? spatial / 4 : 0;
        wide sum = 0;
        BLOCK_LOOP(i, fours) {
            const four gs = load4(g_plane + 4 * i), xs = load4(x_plane + 4 * i);
            for (int k = 0; k < 4; k++) sum += (wide)gs.item[k] * (wide)xs.item[k];
        }
        BLOCK_LOOP(i, spatial - 4 * fours) sum += (wide)g_plane[4 * fours + i] * (wide)x_plane[4 * fours + i];
        sum = block_sum(sum);
        if (threadIdx.x == 0) out[plane] = (real)sum;
    }
}

// out[p] = Σ_s x[p,s] / spatial: the global average pool, whose reduction is step 3's.
// check: <<<3, 64>>> planes=7 spatial=904 x[7*spatial] out[7]
extern "C" __global__ ANY_BLOCK void plane_mean(const index_t planes, const int spatial, const real* __restrict__ x,
                                                real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        wide sum = 0;
        BLOCK_LOOP(s, spatial) sum += (wide)x[plane * spatial + s];
        sum = block_sum(sum);
        if (threadIdx.x == 0) out[plane] = (real)(sum / spatial);
    }
}
