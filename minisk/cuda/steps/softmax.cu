// softmax.cu: a softmax of each row, from naive to fast.
//
//   y[r,i] = e^(x[r,i] - top) / Σ_j e^(x[r,j] - top)      top = max_j x[r,j]      x, y: (rows, n)
//
// `minisk steps softmax` proves each step, compares it with step 1 and counts it. Operations never launch these kernels.
// Source of step 3: Milakov and Gimelshein, Online normalizer calculation for softmax, 2018.
//
// in use: softmax.cu softmax_rows<<<8, 64>>> rows=8 n=200 is_log=0 x[8*n] y[8*n]
// adds: rows of any length, log-softmax, sums in double; it reads a row three times, twice from the cache.
#include "common.cuh"
#include "number.cuh"

#define WARPS 2         // of a block: 64 threads
#define HELD 4          // elements of a row that a thread of step 4 holds in registers

// step: One thread computes a row: its neighbour reads n elements further on.
// check: <<<1, 32>>> rows=8 n=200 x[8*n] y[8*n]
extern "C" __global__ void softmax_thread_a_row(const int rows, const int n, const real* x, real* y) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    number top = negative_infinity(), sum = as_number(0);
    for (int i = 0; i < n; i++) top = larger(top, as_number(x[row * n + i]));
    for (int i = 0; i < n; i++) sum += exponential_of(as_number(x[row * n + i]) - top);
    for (int i = 0; i < n; i++) y[row * n + i] = (real)(wide)(exponential_of(as_number(x[row * n + i]) - top) / sum);
}

struct Maximum { static __device__ __forceinline__ number of(number a, number b) { return larger(a, b); } };
struct Sum { static __device__ __forceinline__ number of(number a, number b) { return a + b; } };

// Combines the values of all threads of the block by a tree in shared memory; every thread gets the result.
template <class Operation> __device__ __forceinline__ number over_block(number value) {
    __shared__ number values[32 * WARPS];
    __syncthreads();  // all threads have read the result of the call before
    values[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) values[threadIdx.x] = Operation::of(values[threadIdx.x], values[threadIdx.x + half]);
        __syncthreads();
    }
    return values[0];
}

// step: A block computes a row in three passes; neighbouring threads read neighbours, and a tree combines them.
// check: <<<8, 64>>> rows=8 n=200 x[8*n] y[8*n]
extern "C" __global__ void softmax_block_a_row(const int rows, const int n, const real* x, real* y) {
    const int row = blockIdx.x * n;
    number top = negative_infinity(), sum = as_number(0);
    for (int i = threadIdx.x; i < n; i += blockDim.x) top = larger(top, as_number(x[row + i]));
    top = over_block<Maximum>(top);
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += exponential_of(as_number(x[row + i]) - top);
    sum = over_block<Sum>(sum);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[row + i] = (real)(wide)(exponential_of(as_number(x[row + i]) - top) / sum);
}

// The maximum of some elements, and the sum of e^(x - top) over them.
struct Online { number top, sum; };

// One element more, or the elements of two threads together: the sum below the smaller maximum is scaled down.
__device__ __forceinline__ Online together(const Online a, const Online b) {
    const number top = larger(a.top, b.top);
    if ((wide)top == -(wide)INFINITY) return a;  // no elements yet: infinity - infinity would be NaN
    return {top, a.sum * exponential_of(a.top - top) + b.sum * exponential_of(b.top - top)};
}

__device__ __forceinline__ Online over_warp(Online own) {
    for (int distance = 16; distance > 0; distance /= 2) {
        const number top = __shfl_xor_sync(0xffffffffu, own.top, distance);
        own = together(own, {top, __shfl_xor_sync(0xffffffffu, own.sum, distance)});
    }
    return own;
}

// step: The maximum and the sum in one pass (online softmax), combined in registers: a row is read twice.
// check: <<<8, 64>>> rows=8 n=200 x[8*n] y[8*n]
extern "C" __global__ void softmax_online(const int rows, const int n, const real* x, real* y) {
    __shared__ Online of_warp[WARPS];
    const int row = blockIdx.x * n;
    Online own = {negative_infinity(), as_number(0)};
    for (int i = threadIdx.x; i < n; i += blockDim.x) own = together(own, {as_number(x[row + i]), as_number(1)});
    own = over_warp(own);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = own;
    __syncthreads();
    Online all = of_warp[0];
    for (int warp = 1; warp < WARPS; warp++) all = together(all, of_warp[warp]);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[row + i] = (real)(wide)(exponential_of(as_number(x[row + i]) - all.top) / all.sum);
}

// step: A thread holds its elements in registers: a row is read once, and each exponential is computed once.
// check: <<<8, 64>>> rows=8 n=200 x[8*n] y[8*n]
extern "C" __global__ void softmax_registers(const int rows, const int n, const real* x, real* y) {
    __shared__ number tops[WARPS], sums[WARPS];
    const int row = blockIdx.x * n, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    number held[HELD], top = negative_infinity(), sum = as_number(0);
    for (int k = 0; k < HELD; k++) {
        const int i = threadIdx.x + k * blockDim.x;
        held[k] = i < n ? as_number(x[row + i]) : negative_infinity();
        top = larger(top, held[k]);
    }
    for (int distance = 16; distance > 0; distance /= 2)
        top = larger(top, __shfl_xor_sync(0xffffffffu, top, distance));
    if (lane == 0) tops[warp] = top;
    __syncthreads();
    for (int other = 0; other < WARPS; other++) top = larger(top, tops[other]);
    for (int k = 0; k < HELD; k++) sum += held[k] = exponential_of(held[k] - top);  // 0 beyond the row's end
    sum = warp_sum(sum);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    sum = sums[0];
    for (int other = 1; other < WARPS; other++) sum += sums[other];
    for (int k = 0; k < HELD; k++)
        if (threadIdx.x + k * blockDim.x < n) y[row + threadIdx.x + k * blockDim.x] = (real)(wide)(held[k] / sum);
}
