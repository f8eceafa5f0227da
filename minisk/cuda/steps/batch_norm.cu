// batch_norm.cu: batch norm with the statistics of the batch, from naive to fast.
//
//   out = weight · (x - mean) / sqrt(var + eps) + bias      mean, var: of a channel, over images and positions
//
//   x, out: (images, channels, spatial)   weight, bias: (channels)   count = images · spatial
//
// `minisk steps batch_norm` proves each step, compares it with step 1 and counts it. Operations never launch these.
//
// in use: batch_norm.cu batch_norm_whole<<<4, 64>>> images=3 channels=4 spatial=100 eps=1e-5 relu=0 x[1200] weight[4] bias[4] out[1200] center[4] rest[4] var[4]
// adds: centred at the mean of a plane; sums in double; ReLU; the statistics; large channels are cut into parts.
#include "common.cuh"
#include "number.cuh"

#define WARPS 2  // of a block: 64 threads

// Where element i of a channel lies: position i % spatial of image i / spatial.
__device__ __forceinline__ int place(const int i, const int channel, const int channels, const int spatial) {
    return (i / spatial * channels + channel) * spatial + i % spatial;
}

// step: One thread computes a channel: mean, variance, result, in three passes.
// check: <<<1, 32>>> images=3 channels=4 spatial=100 eps=1e-5 x[1200] weight[4] bias[4] out[1200]
extern "C" __global__ void batch_norm_thread(const int images, const int channels, const int spatial, const wide eps,
                                             const real* x, const real* weight, const real* bias, real* out) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x, count = images * spatial;
    if (c >= channels) return;
    number sum = as_number(0), squares = as_number(0);
    for (int i = 0; i < count; i++) sum += as_number(x[place(i, c, channels, spatial)]);
    const number mean = sum / as_number(count);
    for (int i = 0; i < count; i++) {
        const number centred = as_number(x[place(i, c, channels, spatial)]) - mean;
        squares += centred * centred;
    }
    const number scale = as_number(weight[c]) / square_root(squares / as_number(count) + as_number(eps));
    for (int i = 0; i < count; i++) {
        const int at = place(i, c, channels, spatial);
        out[at] = (real)(wide)((as_number(x[at]) - mean) * scale + as_number(bias[c]));
    }
}

// Adds the values of all threads; every thread gets the sum. One exchange of registers, then one sum for each warp.
__device__ __forceinline__ number over_block(number value) {
    __shared__ number of_warp[WARPS];
    value = warp_sum(value);
    __syncthreads();  // all threads have read the sums of the call before
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    number sum = of_warp[0];
    for (int warp = 1; warp < WARPS; warp++) sum += of_warp[warp];
    return sum;
}

// The block's channel: reads x, and writes (x - center) · scale + shift.
struct Channel {
    const real* x;
    int images, channels, spatial;

    __device__ __forceinline__ int count() const { return images * spatial; }
    __device__ __forceinline__ number at(int i) const { return as_number(x[place(i, blockIdx.x, channels, spatial)]); }
    __device__ __forceinline__ void write(number center, number scale, number shift, real* out) const {
        for (int i = threadIdx.x; i < count(); i += blockDim.x)
            out[place(i, blockIdx.x, channels, spatial)] = (real)(wide)((at(i) - center) * scale + shift);
    }
};

// step: A block computes a channel, in the same three passes; neighbouring threads read neighbours.
// check: <<<4, 64>>> images=3 channels=4 spatial=100 eps=1e-5 x[1200] weight[4] bias[4] out[1200]
extern "C" __global__ void batch_norm_block(const int images, const int channels, const int spatial, const wide eps,
                                            const real* x, const real* weight, const real* bias, real* out) {
    const Channel own = {x, images, channels, spatial};
    number sum = as_number(0), squares = as_number(0);
    for (int i = threadIdx.x; i < own.count(); i += blockDim.x) sum += own.at(i);
    const number mean = over_block(sum) / as_number(own.count());
    for (int i = threadIdx.x; i < own.count(); i += blockDim.x) {
        const number centred = own.at(i) - mean;
        squares += centred * centred;
    }
    const number var = over_block(squares) / as_number(own.count());
    own.write(mean, as_number(weight[blockIdx.x]) / square_root(var + as_number(eps)), as_number(bias[blockIdx.x]), out);
}

// step: Mean and variance in one pass, var = Σx²/count - mean². Wrong in float32 where the mean is large: see step 4.
// check: <<<4, 64>>> images=3 channels=4 spatial=100 eps=1e-5 x[1200] weight[4] bias[4] out[1200]
extern "C" __global__ void batch_norm_squares(const int images, const int channels, const int spatial, const wide eps,
                                              const real* x, const real* weight, const real* bias, real* out) {
    const Channel own = {x, images, channels, spatial};
    number sum = as_number(0), squares = as_number(0);
    for (int i = threadIdx.x; i < own.count(); i += blockDim.x) {
        const number element = own.at(i);
        sum += element, squares += element * element;
    }
    const number mean = over_block(sum) / as_number(own.count());
    const number var = over_block(squares) / as_number(own.count()) - mean * mean;
    own.write(mean, as_number(weight[blockIdx.x]) / square_root(var + as_number(eps)), as_number(bias[blockIdx.x]), out);
}

// step: One pass over x - center, where center is the channel's first element: the same cost, and no cancellation.
// check: <<<4, 64>>> images=3 channels=4 spatial=100 eps=1e-5 x[1200] weight[4] bias[4] out[1200]
extern "C" __global__ void batch_norm_centred(const int images, const int channels, const int spatial, const wide eps,
                                              const real* x, const real* weight, const real* bias, real* out) {
    const Channel own = {x, images, channels, spatial};
    const number center = own.at(0);
    number sum = as_number(0), squares = as_number(0);
    for (int i = threadIdx.x; i < own.count(); i += blockDim.x) {
        const number centred = own.at(i) - center;
        sum += centred, squares += centred * centred;
    }
    const number rest = over_block(sum) / as_number(own.count());
    const number var = over_block(squares) / as_number(own.count()) - rest * rest;
    const number scale = as_number(weight[blockIdx.x]) / square_root(var + as_number(eps));
    // center + rest would round the mean: it stays two numbers.
    own.write(center, scale, as_number(bias[blockIdx.x]) - rest * scale, out);
}
