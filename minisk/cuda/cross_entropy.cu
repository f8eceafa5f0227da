// cross_entropy.cu: cross entropy of rows, and its gradient.
//
//   loss = -Σ_k q_k · log_softmax(x)_k      dx_k = (softmax(x)_k · Σ_j q_j - q_k) · dloss / rows
//
//   logits x and target q (the share of each class): (rows, n)   losses: (rows), wide
//   dloss, the gradient of the mean: (1)
//
// A block takes one row, or several short rows in turn. Its threads share the sums. e^x is computed twice instead of
// being stored: that costs less than the memory access, and float16 would round it.
#include "common.cuh"
#include "exponential.cuh"
#include "row_peak.cuh"

// check: <<<3, 64>>> rows=7 n=150 x[7*n] target[7*n] losses[7]
extern "C" __global__ ANY_BLOCK void cross_entropy_rows(const index_t rows, const int n, const real* __restrict__ x,
                                                        const real* __restrict__ target, wide* __restrict__ losses) {
    PLANE_LOOP(row, rows) {
        const real *x_row = x + row * n, *q = target + row * n;
        const Peak peak = row_peak(x_row, n);
        const wide log2_sum = binary_log(peak.sum);
        // log p may be -inf where the target is 0, and 0 · -inf must count as 0.
        const wide sum = sum_over_block(n, [&](const int i) {
            return (wide)q[i] != 0 ? (wide)q[i] * log_share((wide)x_row[i], peak.top, log2_sum) : (wide)0;
        });
        if (threadIdx.x == 0) losses[row] = -sum;  // rounded to float16 only once it is a mean
    }
}

// check: <<<3, 64>>> rows=7 n=150 dloss[1] x[7*n] target[7*n] dx[7*n]
extern "C" __global__ ANY_BLOCK void cross_entropy_rows_grad(const index_t rows, const int n,
                                                             const real* __restrict__ dloss, const real* __restrict__ x,
                                                             const real* __restrict__ target, real* __restrict__ dx) {
    const wide scale = (wide)dloss[0] / (wide)rows;
    PLANE_LOOP(row, rows) {
        const real *x_row = x + row * n, *q = target + row * n;
        real* dx_row = dx + row * n;
        const Peak peak = row_peak(x_row, n);
        const wide shares = sum_over_block(n, [&](const int i) { return (wide)q[i]; });  // usually 1
        const wide mass = shares / peak.sum;
        BLOCK_LOOP(i, n) dx_row[i] = (real)((exponential((wide)x_row[i] - peak.top) * mass - (wide)q[i]) * scale);
    }
}
