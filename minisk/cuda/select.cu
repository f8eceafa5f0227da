// select.cu: the select step of a selective kernel: a softmax over branches and their weighted sum, in one pass.
//
//   a[n,m,c] = e^(z[n,m,c]) / Σ_k e^(z[n,k,c])          out[n,c,s] = Σ_m a[n,m,c] · x_m[n,c,s]
//   dx_m = a_m · dout       da[n,m,c] = Σ_s dout[n,c,s] · x_m[n,c,s] + dweights[n,m,c]
//   dz_m = a_m · (da_m - Σ_k a_k · da_k)
//
//   z (logits), a (weights), dweights: (N, M, C)   x_m, out: (planes, spatial)   planes = N·C, spatial = H·W
//   Source: Li et al., Selective Kernel Networks, CVPR 2019, section 3.1.
//
// A plane has M weights, which every thread computes for itself. Forward: grid (planes, tiles) as in axpy.cu.
// Backward: one block per plane, since its sums need the whole plane. It reads dout's plane once per branch; after the
// first branch the plane is in the cache. A block takes several small planes in turn.
// The number of branches is a constant, so that loops over branches unroll. Each branch is an array of its own, which
// saves copying them into one; unused pointers come last. Further cases: cases/select.txt.
#include "common.cuh"
#include "exponential.cuh"

#ifndef BRANCHES
#define BRANCHES 2  // 1 to 4
#endif

// check: <<<(3, 2), 64>>> planes=8 channels=4 spatial=90 logits[16] x0[720] x1[720] x2[1] x3[1] weights[16] out[720]
extern "C" __global__ ANY_BLOCK void select_forward(
    const index_t planes, const int channels, const int spatial, const real* __restrict__ logits,
    const real* __restrict__ x0, const real* __restrict__ x1, const real* __restrict__ x2, const real* __restrict__ x3,
    real* __restrict__ weights, real* __restrict__ out) {
    const real* x[4] = {x0, x1, x2, x3};
    PLANE_LOOP(plane, planes) {
        const long long first = plane / channels * BRANCHES * channels + plane % channels, start = plane * spatial;
        wide a[BRANCHES], top = (wide)logits[first], sum = 0;
        for (int m = 1; m < BRANCHES; m++) {
            const wide logit = (wide)logits[first + m * channels];
            top = logit > top ? logit : top;
        }
        for (int m = 0; m < BRANCHES; m++) sum += a[m] = exponential((wide)logits[first + m * channels] - top);
        for (int m = 0; m < BRANCHES; m++) a[m] /= sum;
        if (blockIdx.y == 0 && threadIdx.x == 0)
            for (int m = 0; m < BRANCHES; m++) weights[first + m * channels] = (real)a[m];
        TILE_LOOP(s, spatial) {
            wide mixed = a[0] * (wide)x[0][start + s];
            for (int m = 1; m < BRANCHES; m++) mixed += a[m] * (wide)x[m][start + s];
            out[start + s] = (real)mixed;
        }
    }
}

extern "C" __global__ ANY_BLOCK void select_backward(
    const index_t planes, const int channels, const int spatial, const real* __restrict__ dout,
    const real* __restrict__ dweights, const real* __restrict__ weights, const real* __restrict__ x0,
    const real* __restrict__ x1, const real* __restrict__ x2, const real* __restrict__ x3, real* __restrict__ dlogits,
    real* __restrict__ dx0, real* __restrict__ dx1, real* __restrict__ dx2, real* __restrict__ dx3) {
    const real* x[4] = {x0, x1, x2, x3};
    real* dx[4] = {dx0, dx1, dx2, dx3};
    PLANE_LOOP(plane, planes) {
        const long long first = plane / channels * BRANCHES * channels + plane % channels, start = plane * spatial;
        wide da[BRANCHES], mean = 0;
        for (int m = 0; m < BRANCHES; m++) {
            const wide a = (wide)weights[first + m * channels];
            const real *__restrict__ x_plane = x[m] + start, *__restrict__ dout_plane = dout + start;
            real* __restrict__ dx_plane = dx[m] + start;
            const wide dot = sum_over_block(spatial, [&](const int s) {
                const wide g = (wide)dout_plane[s];
                dx_plane[s] = (real)(a * g);
                return g * (wide)x_plane[s];
            });
            da[m] = dot + (wide)dweights[first + m * channels];
            mean += a * da[m];
        }
        if (threadIdx.x == 0)
            for (int m = 0; m < BRANCHES; m++)
                dlogits[first + m * channels] = (real)((wide)weights[first + m * channels] * (da[m] - mean));
    }
}
