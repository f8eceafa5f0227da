// weight_gradient.cu: the gradient of a grouped convolution's weight, in two ways.
//
//   dw[o,c,p,q] = Σ_n,i,j  dout[n,o,i,j] · x[n, c, i·stride + p·dilation - padding, …]
//
// A *pair* is an input channel and a tap: (c, p, q). So dw is a product of two matrices, [pair, pixel] · [pixel, output].
//
// Many outputs in a group: correlate_outputs. A tile is OUT_TAPS pairs × OUT_VECTORS vectors of outputs. For each pixel
// it reads one number per pair, as x lies, and the outputs from a copy of dout in which outputs are neighbours. Each lane
// has a sum of its own, so any number of pixels will do, and no pixel is wasted at the end of a row.
//
//                     outputs →  g0..g7      g8..g15
//          pairs      s0         s0·g0..     s0·g8..       one pixel adds this table to the thread's sums
//             ↓       s1         s1·g0..     s1·g8..
//
// Few outputs in a group: correlate. Lanes are pixels instead: a tile is TILE_OUT outputs × TILE_TAPS pairs, each thread
// of a team takes every LANES-th pixel, and at the end the team adds its threads' sums.
//
// convolution.cuh says how a block stages x. Cases for `minisk check`: cases/weight_gradient.txt.
#include "common.cuh"

#ifndef TILE_OUT
#define TILE_OUT 8
#endif
#ifndef OUT_VECTORS
#define OUT_VECTORS 1
#endif

#include "convolution.cuh"

#define OUT_SPAN (STEP * OUT_VECTORS)
#define OUT_TAPS (OUT_SUMS / OUT_VECTORS > 12 ? 12 : OUT_SUMS / OUT_VECTORS)  // more pointers than registers slow a CPU
#define OUTPUTS_AT_ONCE 8

// Calls work(slot, row, is_first) for each band of rows of this block's slice of the batch. slot: the group's place in x
// and dout, in groups of an image.
template <class Work>
__device__ __forceinline__ void for_each_band(const Plan& plan, const int sets, const Work work) {
    const int end = (int)((long long)sets * (blockIdx.y + 1) / gridDim.y);
    bool is_first = true;
    for (int set = (int)((long long)sets * blockIdx.y / gridDim.y); set < end; set++) {
        for (int row = 0; row < plan.rows.out; row += plan.band, is_first = false) {
            __syncthreads();  // all threads have read the last rows
            work((long long)set * IMAGES * plan.groups + blockIdx.x, row, is_first);
        }
    }
}

// Stages a band of dout with neighbouring outputs side by side: staged[tile, row, position, OUT_SPAN]. Lanes beyond the
// last output repeat it. image: elements from one image to the next.
__device__ __forceinline__ void stage_outputs(const Plan& plan, const int first_row, const real* dout,
                                              const long long image, real* __restrict__ staged) {
    const int vectors = ceil_div(plan.outputs, OUT_SPAN) * OUT_VECTORS, width = plan.columns.out;
    for (int line = team(); line < vectors * plan.band; line += teams()) {
        const int row = first_row + line % plan.band, vector = line / plan.band;
        if (row >= plan.rows.out) continue;
        const real* source[VECTOR];
        for (int k = 0; k < VECTOR; k++) {
            const int output = min(vector * STEP + own() + k, plan.outputs - 1);
            source[k] = dout + output * plan.out_plane() + (long long)row * width;
        }
        const long long place = (long long)(vector / OUT_VECTORS) * plan.band + line % plan.band;
        real* target = staged + place * width * IMAGES * OUT_SPAN + vector % OUT_VECTORS * STEP + own();
        const int end = row < plan.rows.out - 1 ? width : width - plan.missing;
        for (int p = 0; p < end * IMAGES; p++, target += OUT_SPAN) {  // one loop for both: compilers need half the time
            const long long pixel = p % IMAGES * image + p / IMAGES;
            for (int k = 0; k < VECTOR; k++) target[k] = source[k][pixel];
        }
    }
}

// Adds the products of a band to the sums of OUT_TAPS pairs and `left` outputs, of no more vectors than these fill.
// x: the band's rows, staged or where they lie; gradient: the tile's staged outputs; target: its place in `partial`, whose rows
// have `padded` outputs.
template <int VECTORS>
__device__ __forceinline__ void add_to_outputs(const Plan& plan, const Tap* found, const int pair, const int left,
                                               const int first_row, const real* x, const real* gradient,
                                               const bool is_first, const int padded, wide* target) {
    if constexpr (VECTORS > 1) {
        if (left <= (VECTORS - 1) * STEP)
            return add_to_outputs<VECTORS - 1>(plan, found, pair, left, first_row, x, gradient, is_first, padded, target);
    }
    const int taps = plan.rows.taps * plan.columns.taps, pairs = plan.inputs * taps, width = plan.columns.out;
    int from = plan.band, to = 0;  // rows in which these taps see the image
    const real *s[OUT_TAPS], *channel = x + (long long)(pair / taps) * plan.channel_size;
    int next = pair % taps;
    for (int t = 0; t < OUT_TAPS; t++) {  // counting costs less than dividing for each; pairs beyond the last repeat it
        const Tap& tap = found[next];
        s[t] = channel + tap.distance;
        from = max(0, min(from, tap.from_row - first_row));
        to = max(to, tap.to_row - first_row);
        if (pair + t + 1 < pairs && ++next == taps) {
            next = 0;
            channel += plan.channel_size;
        }
    }
    to = min(to, min(plan.band, plan.rows.out - first_row));
    lanes sum[OUT_TAPS][VECTORS] = {};
    for (int row = from; row < to; row++) {
        const int end = (first_row + row < plan.rows.out - 1 ? width : width - plan.missing) * IMAGES;
        const real* g = gradient + row * width * IMAGES * OUT_SPAN + own();
        for (int p = row * plan.pitch; p < row * plan.pitch + end; p++, g += OUT_SPAN) {
            lanes slope[VECTORS];
            for (int v = 0; v < VECTORS; v++) slope[v] = load(g + v * STEP);
            for (int t = 0; t < OUT_TAPS; t++)
                for (int v = 0; v < VECTORS; v++) sum[t][v] += (wide)s[t][p] * slope[v];
        }
    }
    for (int t = 0; t < OUT_TAPS && pair + t < pairs; t++)
        for (int v = 0; v < VECTORS; v++)
            add_to(target + (long long)(pair + t) * padded + v * STEP + own(), sum[t][v], is_first);
}

// Weight gradient of many outputs: partial[slice, group, pair, output], the sum over each slice of the batch; outputs
// are filled up to whole vectors. Grid (groups, slices, shares), as for correlate. If plan.row_step is 0, x is read where
// it lies: then no tap reads padding, and a row is a piece of the plane.
extern "C" __global__ ANY_BLOCK void correlate_outputs(const int* __restrict__ table, const int sets, const int share,
                                                       const real* __restrict__ x, const real* __restrict__ dout,
                                                       wide* __restrict__ partial) {
    __shared__ Tap found[MOST_TAPS];
    DYNAMIC_SHARED(real, staged);
    Plan plan = *reinterpret_cast<const Plan*>(table);
    const int first_output = blockIdx.z * share, pairs = plan.inputs * plan.rows.taps * plan.columns.taps;
    const int padded = ceil_div(plan.outputs, STEP) * STEP;
    const long long x_group = plan.inputs * plan.in_plane(), dout_group = plan.outputs * plan.out_plane();
    const bool is_in_place = plan.row_step == 0;
    real* gradient = is_in_place ? staged : staged + plan.inputs * plan.channel_size;
    wide* target = partial + ((long long)blockIdx.y * plan.groups + blockIdx.x) * pairs * padded + first_output;
    dout += first_output * plan.out_plane();
    plan.outputs = min(share, plan.outputs - first_output);
    const int in_tiles = ceil_div(pairs, OUT_TAPS), out_tiles = ceil_div(plan.outputs, OUT_SPAN);
    find_taps(plan, 0, 0, found);
    for_each_band(plan, sets, [&](const long long slot, const int row, const bool is_first) {
        const real* seen = is_in_place ? x + slot * x_group + row * plan.pitch : staged;
        if (!is_in_place)
            stage(x + slot * x_group, plan.groups * x_group, plan.inputs, plan.rows, plan.columns, plan.missing, row,
                  plan.staged_rows, plan.pitch, plan.row_step, plan.channel_size, staged);
        stage_outputs(plan, row, dout + slot * dout_group, plan.groups * dout_group, gradient);
        __syncthreads();
        for (int tile = team(); tile < in_tiles * out_tiles; tile += teams()) {  // the outputs stay in a cache
            const int first = tile / in_tiles * OUT_SPAN, pair = tile % in_tiles * OUT_TAPS;
            const real* slopes = gradient + (long long)first * plan.band * plan.columns.out * IMAGES;
            add_to_outputs<OUT_VECTORS>(plan, found, pair, plan.outputs - first, row, seen, slopes, is_first, padded,
                                        target + first);
        }
    });
}

// dw[group, output, pair] = Σ over slices of what correlate_outputs wrote. A block takes up to OUTPUTS_AT_ONCE outputs of
// a group, so that it reads neighbours and writes rows.
// check: <<<16, 32>>> slices=3 groups=2 pairs=35 outputs=57 padded=64 partial[13440] dw[3990]
extern "C" __global__ ANY_BLOCK void add_slices(const int slices, const int groups, const int pairs, const int outputs,
                                                const int padded, const wide* __restrict__ partial,
                                                real* __restrict__ dw) {
    const int tiles = ceil_div(outputs, OUTPUTS_AT_ONCE), group = blockIdx.x / tiles;
    const int first = blockIdx.x % tiles * OUTPUTS_AT_ONCE, count = min(OUTPUTS_AT_ONCE, outputs - first);
    BLOCK_LOOP(pair, pairs) {
        wide sum[OUTPUTS_AT_ONCE] = {};
        for (int s = 0; s < slices; s++) {
            const wide* source = partial + (((long long)s * groups + group) * pairs + pair) * padded + first;
            for (int o = 0; o < count; o++) sum[o] += source[o];
        }
        for (int o = 0; o < count; o++) dw[((long long)group * outputs + first + o) * pairs + pair] = (real)sum[o];
    }
}

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
        for (int p = row * plan.pitch; p < row * plan.pitch + plan.columns.out * IMAGES; p += STEP) {
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

// Weight gradient of few outputs: partial[slice, o, c, tap], the sum over each slice of the batch. The caller adds the slices in
// order. Grid (groups, slices, shares); a share is `share` of the group's outputs. Only one block writes each weight, and
// a team always returns to the same tiles.
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
        stage(x + slot * x_group, plan.groups * x_group, plan.inputs, rows, columns, plan.missing, row, plan.staged_rows,
              plan.pitch, plan.row_step, plan.channel_size, staged);
        stage(dout + slot * dout_group, plan.groups * dout_group, plan.outputs, own_rows, own_columns, plan.missing, row,
              plan.band, plan.pitch, plan.pitch, plan.gradient_size, gradient);
        __syncthreads();
        for (int tile = team(); tile < in_tiles * out_tiles; tile += teams())
            add_to_weights(plan, found, tile / in_tiles * TILE_OUT, tile % in_tiles * TILE_TAPS, row, staged, gradient,
                           is_first, target);
    });
}
