// convolution.cuh: what the convolution and its gradients share: the plan, and the rows that a block stages.
//
// Staging. A block first copies the rows that it reads into shared memory (on a CPU: into the second-level cache), with
// zeros for the padding, so that the loop over products has no conditions:
//   - pixels a stride apart in the image become neighbours: there is one *part* for each remainder by the stride, up to
//     the largest that a tap reads (a 1×1 kernel reads one part only);
//   - some images are interleaved pixel by pixel, so that the rows of small planes fill a tile too;
//   - rows of a channel follow each other, but in a 1×1 kernel's forward the channels of a row do (row_step is then the
//     larger distance): what a tile reads lies in one piece, which stays in a CPU's first-level cache.
// A *position* is a place in a staged row: column · images + image. So each tap is one distance, the same for all.
//
// The includer includes common.cuh first.
#pragma once

#define MOST_TAPS 64  // kh · kw

#include "lanes.cuh"

// Rows or columns. Output pixel o sees input pixel (o·out_step + tap·tap_step + shift) / in_step if that is a whole
// number. Forward: out_step = stride, in_step = 1; input gradient: out_step = 1, in_step = stride. first: the first
// staged pixel; parts: how many parts are staged.
struct Axis {
    int size, out, taps, out_step, in_step, tap_step, shift, first, parts;
};

// Computed by the layouts (`plan`); convolution_axes.py declares the same fields.
struct Plan {
    Axis rows, columns;
    int groups, inputs, outputs;             // channels of a group
    int band;                                // rows of a part of the output that a block takes
    int staged_rows, pitch;                  // rows of a part, and positions of a row, in shared memory
    int row_step;                            // staged elements from a row to the next; 0: x is read where it lies
    int channel_size, gradient_size;         // staged elements of a channel, of x and of dout
    int missing;                             // pixels that the last row of a 1×1 kernel's plane lacks
    int images;                              // interleaved: that a block takes together
    int vectors;                             // `lanes` of a tile's row
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
        t.distance = (part * plan.staged_rows + r / y.out_step) * plan.row_step + c / x.out_step * plan.images;
        t.from_row = ceil_div(-top, y.out_step);
        t.to_row = falls_between ? t.from_row : ceil_div(y.size - top, y.out_step);
        t.from_column = ceil_div(-left, x.out_step);
        t.to_column = ceil_div(x.size - left, x.out_step);
    }
}

// Copies the pixels from `from` to `to` of a row, or interleaves those of several images. Returns false, and does
// nothing, unless their number is one that the compiler knows here: it shuffles vectors then.
#ifdef MINISK_ONE_THREAD
template <int IMAGES>
__attribute__((noinline)) static bool interleave(const real* __restrict__ row, const long long image, const int from,
                                                 const int to, real* __restrict__ staged) {
    for (int c = from; c < to; c++)
        for (int i = 0; i < IMAGES; i++) staged[c * IMAGES + i] = row[i * image + c];
    return true;
}

static inline bool stage_neighbours(const real* row, const int images, const long long image, const int from,
                                    const int to, real* staged) {
    if (images == 1) return copy(row + from, to - from, staged + from), true;
    if (images == 2) return interleave<2>(row, image, from, to, staged);
    if (images == 4) return interleave<4>(row, image, from, to, staged);
    if (images == 8) return interleave<8>(row, image, from, to, staged);
    return images == 16 && interleave<16>(row, image, from, to, staged);
}
#else
__device__ __forceinline__ bool stage_neighbours(const real*, int, long long, int, int, real*) { return false; }
#endif

// Copies a row of `images` images, every step-th pixel from `from` to `to`, with zeros before and after.
__device__ __forceinline__ void stage_row(const real* __restrict__ row, const int images, const long long image,
                                          const int step, const int from, const int to, const int columns,
                                          real* __restrict__ staged) {
    for (int p = lane(); p < from * images; p += LANES) staged[p] = 0;
    if (step != 1 || !stage_neighbours(row, images, image, from, to, staged)) {
        for (int i = 0; i < images; i++, row += image)
            for (int c = from + lane(); c < to; c += LANES) staged[c * images + i] = row[c * step];
    }
    for (int p = to * images + lane(); p < columns * images; p += LANES) staged[p] = 0;
}

// Stages what `rows` rows of outputs, from first_row on, read in `channels` planes. image: elements from one image to
// the next; row_step, size: elements from a staged row to the next, and of a staged channel.
__device__ __forceinline__ void stage_planes(const Plan& plan, const real* planes, const long long image,
                                             const int channels, const Axis& y, const Axis& x, const int first_row,
                                             const int rows, const int row_step, const int size, real* staged) {
    const int images = plan.images, columns = plan.pitch / images;
    const long long plane = (long long)y.size * x.size - plan.missing;
    for (int part = 0; part < y.parts * x.parts; part++) {
        const int top = y.first + first_row * y.out_step + part / x.parts, left = x.first + part % x.parts;
        const int from = max(0, ceil_div(-left, x.out_step));
        const int seen = min(columns, ceil_div(x.size - left, x.out_step));
        // A team takes every teams()-th row of all channels. Subtracting costs less than dividing.
        int channel = 0;
        for (int row = team(); true; row += teams()) {
            for (; row >= rows && channel < channels; row -= rows) channel++;
            if (channel >= channels) break;
            const int in_row = top + row * y.out_step;
            const int end = in_row < y.size - 1 ? seen : seen - plan.missing;
            const int to = in_row < 0 || in_row >= y.size ? from : max(from, end);
            const real* source = planes + channel * plane + (long long)in_row * x.size + left;
            real* target = staged + channel * size + (part * rows + row) * row_step;
            if (x.out_step == 1) stage_row(source, images, image, 1, from, to, columns, target);  // at full speed
            else stage_row(source, images, image, x.out_step, from, to, columns, target);
        }
    }
}

// Stages what a band of outputs reads of a group's x. group: the group's first channel in the first image.
__device__ __forceinline__ void stage_x(const Plan& plan, const real* group, const int first_row, real* staged) {
    const long long image = plan.groups * plan.inputs * plan.in_plane();
    stage_planes(plan, group, image, plan.inputs, plan.rows, plan.columns, first_row, plan.staged_rows, plan.row_step,
                 plan.channel_size, staged);
}

// Calls work(slot, row, is_first) for each band of rows of this block's slice of the batch. slot: the group's place in
// x and dout, in groups of an image.
template <class Work>
__device__ __forceinline__ void for_each_band(const Plan& plan, const int sets, const Work work) {
    const int end = (int)((long long)sets * (blockIdx.y + 1) / gridDim.y);
    bool is_first = true;
    for (int set = (int)((long long)sets * blockIdx.y / gridDim.y); set < end; set++) {
        for (int row = 0; row < plan.rows.out; row += plan.band, is_first = false) {
            __syncthreads();  // all threads have read the last rows
            work((long long)set * plan.images * plan.groups + blockIdx.x, row, is_first);
        }
    }
}
