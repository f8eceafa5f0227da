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

#include "convolution.cuh"

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
        const real* s = staged + t.distance + position + own();
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
