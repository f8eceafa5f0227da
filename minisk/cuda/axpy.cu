// axpy.cu: out = a·x + y with one scale per plane (image, channel), and its gradients.
//
//   out[p,s] = a[p] · x[p,s] + y[p,s]        da[p] = Σ_s dout[p,s] · x[p,s]        dx[p,s] = a[p] · dout[p,s]
//
//   a: (planes)   x, y, out: (planes, spatial)   planes = N·C, spatial = H·W
//   Source: the Axpy layer of the SENet and SKNet Caffe forks.
//
// Elementwise kernels: grid (planes, tiles). A block works on one plane at a time, so no thread divides to find its
// scale. Neighbouring threads read neighbouring addresses, so each 32-byte sector is moved once. A block takes several
// small planes in turn.
//
// The scale's gradient uses one block per plane. steps/sum.cu derives it in three versions, from naive to fast; the
// third, channel_dot_shuffle, is the one in use. Each request reads four elements. The sums of a warp's threads meet in
// registers, without a barrier; the sums of the warps then meet in shared memory (block_sum in common.cuh).
//
// A line `check:` gives sizes with which `minisk check` runs a kernel: several tiles or rounds, and a tail. Further
// cases are in cases/axpy.txt.
#include "common.cuh"

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

// check: <<<3, 64>>> planes=7 spatial=904 g[7*spatial] x[7*spatial] out[7]
extern "C" __global__ ANY_BLOCK void channel_dot_shuffle(const index_t planes, const int spatial,
                                                         const real* __restrict__ g, const real* __restrict__ x,
                                                         real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const real *g_plane = g + plane * spatial, *x_plane = x + plane * spatial;
        // Planes that are not aligned to 16 bytes are read one element at a time.
        const int fours = can_load4(g_plane) && can_load4(x_plane) ? spatial / 4 : 0;
        const double of_fours = thread_sum(fours, [&](const int i) {
            const four gs = load4(g_plane + 4 * i), xs = load4(x_plane + 4 * i);
            wide products = 0;
            for (int k = 0; k < 4; k++) products += (wide)gs.item[k] * (wide)xs.item[k];
            return products;
        });
        const double of_ones = thread_sum(spatial - 4 * fours, [&](const int i) {
            return (wide)g_plane[4 * fours + i] * (wide)x_plane[4 * fours + i];
        });
        const wide sum = block_sum((wide)(of_fours + of_ones));
        if (threadIdx.x == 0) out[plane] = (real)sum;
    }
}

// out[p] = Σ_s x[p,s] / spatial: the global average pool. It reduces as channel_dot_shuffle does.
// check: <<<3, 64>>> planes=7 spatial=904 x[7*spatial] out[7]
extern "C" __global__ ANY_BLOCK void plane_mean(const index_t planes, const int spatial, const real* __restrict__ x,
                                                real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const real* x_plane = x + plane * spatial;
        const wide sum = sum_over_block(spatial, [&](const int s) { return (wide)x_plane[s]; });
        if (threadIdx.x == 0) out[plane] = (real)(sum / spatial);
    }
}
