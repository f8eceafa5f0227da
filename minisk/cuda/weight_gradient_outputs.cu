// weight_gradient_outputs.cu: the gradient of a grouped convolution's weight, of many outputs in a group.
//
//   dw[o,c,p,q] = Σ_n,i,j  dout[n,o,i,j] · x[n, c, i·stride + p·dilation - padding, …]
//
// A *pair* is an input channel and a tap: (c, p, q). So dw is a product of two matrices, [pair, pixel] · [pixel,
// output]. A tile is some pairs × plan.vectors vectors of outputs. For each pixel it reads one number per pair, as x
// lies, and the outputs from a copy of dout in which outputs are neighbours. Each lane has a sum of its own, so any
// number of pixels will do, and no pixel is wasted at the end of a row.
//
//                     outputs →  g0..g7      g8..g15
//          pairs      s0         s0·g0..     s0·g8..       one pixel adds this table to the thread's sums
//             ↓       s1         s1·g0..     s1·g8..
//
// weight_gradient.cu takes groups of few outputs, convolution.cuh says how a block stages x.
// Cases for `minisk check`: cases/weight_gradient_outputs.txt.
#include "common.cuh"

#include "convolution.cuh"

#define OUTPUTS_AT_ONCE 8

// Pairs of a tile of so many vectors of outputs. More pointers than registers would slow a CPU.
__device__ constexpr int taps_of(const int vectors) { return OUT_SUMS / vectors > 12 ? 12 : OUT_SUMS / vectors; }

// Stages a band of dout with neighbouring outputs side by side: staged[tile, row, position, output]. Lanes beyond the
// last output repeat it. image: elements from one image to the next.
__device__ __forceinline__ void stage_outputs(const Plan& plan, const int first_row, const real* dout,
                                              const long long image, real* __restrict__ staged) {
    const int span = plan.vectors * STEP, vectors = ceil_div(plan.outputs, span) * plan.vectors;
    const int width = plan.columns.out;
    for (int line = team(); line < vectors * plan.band; line += teams()) {
        const int row = first_row + line % plan.band, vector = line / plan.band;
        if (row >= plan.rows.out) continue;
        const real* source[VECTOR];
        for (int k = 0; k < VECTOR; k++) {
            const int output = min(vector * STEP + own() + k, plan.outputs - 1);
            source[k] = dout + output * plan.out_plane() + (long long)row * width;
        }
        const long long place = (long long)(vector / plan.vectors) * plan.band + line % plan.band;
        real* target = staged + place * width * plan.images * span + vector % plan.vectors * STEP + own();
        const int end = row < plan.rows.out - 1 ? width : width - plan.missing;
        for (int column = 0; column < end; column++)
            for (int i = 0; i < plan.images; i++, target += span)
                for (int k = 0; k < VECTOR; k++) target[k] = source[k][i * image + column];
    }
}

// Adds the products of a band to the sums of a tile: taps_of(TILE) pairs and `left` outputs, of no more vectors than
// these fill. TILE: vectors of a whole tile. x: the band's rows, staged or where they lie; gradient: the tile's staged
// outputs; target: its place in `partial`, whose rows have `padded` outputs.
template <int TILE, int VECTORS>
__device__ __forceinline__ void add_to_outputs(const Plan& plan, const Tap* found, const int pair, const int left,
                                               const int first_row, const real* x, const real* gradient,
                                               const bool is_first, const int padded, wide* target) {
    if constexpr (VECTORS > 1) {
        if (left <= (VECTORS - 1) * STEP)
            return add_to_outputs<TILE, VECTORS - 1>(plan, found, pair, left, first_row, x, gradient, is_first, padded,
                                                     target);
    }
    constexpr int most = taps_of(TILE);
    const int taps = plan.rows.taps * plan.columns.taps, pairs = plan.inputs * taps, width = plan.columns.out;
    int from = plan.band, to = 0;  // rows in which these taps see the image
    const real *s[most], *channel = x + (long long)(pair / taps) * plan.channel_size;
    int next = pair % taps;
    for (int t = 0; t < most; t++) {  // counting costs less than dividing for each; pairs beyond the last repeat it
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
    lanes sum[most][VECTORS] = {};
    for (int row = from; row < to; row++) {
        const int end = (first_row + row < plan.rows.out - 1 ? width : width - plan.missing) * plan.images;
        const real* g = gradient + row * width * plan.images * STEP * TILE + own();
        for (int p = row * plan.pitch; p < row * plan.pitch + end; p++, g += STEP * TILE) {
            lanes slope[VECTORS];
            for (int v = 0; v < VECTORS; v++) slope[v] = load(g + v * STEP);
            for (int t = 0; t < most; t++)
                for (int v = 0; v < VECTORS; v++) sum[t][v] += (wide)s[t][p] * slope[v];
        }
    }
    for (int t = 0; t < most && pair + t < pairs; t++)
        for (int v = 0; v < VECTORS; v++)
            add_to(target + (long long)(pair + t) * padded + v * STEP + own(), sum[t][v], is_first);
}

// Adds the products of a band to the sums of all tiles, whose vectors are plan.vectors: TILE at most.
template <int TILE>
__device__ __forceinline__ void add_band(const Plan& plan, const Tap* found, const int row, const real* x,
                                         const real* gradient, const bool is_first, const int padded, wide* target) {
    if constexpr (TILE > 1) {
        if (plan.vectors < TILE)
            return add_band<TILE - 1>(plan, found, row, x, gradient, is_first, padded, target);
    }
    constexpr int span = STEP * TILE, most = taps_of(TILE);
    const int in_tiles = ceil_div(plan.inputs * plan.rows.taps * plan.columns.taps, most);
    for (int tile = team(); tile < in_tiles * ceil_div(plan.outputs, span); tile += teams()) {
        const int first = tile / in_tiles * span, pair = tile % in_tiles * most;  // the outputs stay in a cache
        const real* slopes = gradient + (long long)first * plan.band * plan.columns.out * plan.images;
        add_to_outputs<TILE, TILE>(plan, found, pair, plan.outputs - first, row, x, slopes, is_first, padded,
                                   target + first);
    }
}

// Weight gradient of many outputs: partial[slice, group, pair, output], the sum over each slice of the batch; outputs
// are filled up to whole vectors. Grid (groups, slices, shares), as for correlate. If plan.row_step is 0, x is read
// where it lies: then no tap reads padding, and a row is a piece of the plane.
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
    plan.vectors = min(plan.vectors, OUT_VECTORS);
    find_taps(plan, 0, 0, found);
    for_each_band(plan, sets, [&](const long long slot, const int row, const bool is_first) {
        const real* seen = is_in_place ? x + slot * x_group + row * plan.pitch : staged;
        if (!is_in_place) stage_x(plan, x + slot * x_group, row, staged);
        stage_outputs(plan, row, dout + slot * dout_group, plan.groups * dout_group, gradient);
        __syncthreads();
        add_band<OUT_VECTORS>(plan, found, row, seen, gradient, is_first, padded, target);
    });
}

// dw[group, output, pair] = Σ over slices of what correlate_outputs wrote. A block takes up to OUTPUTS_AT_ONCE outputs
// of a group, so that it reads neighbours and writes rows.
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
