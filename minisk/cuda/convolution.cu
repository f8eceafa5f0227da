// convolution.cu: grouped convolution without columns: forward and input gradient.
//
//   forward          out[n,o,i,j] = Σ_cpq w[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + …], and then,
//                    as asked for, times scale[o], plus bias[o], and 0 where that is negative
//   input gradient   dx = the adjoint: each output's gradient, spread over the inputs that it saw
//
//   x: (N, C, H, W)   w: (O, C / groups, kh, kw)   out: (N, O, Ho, Wo)   a group's outputs see only the group's inputs
//   Source of the register tile: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.
//
// The register tile. A product needs two numbers from memory, and memory delivers fewer than the processor multiplies.
// So a thread computes TILE_OUT output channels × several pixels at once. For each tap and input channel it reads
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

#define MOST_VECTORS (SUMS / TILE_OUT)  // of a tile

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

// Adds the products of VECTORS vectors of a row of outputs, from `position` on. w: the tile's weights.
template <int VECTORS>
__device__ __forceinline__ void add_products(const Plan& plan, const Tap* found, const int out_row, const int position,
                                             const real* staged, const real* w, lanes (*sum)[VECTORS]) {
    const int column = position / plan.images, next = ceil_div(position + VECTORS * STEP, plan.images);
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

// Writes a tile's sums up to the position `end`, those of the first `channels` channels. Every images-th position goes
// to one image, in_step pixels apart. line: the output row in the first channel and image.
#ifdef MINISK_ONE_THREAD
// A whole tile without a stride: its numbers are known to the compiler, which shuffles vectors then.
template <int IMAGES, int VECTORS>
static inline void write_whole(const lanes (*sum)[VECTORS], const int channels, const long long plane,
                               const long long image, real* __restrict__ line) {
    for (int o = 0; o < TILE_OUT && o < channels; o++, line += plane) {
        wide values[VECTORS * STEP];
        memcpy(values, sum[o], sizeof values);
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < VECTORS * STEP / IMAGES; c++) line[i * image + c] = (real)values[c * IMAGES + i];
    }
}

template <int VECTORS>
static inline void write(const Plan& plan, const lanes (*sum)[VECTORS], const int channels, const int position,
                         const int end, real* __restrict__ line) {
    const int images = plan.images, step = plan.columns.in_step, first = position % images;
    const int count = min(VECTORS * STEP, end - position);
    const long long plane = plan.out_plane(), image = plan.groups * plan.outputs * plane;
    line += position / images * step;
    if (step == 1 && count == VECTORS * STEP && count % images == 0) {
        if (images == 1) return write_whole<1>(sum, channels, plane, image, line);
        if (images == 2) return write_whole<2>(sum, channels, plane, image, line);
        if (images == 4) return write_whole<4>(sum, channels, plane, image, line);
        if (images == 8) return write_whole<8>(sum, channels, plane, image, line);
        if (images == 16) return write_whole<16>(sum, channels, plane, image, line);
    }
    for (int o = 0; o < channels; o++, line += plane) {
        wide values[VECTORS * STEP];
        memcpy(values, sum[o], sizeof values);
        for (int i = 0; i < images; i++) {  // a tile may begin and end between the images of a pixel
            real* pixel = line + i * image + (i < first) * step;
            for (int k = (i - first + images) % images; k < count; k += images, pixel += step) *pixel = (real)values[k];
        }
    }
}
#else
template <int VECTORS>
__device__ __forceinline__ void write(const Plan& plan, const lanes (*sum)[VECTORS], const int channels,
                                      const int position, const int end, real* __restrict__ line) {
    const long long plane = plan.out_plane(), image = plan.groups * plan.outputs * plane;
    for (int v = 0; v < VECTORS; v++) {
        const int p = position + v * STEP + lane();
        if (p >= end) continue;
        real* pixel = line + p % plan.images * image + p / plan.images * plan.columns.in_step;
        for (int o = 0; o < TILE_OUT && o < channels; o++) pixel[o * plane] = (real)sum[o][v];
    }
}
#endif

// What becomes of sums before they are written. scale, bias: of the tile's channels, or null: then the step is left out.
struct Finish {
    const real *scale, *bias;
    int relu;

    __device__ __forceinline__ lanes of(lanes sum, const int channel) const {
        const lanes zero = {};
        if (scale) sum *= (wide)scale[channel];
        if (bias) sum += (wide)bias[channel];
        return relu ? sum < zero ? zero : sum : sum;  // NaN is not below 0, and stays
    }
};

// Computes and writes a tile of `left` positions from `position` on, in no more vectors than these fill. end: of the
// row; the other arguments are those of add_products and write.
template <int VECTORS>
__device__ __forceinline__ void compute_tile(const Plan& plan, const Tap* found, const int out_row, const int position,
                                             const int left, const int end, const real* staged, const real* w,
                                             const Finish& finish, const int channels, real* __restrict__ line) {
    if constexpr (VECTORS > 1) {
        if (left <= (VECTORS - 1) * STEP)
            return compute_tile<VECTORS - 1>(plan, found, out_row, position, left, end, staged, w, finish, channels,
                                             line);
    }
    lanes sum[TILE_OUT][VECTORS] = {};
    add_products<VECTORS>(plan, found, out_row, position, staged, w, sum);
    for (int o = 0; o < TILE_OUT && o < channels; o++)
        for (int v = 0; v < VECTORS; v++) sum[o][v] = finish.of(sum[o][v], o);
    write<VECTORS>(plan, sum, channels, position, end, line);
}

// Forward and input gradient. A block takes plan.images images, one group and one band of rows; bands vary fastest. A
// team takes tile after tile. Neighbouring teams take the same pixels for other outputs: their reads of shared memory
// are one request. With keeps_weights they take other pixels for the same outputs, whose weights stay in a CPU's own
// cache. scale, bias: one number for each output channel, read only with has_scale and has_bias.
extern "C" __global__ ANY_BLOCK void convolve(const int* __restrict__ table, const int keeps_weights,
                                              const int has_scale, const int has_bias, const int relu,
                                              const real* __restrict__ x, const real* __restrict__ w,
                                              const real* __restrict__ scale, const real* __restrict__ bias,
                                              real* __restrict__ out) {
    DYNAMIC_SHARED(real, staged);
    __shared__ Tap found[MOST_TAPS];
    const Plan plan = *reinterpret_cast<const Plan*>(table);
    const Axis &rows = plan.rows, &columns = plan.columns;
    const int bands = ceil_div(ceil_div(rows.out, rows.in_step), plan.band), first_row = blockIdx.x % bands * plan.band;
    const int group = blockIdx.x / bands % plan.groups;
    const long long slot = (long long)(blockIdx.x / bands / plan.groups) * plan.images * plan.groups + group;
    stage_x(plan, x + slot * plan.inputs * plan.in_plane(), first_row, staged);

    const int out_tiles = ceil_div(plan.outputs, TILE_OUT);
    for (int part = 0; part < rows.in_step * columns.in_step; part++) {
        const int row_part = part / columns.in_step, column_part = part % columns.in_step;
        __syncthreads();  // staging is complete, and all threads have read the last part's taps
        find_taps(plan, row_part, column_part, found);
        __syncthreads();
        const int lines = min(plan.band, ceil_div(rows.out - row_part, rows.in_step) - first_row);
        const int positions = ceil_div(columns.out - column_part, columns.in_step) * plan.images;
        const int span = min(plan.vectors, MOST_VECTORS) * STEP, row_tiles = ceil_div(positions, span);
        const int inner = keeps_weights ? lines * row_tiles : out_tiles;
        for (int tile = team(); tile < lines * row_tiles * out_tiles; tile += teams()) {
            const int fast = tile % inner, slow = tile / inner;
            const int out_tile = keeps_weights ? slow : fast, pixels = keeps_weights ? fast : slow;
            const int row = pixels / row_tiles, position = pixels % row_tiles * span, first_out = out_tile * TILE_OUT;
            const long long weights = (long long)rows.taps * columns.taps * plan.inputs * TILE_OUT;
            const real *seen = staged + row * plan.row_step, *of_tile = w + (group * out_tiles + out_tile) * weights;
            const int end = positions - (first_row + row < rows.out - 1 ? 0 : plan.missing * plan.images);
            const int channel = group * plan.outputs + first_out;
            const Finish finish = {has_scale ? scale + channel : nullptr, has_bias ? bias + channel : nullptr, relu};
            real* line = out + (slot * plan.outputs + first_out) * plan.out_plane() + column_part;
            line += (long long)((first_row + row) * rows.in_step + row_part) * columns.out;
            compute_tile<MOST_VECTORS>(plan, found, first_row + row, position, min(end - position, span), end, seen,
                                          of_tile, finish, min(TILE_OUT, plan.outputs - first_out), line);
        }
    }
}
