// weight_gradient.cu: the gradient of a grouped convolution's weight, of few outputs in a group.
//
//   dw[o,c,p,q] = Σ_n,i,j  dout[n,o,i,j] · x[n, c, i·stride + p·dilation - padding, …]
//
// A *pair* is an input channel and a tap: (c, p, q). A tile is TILE_OUT outputs × TILE_TAPS pairs, and lanes are
// pixels: each thread of a team takes every LANES-th pixel, and at the end the team adds its threads' sums.
//
// weight_gradient_outputs.cu is faster for groups of many outputs, convolution.cuh says how a block stages x.
// Cases for `minisk check`: cases/weight_gradient.txt.
#include "common.cuh"

#ifndef TILE_OUT
#define TILE_OUT 8
#endif

#include "convolution.cuh"

// The axis of an array that is staged as it is: staging does not use the fields left at 0.
__device__ __forceinline__ Axis as_it_is(const int size) {
    Axis axis{};
    axis.size = size;
    axis.out_step = axis.parts = 1;
    return axis;
}

// Sums dout · x over the staged rows, for TILE_OUT outputs and TILE_TAPS (input, tap) pairs, and adds the sums to
// `target`. A team is a whole warp, because warp_reduce adds its threads' sums.
__device__ __forceinline__ void add_to_weights(const Plan& plan, const Tap* found, const int output, const int input,
                                               const int first_row, const real* staged, const real* gradient,
                                               const bool is_first, wide* target) {
    const int taps = plan.rows.taps * plan.columns.taps, inputs = plan.inputs * taps;
    int from = plan.band, to = 0;  // rows in which these taps see the image
    const real *s[TILE_TAPS], *g[TILE_OUT];
    for (int t = 0; t < TILE_TAPS; t++) {
        const int pair = min(input + t, inputs - 1);
        const Tap& tap = found[pair % taps];
        s[t] = staged + pair / taps * plan.channel_size + tap.distance + own();
        from = max(0, min(from, tap.from_row - first_row));
        to = min(plan.band, max(to, tap.to_row - first_row));
    }
    for (int o = 0; o < TILE_OUT; o++)
        g[o] = gradient + min(output + o, plan.outputs - 1) * plan.gradient_size + own();
    lanes sum[TILE_OUT][TILE_TAPS] = {};
    for (int row = from; row < to; row++) {
        for (int p = row * plan.pitch; p < row * plan.pitch + plan.columns.out * plan.images; p += STEP) {
            lanes seen[TILE_TAPS];
            for (int t = 0; t < TILE_TAPS; t++) seen[t] = load(s[t] + p);
            for (int o = 0; o < TILE_OUT; o++) {
                const lanes slope = load(g[o] + p);
                for (int t = 0; t < TILE_TAPS; t++) sum[o][t] += slope * seen[t];
            }
        }
    }
    for (int o = 0; o < TILE_OUT; o++) {
        for (int t = 0; t < TILE_TAPS; t++) {
            const wide total = team_sum(sum[o][t]);
            if (lane() > 0 || output + o >= plan.outputs || input + t >= inputs) continue;
            wide& weight = target[(long long)(output + o) * inputs + input + t];
            weight = is_first ? total : weight + total;
        }
    }
}

// Weight gradient of few outputs: partial[slice, o, c, tap], the sum over each slice of the batch. The caller adds the
// slices in order. Grid (groups, slices, shares); a share is `share` of the group's outputs. Only one block writes each
// weight, and a team always returns to the same tiles.
extern "C" __global__ ANY_BLOCK void correlate(const int* __restrict__ table, const int sets, const int share,
                                               const real* __restrict__ x, const real* __restrict__ dout,
                                               wide* __restrict__ partial) {
    DYNAMIC_SHARED(real, staged);
    __shared__ Tap found[MOST_TAPS];
    Plan plan = *reinterpret_cast<const Plan*>(table);
    const Axis &rows = plan.rows, &columns = plan.columns;
    const Axis own_rows = as_it_is(rows.out), own_columns = as_it_is(columns.out);  // of dout
    const int group = blockIdx.x, first_output = blockIdx.z * share, inputs = plan.inputs * rows.taps * columns.taps;
    const long long x_group = plan.inputs * plan.in_plane(), dout_group = plan.outputs * plan.out_plane();
    real* gradient = staged + plan.inputs * plan.channel_size;
    wide* target = partial + (((long long)blockIdx.y * plan.groups + group) * plan.outputs + first_output) * inputs;
    dout += first_output * plan.out_plane();
    plan.outputs = min(share, plan.outputs - first_output);
    const int in_tiles = ceil_div(inputs, TILE_TAPS), out_tiles = ceil_div(plan.outputs, TILE_OUT);
    find_taps(plan, 0, 0, found);
    for_each_band(plan, sets, [&](const long long slot, const int row, const bool is_first) {
        stage_x(plan, x + slot * x_group, row, staged);
        stage_planes(plan, dout + slot * dout_group, plan.groups * dout_group, plan.outputs, own_rows, own_columns, row,
                     plan.band, plan.pitch, plan.gradient_size, gradient);
        __syncthreads();
        for (int tile = team(); tile < in_tiles * out_tiles; tile += teams())
            add_to_weights(plan, found, tile / in_tiles * TILE_OUT, tile % in_tiles * TILE_TAPS, row, staged, gradient,
                           is_first, target);
    });
}
