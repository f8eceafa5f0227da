// convolution.cu: grouped convolution without columns: forward, input gradient, weight gradient.
//
//   forward          out[n,o,i,j] = Σ_c,p,q  w[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + …]
//   input gradient   dx = the same sum the other way round: each output's gradient, spread over the inputs it saw
//   weight gradient  dw[o,c,p,q] = Σ_n,i,j  dout[n,o,i,j] · x[n, c, i·stride + p·dilation - padding, …]
//
//   x: (N, C, H, W)   w: (O, C / groups, kh, kw)   out: (N, O, Ho, Wo)   a group's outputs see only the group's inputs
//   Source: the register tile is that of every fast matrix product (Goto and van de Geijn, 2008).
//
// The register tile. A multiplication needs two numbers from memory, and memory delivers fewer than the processor can
// multiply. So a thread takes TILE_OUT output channels × TILE_VECTORS pixels at once: for each tap and input channel it
// reads the pixels and the weights once (8 + 4 numbers, say), and multiplies each with each (32 products). The sums stay
// in registers from the first product to the last.
//
//              pixels →   s0  s1  s2  s3        what one thread holds: sum[8][4]
//   weights    w0         w0·s0  w0·s1  …       one (tap, input channel) adds an outer product to it
//      ↓       w1         w1·s0  …
//
// LANES neighbouring threads make a team, which takes neighbouring pixels, so that their reads are one request. On a CPU
// a team is one thread, and `lanes` a vector register of VECTOR pixels: 8 × 32 sums of float fill half of AVX-512's.
//
// Staging. A block first copies the rows it will look at into shared memory (on a CPU: a buffer in the second-level
// cache), on zeros where the padding is, so that the loop over products has no conditions:
//   - pixels that lie a stride apart in the image are laid side by side (one part for each remainder by the stride);
//   - IMAGES images are shuffled into one, pixel by pixel, so that small planes too have rows that fill a tile.
// A *position* is a place in a staged row: column · IMAGES + image. Then a tap is one fixed distance, for all positions.
#include "common.cuh"

#ifndef TILE_OUT
#define TILE_OUT 8
#endif
#ifndef LANES
#define LANES 8
#endif
#ifndef IMAGES
#define IMAGES 1
#endif
#define MOST_TAPS 64   // kh · kw

// SUMS: registers for sums; TILE_TAPS: taps in a tile of the weight gradient.
#ifdef MINISK_ONE_THREAD
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define SUMS 16
#define TILE_TAPS 3
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define SUMS 8
#define TILE_TAPS 1
#else
#define VECTOR_BYTES 16
#define SUMS 16
#define TILE_TAPS 2
#endif
#define VECTOR (VECTOR_BYTES / (int)sizeof(real))
typedef real lanes __attribute__((vector_size(VECTOR_BYTES)));
static inline lanes load(const real* p) {
    lanes value;
    memcpy(&value, p, sizeof value);  // p may lie anywhere
    return value;
}
static inline lanes load_once(const real* p) {  // gcc else reads memory again at each use of the value
    lanes value = load(p);
#ifdef __x86_64__
    asm("" : "+v"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}
static inline void store(lanes value, real* p) { memcpy(p, &value, sizeof value); }
static inline wide team_sum(lanes value) {
    wide sum = 0;
    for (int k = 0; k < VECTOR; k++) sum += value[k];
    return sum;
}
#else
#define VECTOR 1
#define SUMS 32
#define TILE_TAPS 3
typedef wide lanes;
__device__ __forceinline__ lanes load(const real* p) { return (wide)*p; }
__device__ __forceinline__ lanes load_once(const real* p) { return (wide)*p; }
__device__ __forceinline__ void store(lanes value, real* p) { *p = (real)value; }
__device__ __forceinline__ wide team_sum(lanes value) { return warp_reduce<Add>(value); }  // of a whole warp
#endif
#define TILE_VECTORS (SUMS / TILE_OUT)
#define SPAN (LANES * VECTOR)  // positions that a team reads at once

// One direction, rows or columns. Output pixel o sees input pixel (o·out_step + tap·tap_step + shift) / in_step where
// that is a whole number. Forward: out_step = stride, in_step = 1; input gradient: the other way round. Staging begins
// at input pixel `first`, left of the image by the padding.
struct Axis {
    int in, out, taps, out_step, in_step, tap_step, shift, first;
};

struct Plan {  // as `_plan` in convolution.py fills it in
    Axis rows, columns;
    int groups, in_channels, out_channels;         // channels: of one group
    int band;                                      // output rows that a block takes (of each remainder by in_step)
    int staged_rows, pitch, channel_size, gradient_size;  // staged: rows, positions in a row, numbers in a channel
};

__device__ __forceinline__ Plan read_plan(const int* numbers) { return *reinterpret_cast<const Plan*>(numbers); }

// What a tap sees from output (0, 0) lies this far into the staged rows; from output (i, j), i rows and j columns further.
// Only outputs in these rows and columns see the image by it, others the padding.
struct Tap {
    int distance, from_row, to_row, from_column, to_column;
};

__device__ __forceinline__ int ceil_div(const int a, const int b) { return a > 0 ? (a + b - 1) / b : a / b; }

__device__ __forceinline__ void find_taps(const Plan& plan, const int row, const int column, Tap* found) {
    const Axis& y = plan.rows;
    const Axis& x = plan.columns;
    BLOCK_LOOP(tap, y.taps * x.taps) {
        const int down = row * y.out_step + tap / x.taps * y.tap_step + y.shift;
        const int right = column * x.out_step + tap % x.taps * x.tap_step + x.shift;
        const int top = down / y.in_step, left = right / x.in_step;
        const int r = top - y.first, c = left - x.first;
        const int part = r % y.out_step * x.out_step + c % x.out_step;
        const bool falls_between = down % y.in_step || right % x.in_step;
        found[tap].distance = (part * plan.staged_rows + r / y.out_step) * plan.pitch + c / x.out_step * IMAGES;
        found[tap].from_row = ceil_div(-top, y.out_step);
        found[tap].to_row = falls_between ? found[tap].from_row : ceil_div(y.in - top, y.out_step);
        found[tap].from_column = ceil_div(-left, x.out_step);
        found[tap].to_column = ceil_div(x.in - left, x.out_step);
    }
}

// Copies one row of IMAGES images, every step-th pixel from `from` to `to`; the rest of the row is zeros.
__device__ __forceinline__ void stage_row(const real* __restrict__ row, const long long image, const int step,
                                          const int from, const int to, const int columns, real* __restrict__ staged) {
    const int lane = threadIdx.x % LANES;
    for (int c = lane; c < from; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = 0;
    for (int c = from + lane; c < to; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = row[i * image + c * step];
    for (int c = to + lane; c < columns; c += LANES)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = 0;
}

// Lays `channels` planes out: for each a part for each remainder of rows and columns by the steps, of `rows` rows.
// first_row, first_column: the pixel that comes first, which may lie outside the image.
__device__ __forceinline__ void stage(const real* planes, const long long image, const int channels, const int height,
                                      const int width, const int first_row, const int first_column, const int row_step,
                                      const int column_step, const int rows, const int pitch, const int channel_size,
                                      real* staged) {
    const int teams = (blockDim.x + LANES - 1) / LANES;
    for (int part = 0; part < row_step * column_step; part++) {
        const int left = first_column + part % column_step, top = first_row + part / column_step;
        const int from = left < 0 ? (-left + column_step - 1) / column_step : 0;
        const int seen = (width - left + column_step - 1) / column_step, columns = pitch / IMAGES;
        int channel = 0, row = threadIdx.x / LANES;
        while (true) {  // a team takes every teams-th row of all channels; subtracting is cheaper than dividing
            while (row >= rows && channel < channels) row -= rows, channel++;
            if (channel >= channels) break;
            const int y = top + row * row_step;
            const int to = y < 0 || y >= height ? from : seen < columns ? seen : columns;
            const real* source = planes + ((long long)channel * height + y) * width + left;
            real* target = staged + channel * channel_size + (part * rows + row) * pitch;
            if (column_step == 1) stage_row(source, image, 1, from, to, columns, target);
            else stage_row(source, image, column_step, from, to, columns, target);
            row += teams;
        }
    }
}

// Weights in the order in which tiles read them: packed[group, out tile, tap, input, TILE_OUT], zeros past the last output.
// out_stride, in_stride: between weights of neighbouring outputs and inputs of a group. One block for each tap of a tile.
// check: <<<12, 32>>> outputs=9 inputs=37 taps=3 out_stride=111 in_stride=3 w[1998] packed[3552]
// check: <<<24, 32>>> outputs=5 inputs=37 taps=6 out_stride=6 in_stride=30 w[2220] packed[3552] TILE_OUT=4
extern "C" __global__ ANY_BLOCK void pack_weights(const int outputs, const int inputs, const int taps,
                                                  const int out_stride, const int in_stride,
                                                  const real* __restrict__ w, real* __restrict__ packed) {
    const int out_tiles = (outputs + TILE_OUT - 1) / TILE_OUT;
    const int tap = blockIdx.x % taps, tile = blockIdx.x / taps % out_tiles, group = blockIdx.x / taps / out_tiles;
    const real* source = w + (long long)group * outputs * inputs * taps + tap;
    real* target = packed + (long long)blockIdx.x * inputs * TILE_OUT;
    BLOCK_LOOP(c, inputs) {
        for (int o = 0; o < TILE_OUT; o++) {
            const int output = tile * TILE_OUT + o;
            target[c * TILE_OUT + o] = output < outputs ? source[output * out_stride + c * in_stride] : (real)0;
        }
    }
}

// Writes a row of a tile where it belongs: positions to pixels step apart, of IMAGES images; none past the last position.
__device__ __forceinline__ void write(const lanes* sum, const long long image, const int step, const int position,
                                      const int positions, real* __restrict__ line) {
#ifdef MINISK_ONE_THREAD
    real values[TILE_VECTORS * VECTOR];
    for (int v = 0; v < TILE_VECTORS; v++) store(sum[v], values + v * VECTOR);
    line += position / IMAGES * step;
    if (step == 1 && position + TILE_VECTORS * VECTOR <= positions) {
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < TILE_VECTORS * VECTOR / IMAGES; c++) line[i * image + c] = values[c * IMAGES + i];
    } else {
        const int whole = min(TILE_VECTORS * VECTOR, positions - position) / IMAGES;
        for (int i = 0; i < IMAGES; i++)
            for (int c = 0; c < whole; c++) line[i * image + c * step] = values[c * IMAGES + i];
    }
#else
    for (int v = 0; v < TILE_VECTORS; v++) {
        const int p = position + v * SPAN;
        if (p < positions) store(sum[v], line + p % IMAGES * image + p / IMAGES * step);
    }
#endif
}

// Forward and input gradient. Block (set of IMAGES images, group), band of rows.
// check: <<<(4, 2), 32, 1664>>> numbers[24]=4,3,2,1,1,1,0,0,19,19,3,1,1,1,-1,-1,2,2,9,2,3,68,208,144 x[1216] packed[384] out[4104] TILE_OUT=8 LANES=8 IMAGES=2
// check: <<<(4, 2), 32, 6272>>> numbers[24]=9,4,3,2,1,2,-1,-1,52,19,2,3,1,1,-2,-2,2,2,3,2,4,32,784,80 x[3744] packed[192] out[912] TILE_OUT=8 LANES=4 IMAGES=1
// check: <<<(4, 2), 32, 2176>>> numbers[24]=3,5,3,1,2,-1,1,-1,8,23,2,1,3,-2,1,-1,2,2,3,2,4,66,272,144 x[192] packed[96] out[1380] TILE_OUT=4 LANES=8 IMAGES=1
extern "C" __global__ ANY_BLOCK void convolve(const int* __restrict__ numbers, const real* __restrict__ x,
                                              const real* __restrict__ packed, real* __restrict__ out) {
    DYNAMIC_SHARED(real, staged);
    __shared__ Tap found[MOST_TAPS];
    const Plan plan = read_plan(numbers);
    const Axis &rows = plan.rows, &columns = plan.columns;
    const int group = blockIdx.x % plan.groups, first_row = blockIdx.y * plan.band;
    const long long first_image = (long long)(blockIdx.x / plan.groups) * IMAGES;
    const long long in_plane = (long long)rows.in * columns.in, out_plane = (long long)rows.out * columns.out;
    stage(x + (first_image * plan.groups + group) * plan.in_channels * in_plane,
          plan.groups * plan.in_channels * in_plane, plan.in_channels, rows.in, columns.in,
          rows.first + first_row * rows.out_step, columns.first, rows.out_step, columns.out_step, plan.staged_rows,
          plan.pitch, plan.channel_size, staged);

    const int out_tiles = (plan.out_channels + TILE_OUT - 1) / TILE_OUT, taps = rows.taps * columns.taps;
    real* target = out + (first_image * plan.groups + group) * plan.out_channels * out_plane;
    const long long image = plan.groups * plan.out_channels * out_plane;
    for (int part = 0; part < rows.in_step * columns.in_step; part++) {
        const int row_part = part / columns.in_step, column_part = part % columns.in_step;
        __syncthreads();  // all is staged; whoever still reads the last part's distances is done
        find_taps(plan, row_part, column_part, found);
        __syncthreads();
        const int lines = min(plan.band, (rows.out - row_part + rows.in_step - 1) / rows.in_step - first_row);
        const int positions = (columns.out - column_part + columns.in_step - 1) / columns.in_step * IMAGES;
        const int row_tiles = (positions + SPAN * TILE_VECTORS - 1) / (SPAN * TILE_VECTORS);
        for (int tile = threadIdx.x / LANES; tile < lines * row_tiles * out_tiles; tile += (blockDim.x + LANES - 1) / LANES) {
            const int out_tile = tile % out_tiles, place = tile / out_tiles;
            const int row = place / row_tiles;
            const int position = place % row_tiles * SPAN * TILE_VECTORS + threadIdx.x % LANES * VECTOR;
            const int column = (position - threadIdx.x % LANES * VECTOR) / IMAGES, next = column + SPAN * TILE_VECTORS / IMAGES;
            lanes sum[TILE_OUT][TILE_VECTORS] = {};
            for (int tap = 0; tap < taps; tap++) {
                const Tap& t = found[tap];
                if (first_row + row < t.from_row || first_row + row >= t.to_row || next <= t.from_column || column >= t.to_column)
                    continue;
                const real* s = staged + t.distance + row * plan.pitch + position;
                const real* w = packed + ((long long)(group * out_tiles + out_tile) * taps + tap) * plan.in_channels * TILE_OUT;
                for (int c = 0; c < plan.in_channels; c++, s += plan.channel_size, w += TILE_OUT) {
                    lanes seen[TILE_VECTORS];
                    for (int v = 0; v < TILE_VECTORS; v++) seen[v] = load(s + v * SPAN);
                    for (int o = 0; o < TILE_OUT; o++)
                        for (int v = 0; v < TILE_VECTORS; v++) sum[o][v] += (wide)w[o] * seen[v];
                }
            }
            const int y = (first_row + row) * rows.in_step + row_part;
            for (int o = 0; o < TILE_OUT; o++) {
                const int channel = out_tile * TILE_OUT + o;
                if (channel >= plan.out_channels) break;
                real* line = target + channel * out_plane + (long long)y * columns.out + column_part;
                write(sum[o], image, columns.in_step, position, positions, line);
            }
        }
    }
}

// Weight gradient: partial[slice, o, c, tap], the sum over a slice of the batch. Block (group, slice).
// check: <<<(2, 2), 64, 4544>>> numbers[24]=4,3,2,1,1,1,0,0,19,20,2,1,1,1,-1,-1,2,2,5,2,3,66,208,144 sets=3 x[1824] dout[3600] partial[160] TILE_OUT=4 LANES=32 IMAGES=2
// check: <<<(2, 2), 64, 9152>>> numbers[24]=9,4,3,2,1,2,-1,-1,40,15,2,3,1,1,-2,-2,2,2,9,2,4,32,784,80 sets=3 x[4320] dout[3240] partial[432] TILE_OUT=8 LANES=32 IMAGES=1
extern "C" __global__ ANY_BLOCK void correlate(const int* __restrict__ numbers, const int sets,
                                               const real* __restrict__ x, const real* __restrict__ dout,
                                               wide* __restrict__ partial) {
    DYNAMIC_SHARED(real, staged);
    __shared__ Tap found[MOST_TAPS];
    const Plan plan = read_plan(numbers);
    const Axis &rows = plan.rows, &columns = plan.columns;
    const int group = blockIdx.x, taps = rows.taps * columns.taps, inputs = plan.in_channels * taps;
    const int out_tiles = (plan.out_channels + TILE_OUT - 1) / TILE_OUT, in_tiles = (inputs + TILE_TAPS - 1) / TILE_TAPS;
    const long long in_plane = (long long)rows.in * columns.in, out_plane = (long long)rows.out * columns.out;
    real* gradient = staged + plan.in_channels * plan.channel_size;
    const int positions = columns.out * IMAGES, gradient_size = plan.gradient_size;
    wide* target = partial + ((long long)blockIdx.y * plan.groups + group) * plan.out_channels * inputs;
    const int first_set = (int)((long long)sets * blockIdx.y / gridDim.y);
    const int end_set = (int)((long long)sets * (blockIdx.y + 1) / gridDim.y);
    bool is_first = true;
    find_taps(plan, 0, 0, found);
    for (int set = first_set; set < end_set; set++) {
        for (int first_row = 0; first_row < rows.out; first_row += plan.band, is_first = false) {
            const long long plane = (long long)set * IMAGES * plan.groups + group;
            __syncthreads();  // whoever still reads the last rows is done
            stage(x + plane * plan.in_channels * in_plane, plan.groups * plan.in_channels * in_plane, plan.in_channels,
                  rows.in, columns.in, rows.first + first_row * rows.out_step, columns.first, rows.out_step,
                  columns.out_step, plan.staged_rows, plan.pitch, plan.channel_size, staged);
            stage(dout + plane * plan.out_channels * out_plane, plan.groups * plan.out_channels * out_plane,
                  plan.out_channels, rows.out, columns.out, first_row, 0, 1, 1, plan.band, plan.pitch, gradient_size, gradient);
            __syncthreads();
            for (int tile = threadIdx.x / LANES; tile < out_tiles * in_tiles; tile += (blockDim.x + LANES - 1) / LANES) {
                const int output = tile / in_tiles * TILE_OUT, input = tile % in_tiles * TILE_TAPS;
                const int lane = threadIdx.x % LANES * VECTOR;
                const real *s[TILE_TAPS], *g[TILE_OUT];
                for (int t = 0; t < TILE_TAPS; t++) {
                    const int seen = min(input + t, inputs - 1);
                    s[t] = staged + seen / taps * plan.channel_size + found[seen % taps].distance + lane;
                }
                for (int o = 0; o < TILE_OUT; o++)
                    g[o] = gradient + min(output + o, plan.out_channels - 1) * gradient_size + lane;
                lanes sum[TILE_OUT][TILE_TAPS] = {};
                for (int row = 0; row < plan.band; row++) {
                    for (int p = row * plan.pitch; p < row * plan.pitch + positions; p += SPAN) {
                        lanes seen[TILE_TAPS];
                        for (int t = 0; t < TILE_TAPS; t++) seen[t] = load(s[t] + p);
                        for (int o = 0; o < TILE_OUT; o++) {
                            const lanes slope = load_once(g[o] + p);
                            for (int t = 0; t < TILE_TAPS; t++) sum[o][t] += slope * seen[t];
                        }
                    }
                }
                for (int o = 0; o < TILE_OUT; o++) {
                    for (int t = 0; t < TILE_TAPS; t++) {
                        const wide total = team_sum(sum[o][t]);
                        if (threadIdx.x % LANES || output + o >= plan.out_channels || input + t >= inputs) continue;
                        wide* weight = target + (long long)(output + o) * inputs + input + t;
                        *weight = is_first ? total : *weight + total;
                    }
                }
            }
        }
    }
}
