// batch_norm.cu: batch norm over a channel axis, with its affine part and an optional fused ReLU.
//
//   mean = center + rest     inv_std = 1 / sqrt(var + eps)     scale = weight · inv_std     m = images · spatial
//
//   y = (x - center) · scale + (bias - rest · scale)           out = y, or max(y, 0)
//   g = dout, or 0 where y ≤ 0      dbias = Σ g             dweight = Σ g · xhat, xhat = (x - mean) · inv_std
//   dx = scale · (g - dbias / m - xhat · dweight / m)          if the statistics are those of x, else scale · g
//
//   x, out, dout, dx: (images, channels, spatial)    all others: (channels); sums of parts: (parts, channels)
//   weight, bias and their gradients are `wide`: in mixed precision they stay float32 while x is float16.
//   Source: Ioffe and Szegedy, Batch Normalization, 2015; affine fused as in Caffe's CuDNNBatchNorm layer.
//
// center is the mean of the channel's first plane. One pass sums x - center and its square; float32 is exact enough for
// that even where the mean is 10,000 deviations. Storing the mean as two numbers keeps this precision. Backward
// computes ReLU's mask from x again: y is not stored, and the same expression gives the same bits.
//
// Grid (channels, parts): a block takes one channel of a run of images. With one part, a block has a whole channel: its
// second pass finds x in the cache, so memory is read once (batch_norm_whole, batch_norm_backward_whole). A larger
// channel is cut into parts, which write their sums to memory. The caller adds them, in order, before the second pass
// (batch_norm_apply, batch_norm_input_grad). There are no atomics, so every run gives the same bits.
// Cases for `minisk check`: cases/batch_norm.txt.
#include "common.cuh"
#include "vector.cuh"

// Calls visit(i, zero) for every element i of the block's part of its channel; neighbouring threads visit neighbours.
// zero is 0 as a `wide` for one element; with one thread per block also as `lanes`, for VECTOR elements from i on. Calls
// end_run() after at most about RUN_TERMS elements, and at the end.
template <class Visit, class EndRun>
__device__ __forceinline__ void visit_part(const int images, const int channels, const int spatial, const Visit visit,
                                           const EndRun end_run) {
    int visited = 0;
    const int first = (int)((long long)images * blockIdx.y / gridDim.y);
    const int last = (int)((long long)images * (blockIdx.y + 1LL) / gridDim.y);
#ifdef MINISK_ONE_THREAD
    for (int n = first; n < last; n++) {
        const long long plane = ((long long)n * channels + blockIdx.x) * spatial;
        int s = 0;
        for (; s <= spatial - VECTOR; s += VECTOR) {
            visit(plane + s, lanes());
            if ((visited += VECTOR) >= RUN_TERMS) end_run(), visited = 0;
        }
        for (; s < spatial; s++) visit(plane + s, wide()), visited++;
        if (visited >= RUN_TERMS) end_run(), visited = 0;
    }
#else
    // Image and position advance together: small planes fill a block, and no thread divides in the loop.
    const int images_on = blockDim.x / spatial, s_on = blockDim.x % spatial;
    int n = first + threadIdx.x / spatial, s = threadIdx.x % spatial;
    while (n < last) {
        visit(((long long)n * channels + blockIdx.x) * spatial + s, wide());
        n += images_on;
        s += s_on;
        if (s >= spatial) s -= spatial, n++;
        if (++visited == RUN_TERMS) end_run(), visited = 0;
    }
#endif
    end_run();
}

struct Nothing { __device__ __forceinline__ void operator()() const {} };

// value - rest · factor; value where rest is 0, as fixed statistics have it: 0 times an infinite factor would be NaN.
__device__ __forceinline__ wide less_rest(wide value, wide rest, wide factor) {
    return rest == 0 ? value : value - rest * factor;
}

// y = (x - center) · scale + shift, with the constants of one channel.
struct Channel {
    wide center, rest, inv_std, scale, shift;

    __device__ __forceinline__ Channel(wide center, wide rest, wide var, wide eps, wide weight, wide bias)
        : center(center), rest(rest), inv_std(1 / sqrt(var + eps)) {
        scale = weight * inv_std;
        shift = less_rest(bias, rest, scale);
    }
    template <class T> __device__ __forceinline__ T y(const T x) const { return (x - center) * scale + shift; }
};

// The gradient that passes the ReLU: 0 where y ≤ 0.
template <class T>
__device__ __forceinline__ T masked(const T dout, const T x, const int relu, const Channel channel) {
    return relu ? channel.y(x) <= T() ? T() : dout : dout;
}

struct Two { wide first, second; };

__device__ __forceinline__ wide first_plane_mean(const int spatial, const real* __restrict__ x) {
    const real* plane = x + (long long)blockIdx.x * spatial;
    return sum_over_block(spatial, [&](const int s) { return (wide)plane[s]; }) / spatial;
}

// Σ (x - center) and Σ (x - center)² over the part.
__device__ __forceinline__ Two moments(const int images, const int channels, const int spatial, const wide center,
                                       const real* __restrict__ x) {
    LongSum sum, squares;
    auto visit = [&](const long long i, auto zero) {
        const auto centred = load(x + i, zero) - center;
        sum.add(centred);
        squares.add(centred * centred);
    };
    visit_part(images, channels, spatial, visit, [&]() { sum.end_run(), squares.end_run(); });
    return {block_sum((wide)sum.total), block_sum((wide)squares.total)};
}

__device__ __forceinline__ void normalize(const int images, const int channels, const int spatial, const int relu,
                                          const Channel channel, const real* __restrict__ x, real* __restrict__ out) {
    auto visit = [&](const long long i, auto zero) {
        const auto y = channel.y(load(x + i, zero));
        store(out + i, relu ? y < zero ? zero : y : y);  // NaN is not below 0, and stays
    };
    visit_part(images, channels, spatial, visit, Nothing());
}

// Σ g and Σ g · xhat over the part.
__device__ __forceinline__ Two gradient_sums(const int images, const int channels, const int spatial, const int relu,
                                             const Channel channel, const real* __restrict__ dout,
                                             const real* __restrict__ x) {
    LongSum sum, dot;
    auto visit = [&](const long long i, auto zero) {
        const auto value = load(x + i, zero), g = masked(load(dout + i, zero), value, relu, channel);
        sum.add(g);
        dot.add(g * (value - channel.center));
    };
    visit_part(images, channels, spatial, visit, [&]() { sum.end_run(), dot.end_run(); });
    const wide dbias = block_sum((wide)sum.total);
    return {dbias, less_rest(block_sum((wide)dot.total), channel.rest, dbias) * channel.inv_std};
}

__device__ __forceinline__ void input_grad(const int images, const int channels, const int spatial, const int relu,
                                           const int depends, const Channel channel, const Two sums,
                                           const real* __restrict__ dout, const real* __restrict__ x,
                                           real* __restrict__ dx) {
    const wide per_value = channel.scale / ((wide)images * spatial);
    const wide slope = -per_value * channel.inv_std * sums.second;
    const wide constant = -per_value * sums.first - slope * channel.rest;
    auto visit = [&](const long long i, auto zero) {
        const auto value = load(x + i, zero), g = masked(load(dout + i, zero), value, relu, channel);
        // Without `depends` the correction is left out: times 0 it would be NaN for one infinite element of the channel.
        const auto gradient = channel.scale * g;
        store(dx + i, depends ? gradient + (slope * (value - channel.center) + constant) : gradient);
    };
    visit_part(images, channels, spatial, visit, Nothing());
}

extern "C" __global__ ANY_BLOCK void batch_norm_whole(
    const int images, const int channels, const int spatial, const wide eps, const int relu,
    const real* __restrict__ x, const wide* __restrict__ weight, const wide* __restrict__ bias,
    real* __restrict__ out, wide* __restrict__ center, wide* __restrict__ rest, wide* __restrict__ var) {
    const int c = blockIdx.x;
    const wide middle = first_plane_mean(spatial, x), count = (wide)images * spatial;
    const Two sums = moments(images, channels, spatial, middle, x);
    const wide mean = sums.first / count, variance = sums.second / count - mean * mean;
    normalize(images, channels, spatial, relu, Channel(middle, mean, variance, eps, weight[c], bias[c]), x, out);
    if (threadIdx.x == 0) center[c] = middle, rest[c] = mean, var[c] = variance;
}

// check: <<<(3, 2), 64>>> images=4 channels=3 spatial=67 x[804] center[3] part_sum[6] part_squares[6]
extern "C" __global__ ANY_BLOCK void batch_norm_moments(
    const int images, const int channels, const int spatial, const real* __restrict__ x, wide* __restrict__ center,
    wide* __restrict__ part_sum, wide* __restrict__ part_squares) {
    const int part = blockIdx.y * channels + blockIdx.x;
    const wide middle = first_plane_mean(spatial, x);
    const Two sums = moments(images, channels, spatial, middle, x);
    if (threadIdx.x > 0) return;
    if (blockIdx.y == 0) center[blockIdx.x] = middle;
    part_sum[part] = sums.first;
    part_squares[part] = sums.second;
}

extern "C" __global__ ANY_BLOCK void batch_norm_apply(
    const int images, const int channels, const int spatial, const wide eps, const int relu,
    const real* __restrict__ x, const wide* __restrict__ weight, const wide* __restrict__ bias,
    const wide* __restrict__ center, const wide* __restrict__ rest, const wide* __restrict__ var,
    real* __restrict__ out) {
    const int c = blockIdx.x;
    const Channel channel(center[c], rest[c], var[c], eps, weight[c], bias[c]);
    normalize(images, channels, spatial, relu, channel, x, out);
}

extern "C" __global__ ANY_BLOCK void batch_norm_backward_whole(
    const int images, const int channels, const int spatial, const wide eps, const int relu, const int depends,
    const real* __restrict__ dout, const real* __restrict__ x, const wide* __restrict__ weight,
    const wide* __restrict__ bias, const wide* __restrict__ center, const wide* __restrict__ rest,
    const wide* __restrict__ var, real* __restrict__ dx, wide* __restrict__ dweight, wide* __restrict__ dbias) {
    const int c = blockIdx.x;
    const Channel channel(center[c], rest[c], var[c], eps, weight[c], bias[c]);
    const Two sums = gradient_sums(images, channels, spatial, relu, channel, dout, x);
    input_grad(images, channels, spatial, relu, depends, channel, sums, dout, x, dx);
    if (threadIdx.x == 0) dbias[c] = sums.first, dweight[c] = sums.second;
}

extern "C" __global__ ANY_BLOCK void batch_norm_gradient_sums(
    const int images, const int channels, const int spatial, const wide eps, const int relu,
    const real* __restrict__ dout, const real* __restrict__ x, const wide* __restrict__ weight,
    const wide* __restrict__ bias, const wide* __restrict__ center, const wide* __restrict__ rest,
    const wide* __restrict__ var, wide* __restrict__ part_dbias, wide* __restrict__ part_dweight) {
    const int c = blockIdx.x, part = blockIdx.y * channels + c;
    const Channel channel(center[c], rest[c], var[c], eps, weight[c], bias[c]);
    const Two sums = gradient_sums(images, channels, spatial, relu, channel, dout, x);
    if (threadIdx.x == 0) part_dbias[part] = sums.first, part_dweight[part] = sums.second;
}

extern "C" __global__ ANY_BLOCK void batch_norm_input_grad(
    const int images, const int channels, const int spatial, const wide eps, const int relu, const int depends,
    const real* __restrict__ dout, const real* __restrict__ x, const wide* __restrict__ weight,
    const wide* __restrict__ bias, const wide* __restrict__ center, const wide* __restrict__ rest,
    const wide* __restrict__ var, const wide* __restrict__ dbias, const wide* __restrict__ dweight,
    real* __restrict__ dx) {
    const int c = blockIdx.x;
    const Channel channel(center[c], rest[c], var[c], eps, weight[c], bias[c]);
    input_grad(images, channels, spatial, relu, depends, channel, {dbias[c], dweight[c]}, dout, x, dx);
}
