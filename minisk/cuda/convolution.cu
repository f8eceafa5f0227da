// convolution.cu: grouped convolution without columns: forward, input gradient, weight gradient.
//
//   forward          out[n,o,i,j] = Σ_c,p,q  w[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + …]
//   input gradient   dx = the adjoint: each output's gradient, spread over the inputs that it saw
//   weight gradient  dw[o,c,p,q] = Σ_n,i,j  dout[n,o,i,j] · x[n, c, i·stride + p·dilation - padding, …]
//
//   x: (N, C, H, W)   w: (O, C / groups, kh, kw)   out: (N, O, Ho, Wo)   a group's outputs see only the group's inputs
//   Source of the register tile: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.
//
// The register tile. A product needs two numbers from memory, and memory delivers fewer than the processor multiplies.
// So a thread computes TILE_OUT output channels × TILE_VECTORS pixels at once. For each tap and input channel it reads
// pixels and weights once (4 + 8 numbers, say) and multiplies each pixel by each weight (32 products). The sums stay in
// registers from the first product to the last.
//
//                     pixels →   s0     s1     s2     s3
//          weights    w0       w0·s0  w0·s1  w0·s2  w0·s3      one tap of one input channel adds
//             ↓       w1       w1·s0  w1·s1  …                 this table to the thread's sums
//
// LANES neighbouring threads form a team, which takes neighbouring pixels, so that their reads are one request.
// lanes.cuh defines the tile; on a CPU a team is one thread, and each of its numbers is a vector register.
//
// The weight gradient has a tile of TILE_OUT outputs × TILE_TAPS taps, and sums over pixels. Each thread of a team
// takes every LANES-th pixel; at the end the team adds its threads' sums.
//
// Staging. A block first copies the rows that it reads into shared memory (on a CPU: into the second-level cache), with
// zeros for the padding, so that the loop over products has no conditions:
//   - pixels a stride apart in the image become neighbours: there is one *part* for each remainder by the stride, up to
//     the largest that a tap reads (a 1×1 kernel reads one part only);
//   - IMAGES images are interleaved pixel by pixel, so that the rows of small planes fill a tile too;
//   - rows of a channel follow each other, but in a 1×1 kernel's forward the channels of a row do (row_step is then the
//     larger distance): what a tile reads lies in one piece, which stays in a CPU's first-level cache.
// A *position* is a place in a staged row: column · IMAGES + image. So each tap is one distance, the same for all.
//
// Cases for `minisk check`: cases/convolution.txt.
#include "common.cuh"

#ifndef TILE_OUT
#define TILE_OUT 8
#endif
#ifndef IMAGES
#define IMAGES 1
#endif
#ifndef CHUNK_BYTES
#define CHUNK_BYTES (256 << 10)  // of inputs, a quarter of a CPU's second-level cache
#endif
#define MOST_TAPS 64  // kh · kw

#include "lanes.cuh"

// Rows or columns. Output pixel o sees input pixel (o·out_step + tap·tap_step + shift) / in_step if that is a whole
// number. Forward: out_step = stride, in_step = 1; input gradient: out_step = 1, in_step = stride. first: the first
// staged pixel; parts: how many parts are staged.
struct Axis {
    int size, out, taps, out_step, in_step, tap_step, shift, first, parts;
};

// The axis of an array that is staged as it is: staging does not use the fields left at 0.
__device__ __forceinline__ Axis as_it_is(const int size) {
    Axis axis{};
    axis.size = size;
    axis.out_step = axis.parts = 1;
    return axis;
}

// Computed by Layout.plan in convolution_layout.py, which declares the same fields.
struct Plan {
    Axis rows, columns;
    int groups, inputs, outputs;             // channels of a group
    int band;                                // rows of a part of the output that a block takes
    int staged_rows, pitch;                  // rows of a part, and positions of a row, in shared memory
    int row_step;                            // staged elements from a row to the next
    int channel_size, gradient_size;         // staged elements of a channel, of x and of dout
    int missing;                             // pixels that the last row of a 1×1 kernel's plane lacks
    __device__ long long in_plane() const { return (long long)rows.size * columns.size - missing; }
    __device__ long long out_plane() const { return (long long)rows.out * columns.out - missing; }
};

// Where a tap reads: `distance` staged elements beyond the output's own place. In these rows and columns of outputs the
// tap sees the image, elsewhere padding.
struct Tap {
    int distance, from_row, to_row, from_column, to_column;
};

// Computes the taps of the outputs whose row and column have these remainders by in_step.
__device__ __forceinline__ void find_taps(const Plan& plan, const int row, const int column, Tap* found) {
    const Axis &y = plan.rows, &x = plan.columns;
    BLOCK_LOOP(tap, y.taps * x.taps) {
        const int down = row * y.out_step + tap / x.taps * y.tap_step + y.shift;
        const int right = column * x.out_step + tap % x.taps * x.tap_step + x.shift;
        const bool falls_between = down % y.in_step || right % x.in_step;
        const int top = down / y.in_step, left = right / x.in_step, r = top - y.first, c = left - x.first;
        const int part = r % y.out_step * x.parts + c % x.out_step;
        Tap& t = found[tap];
        t.distance = (part * plan.staged_rows + r / y.out_step) * plan.row_step + c / x.out_step * IMAGES;
        t.from_row = ceil_div(-top, y.out_step);
        t.to_row = falls_between ? t.from_row : ceil_div(y.size - top, y.out_step);
        t.from_column = ceil_div(-left, x.out_step);
        t.to_column = ceil_div(x.size - left, x.out_step);
    }
}

// Copies a row of IMAGES images, every step-th pixel from `from` to `to`, with zeros before and after.
__device__ __forceinline__ void stage_row(const real* __restrict__ row, const long long image, const int step,
                                          const int from, const int to, const int columns, real* __restrict__ staged) {
    for (int c = lane(); c < from; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = 0;
    for (int c = from + lane(); c < to; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = row[i * image + c * step];
    for (int c = to + lane(); c < columns; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = 0;
}

// Stages what `rows` rows of outputs, from first_row on, read in `channels` planes. image: elements from one image to
// the next; size: elements of a staged channel.
__device__ __forceinline__ void stage(const real* planes, const long long image, const int channels, const Axis& y,
                                      const Axis& x, const int missing, const int first_row, const int rows,
                                      const int pitch, const int row_step, const int size, real* staged) {
    const long long plane = (long long)y.size * x.size - missing;
    for (int part = 0; part < y.parts * x.parts; part++) {
        const int top = y.first + first_row * y.out_step + part / x.parts, left = x.first + part % x.parts;
        const int from = max(0, ceil_div(-left, x.out_step)), columns = pitch / IMAGES;
        const int seen = min(columns, ceil_div(x.size - left, x.out_step));
        // A team takes every teams()-th row of all channels. Subtracting costs less than dividing.
        int channel = 0;
        for (int row = team(); true; row += teams()) {
            for (; row >= rows && channel < channels; row -= rows) channel++;
            if (channel >= channels) break;
            const int in_row = top + row * y.out_step;
            const int end = in_row < y.size - 1 ? seen : seen - missing;
            const int to = in_row < 0 || in_row >= y.size ? from : max(from, end);
            const real* source = planes + channel * plane + (long long)in_row * x.size + left;
            real* target = staged + channel * size + (part * rows + row) * row_step;
            if (x.out_step == 1) stage_row(source, image, 1, from, to, columns, target);  // copies at full speed
            else stage_row(source, image, x.out_step, from, to, columns, target);
        }
    }
}

// Packs the weights in the order in which tiles read them: packed[group, tile, tap, input, TILE_OUT], with zeros beyond
// the last output. One block per tap of a tile. out_step, in_step: distance between the weights of neighbouring outputs
// and of neighbouring inputs.
// check: <<<12, 32>>> outputs=9 inputs=37 taps=3 out_step=111 in_step=3 w[1998] packed[3552]
extern "C" __global__ ANY_BLOCK void pack_weights(const int outputs, const int inputs, const int taps,
                                                  const int out_step, const int in_step, const real* __restrict__ w,
                                                  real* __restrict__ packed) {
    const int tiles = ceil_div(outputs, TILE_OUT);
    const int tap = blockIdx.x % taps, first = blockIdx.x / taps % tiles * TILE_OUT, group = blockIdx.x / taps / tiles;
    const real* source = w + (long long)group * outputs * inputs * taps + tap;
    real* target = packed + (long long)blockIdx.x * inputs * TILE_OUT;
    if (out_step == 1 && first + TILE_OUT <= outputs) {  // outputs are neighbours in memory
        BLOCK_LOOP(c, inputs)
            for (int o = 0; o < TILE_OUT; o++) target[c * TILE_OUT + o] = source[first + o + c * in_step];
        return;
    }
    BLOCK_LOOP(c, inputs) {
        for (int o = 0; o < TILE_OUT; o++)
            target[c * TILE_OUT + o] = first + o < outputs ? source[(first + o) * out_step + c * in_step] : (real)0;
    }
}

// Adds the products of a row of outputs from `position` on, for the first VECTORS vectors of a tile. w: packed weights.
template <int VECTORS>
__device__ __forceinline__ void add_products(const Plan& plan, const Tap* found, const int out_row, const int position,
                                             const real* staged, const real* w, lanes (*sum)[TILE_VECTORS]) {
    const int column = position / IMAGES, next = ceil_div(position + VECTORS * STEP, IMAGES);
    for (int tap = 0; tap < plan.rows.taps * plan.columns.taps; tap++, w += plan.inputs * TILE_OUT) {
        const Tap& t = found[tap];
        if (out_row < t.from_row || out_row >= t.to_row || next <= t.from_column || column >= t.to_column) continue;
        const real* s = staged + t.distance + position + lane() * VECTOR;
        for (int c = 0; c < plan.inputs; c++) {
            lanes seen[VECTORS];
            for (int v = 0; v < VECTORS; v++) seen[v] = load(s + c * plan.channel_size + v * STEP);
            for (int o = 0; o < TILE_OUT; o++)
                for (int v = 0; v < VECTORS; v++) sum[o][v] += (wide)w[c * TILE_OUT + o] * seen[v];
        }
    }
}

// Adds the products of a tile that has `left` positions up to its row's end: of no more vectors than these fill.
template <int VECTORS>
__device__ __forceinline__ void add_tile(const Plan& plan, const Tap* found, const int out_row, const int position,
                                         const int left, const real* staged, const real* w,
                                         lanes (*sum)[TILE_VECTORS]) {
    if constexpr (VECTORS > 1) {
        if (left <= (VECTORS - 1) * STEP)
            return add_tile<VECTORS - 1>(plan, found, out_row, position, left, staged, w, sum);
    }
    add_products<VECTORS>(plan, found, out_row, position, staged, w, sum);
}

// Forward and input gradient. A block takes IMAGES images, one group and one band of rows; bands vary fastest. A team
// takes tile after tile.
extern "C" __global__ ANY_BLOCK void convolve(const int* __restrict__ table, const real* __restrict__ x,
                                              const real* __restrict__ packed, real* __restrict__ out) {
    DYNAMIC_SHARED(real, staged);
    __shared__ Tap found[MOST_TAPS];
    const Plan plan = *reinterpret_cast<const Plan*>(table);
    const Axis &rows = plan.rows, &columns = plan.columns;
    const int bands = ceil_div(ceil_div(rows.out, rows.in_step), plan.band), first_row = blockIdx.x % bands * plan.band;
    const int group = blockIdx.x / bands % plan.groups;
    const long long slot = (long long)(blockIdx.x / bands / plan.groups) * IMAGES * plan.groups + group;
    stage(x + slot * plan.inputs * plan.in_plane(), plan.groups * plan.inputs * plan.in_plane(), plan.inputs, rows,
          columns, plan.missing, first_row, plan.staged_rows, plan.pitch, plan.row_step, plan.channel_size, staged);

    const int out_tiles = ceil_div(plan.outputs, TILE_OUT);
    const long long out_image = plan.groups * plan.outputs * plan.out_plane();
    for (int part = 0; part < rows.in_step * columns.in_step; part++) {
        const int row_part = part / columns.in_step, column_part = part % columns.in_step;
        __syncthreads();  // staging is complete, and all threads have read the last part's taps
        find_taps(plan, row_part, column_part, found);
        __syncthreads();
        const int lines = min(plan.band, ceil_div(rows.out - row_part, rows.in_step) - first_row);
        const int positions = ceil_div(columns.out - column_part, columns.in_step) * IMAGES;
        const int row_tiles = ceil_div(positions, SPAN);
        for (int tile = team(); tile < lines * row_tiles * out_tiles; tile += teams()) {
            // Neighbouring teams take the same pixels for other outputs: their reads of shared memory are one request.
            const int out_tile = tile % out_tiles, row = tile / out_tiles / row_tiles;
            const int position = tile / out_tiles % row_tiles * SPAN;
            const long long weights = (long long)rows.taps * columns.taps * plan.inputs * TILE_OUT;
            const real *seen = staged + row * plan.row_step, *w = packed + (group * out_tiles + out_tile) * weights;
            const int end = positions - (first_row + row < rows.out - 1 ? 0 : plan.missing * IMAGES);
            lanes sum[TILE_OUT][TILE_VECTORS] = {};
            add_tile<TILE_VECTORS>(plan, found, first_row + row, position, end - position, seen, w, sum);
            real* line = out + (slot * plan.outputs + out_tile * TILE_OUT) * plan.out_plane() + column_part;
            line += (long long)((first_row + row) * rows.in_step + row_part) * columns.out;
            for (int o = 0; o < TILE_OUT && out_tile * TILE_OUT + o < plan.outputs; o++)
                write(sum[o], out_image, columns.in_step, position, end, line + o * plan.out_plane());
        }
    }
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
        s[t] = staged + pair / taps * plan.channel_size + tap.distance + lane() * VECTOR;
        from = max(0, min(from, tap.from_row - first_row));
        to = min(plan.band, max(to, tap.to_row - first_row));
    }
    for (int o = 0; o < TILE_OUT; o++)
        g[o] = gradient + min(output + o, plan.outputs - 1) * plan.gradient_size + lane() * VECTOR;
    lanes sum[TILE_OUT][TILE_TAPS] = {};
    for (int row = from; row < to; row++) {
        const int end = plan.columns.out - (first_row + row < plan.rows.out - 1 ? 0 : plan.missing);
        for (int p = row * plan.pitch; p < row * plan.pitch + end * IMAGES; p += STEP) {
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

// Weight gradient: partial[slice, o, c, tap], the sum over each slice of the batch. The caller adds the slices in
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
    const int end = (int)((long long)sets * (blockIdx.y + 1) / gridDim.y);
    const long long x_group = plan.inputs * plan.in_plane(), dout_group = plan.outputs * plan.out_plane();
    real* gradient = staged + plan.inputs * plan.channel_size;
    wide* target = partial + (((long long)blockIdx.y * plan.groups + group) * plan.outputs + first_output) * inputs;
    dout += first_output * plan.out_plane();
    plan.outputs = min(share, plan.outputs - first_output);
    const int in_tiles = ceil_div(inputs, TILE_TAPS), out_tiles = ceil_div(plan.outputs, TILE_OUT);
    const int tiles = in_tiles * out_tiles;
    // All outputs use one chunk of the inputs, which stays in a cache, before any output uses the next.
    const int channels = max(1, CHUNK_BYTES / (plan.channel_size * (int)sizeof(real)));
    const int chunk = max(1, channels * rows.taps * columns.taps / TILE_TAPS);
    bool is_first = true;
    find_taps(plan, 0, 0, found);
    for (int set = (int)((long long)sets * blockIdx.y / gridDim.y); set < end; set++) {
        const long long slot = (long long)set * IMAGES * plan.groups + group;
        for (int row = 0; row < rows.out; row += plan.band, is_first = false) {
            __syncthreads();  // all threads have read the last rows
            stage(x + slot * x_group, plan.groups * x_group, plan.inputs, rows, columns, plan.missing, row,
                  plan.staged_rows, plan.pitch, plan.row_step, plan.channel_size, staged);
            stage(dout + slot * dout_group, plan.groups * dout_group, plan.outputs, own_rows, own_columns, plan.missing,
                  row, plan.band, plan.pitch, plan.pitch, plan.gradient_size, gradient);
            __syncthreads();
            for (int tile = team(); tile < tiles; tile += teams()) {
                const int first = tile / (chunk * out_tiles) * chunk, width = min(chunk, in_tiles - first);
                const int place = tile - first * out_tiles;
                add_to_weights(plan, found, place / width * TILE_OUT, (first + place % width) * TILE_TAPS, row, staged,
                               gradient, is_first, target);
            }
        }
    }
}
