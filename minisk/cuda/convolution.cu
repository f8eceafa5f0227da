// convolution.cu: grouped convolution without columns: forward and input gradient.
//
//   forward          out[n,o,i,j] = Σ_c,p,q  w[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + …]
//   input gradient   dx = the adjoint: each output's gradient, spread over the inputs that it saw
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
// convolution.cuh says how blocks stage their input, weight_gradient.cu computes the gradient of w.
// Cases for `minisk check`: cases/convolution.txt.
#include "common.cuh"

#ifndef TILE_OUT
#define TILE_OUT 8
#endif

#ifndef PACKED
#define PACKED 1
#endif

#include "convolution.cuh"

// Packs the weights in the order in which tiles read them: packed[group, tile, tap, input, TILE_OUT], with zeros beyond
// the last output: a tile reads one piece of memory. A block takes one tap of `together` tiles. out_step, in_step:
// distance between the weights of neighbouring outputs and of neighbouring inputs.
// check: <<<6, 32>>> outputs=9 inputs=37 taps=3 out_step=111 in_step=3 together=2 w[1998] packed[3552]
extern "C" __global__ ANY_BLOCK void pack_weights(const int outputs, const int inputs, const int taps,
                                                  const int out_step, const int in_step, const int together,
                                                  const real* __restrict__ w, real* __restrict__ packed) {
    const int tiles = ceil_div(outputs, TILE_OUT), parts = ceil_div(tiles, together);
    const int tap = blockIdx.x % taps, first_tile = blockIdx.x / taps % parts * together;
    const int group = blockIdx.x / taps / parts, end_tile = min(tiles, first_tile + together);
    const long long tile_size = (long long)taps * inputs * TILE_OUT;
    const real* source = w + (long long)group * outputs * inputs * taps + tap;
    real* target = packed + group * tiles * tile_size + (long long)tap * inputs * TILE_OUT;
    BLOCK_LOOP(c, inputs) {
        for (int tile = first_tile; tile < end_tile; tile++) {
            const int first = tile * TILE_OUT;
            real* to = target + tile * tile_size + c * TILE_OUT;
            if (out_step == 1 && first + TILE_OUT <= outputs) {  // outputs are neighbours in memory
                for (int o = 0; o < TILE_OUT; o++) to[o] = source[first + o + c * in_step];
            } else {
                for (int o = 0; o < TILE_OUT; o++)
                    to[o] = first + o < outputs ? source[(first + o) * out_step + c * in_step] : (real)0;
            }
        }
    }
}

// The place of a weight among those of a tile and a tap. PACKED=0 reads the weights of a 1×1 kernel where they lie.
__device__ __forceinline__ int weight_of(const Plan& plan, const int output, const int input) {
    return PACKED ? input * TILE_OUT + output : output * plan.inputs + input;
}

// Adds the products of a row of outputs from `position` on, for the first VECTORS vectors of a tile. w: the tile's weights.
template <int VECTORS>
__device__ __forceinline__ void add_products(const Plan& plan, const Tap* found, const int out_row, const int position,
                                             const real* staged, const real* w, lanes (*sum)[TILE_VECTORS]) {
    const int column = position / IMAGES, next = ceil_div(position + VECTORS * STEP, IMAGES);
    for (int tap = 0; tap < plan.rows.taps * plan.columns.taps; tap++, w += plan.inputs * TILE_OUT) {
        const Tap& t = found[tap];
        if (out_row < t.from_row || out_row >= t.to_row || next <= t.from_column || column >= t.to_column) continue;
        const real* s = staged + t.distance + position + own();
        for (int c = 0; c < plan.inputs; c++) {
            lanes seen[VECTORS];
            for (int v = 0; v < VECTORS; v++) seen[v] = load(s + c * plan.channel_size + v * STEP);
            for (int o = 0; o < TILE_OUT; o++)
                for (int v = 0; v < VECTORS; v++) sum[o][v] += (wide)w[weight_of(plan, o, c)] * seen[v];
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
// takes tile after tile. Neighbouring teams take the same pixels for other outputs: their reads of shared memory are one
// request. With keeps_weights they take other pixels for the same outputs, whose weights stay in a CPU's own cache.
extern "C" __global__ ANY_BLOCK void convolve(const int* __restrict__ table, const int keeps_weights,
                                              const real* __restrict__ x, const real* __restrict__ w,
                                              real* __restrict__ out) {
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
        const int row_tiles = ceil_div(positions, SPAN), inner = keeps_weights ? lines * row_tiles : out_tiles;
        for (int tile = team(); tile < lines * row_tiles * out_tiles; tile += teams()) {
            const int fast = tile % inner, slow = tile / inner;
            const int out_tile = keeps_weights ? slow : fast, pixels = keeps_weights ? fast : slow;
            const int row = pixels / row_tiles, position = pixels % row_tiles * SPAN, first_out = out_tile * TILE_OUT;
            const long long weights = (long long)rows.taps * columns.taps * plan.inputs * TILE_OUT;
            const real *seen = staged + row * plan.row_step, *of_tile = w + (group * out_tiles + out_tile) * weights;
            const int end = positions - (first_row + row < rows.out - 1 ? 0 : plan.missing * IMAGES);
            lanes sum[TILE_OUT][TILE_VECTORS] = {};
            add_tile<TILE_VECTORS>(plan, found, first_row + row, position, end - position, seen, of_tile, sum);
            real* line = out + (slot * plan.outputs + first_out) * plan.out_plane() + column_part;
            line += (long long)((first_row + row) * rows.in_step + row_part) * columns.out;
            for (int o = 0; o < TILE_OUT && first_out + o < plan.outputs; o++)
                write(sum[o], out_image, columns.in_step, position, end, line + o * plan.out_plane());
        }
    }
}
