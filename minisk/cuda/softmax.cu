// softmax.cu: softmax and log-softmax along one axis, cross entropy of rows, and their gradients.
//
//   y_i = e^(x_i - m) / Σ_j e^(x_j - m)     dx_i = y_i · (dy_i - Σ_j dy_j · y_j)     m = max x: nothing overflows
//   y_i = x_i - m - log Σ_j e^(x_j - m)     dx_i = dy_i - e^(y_i) · Σ_j dy_j
//   loss = -Σ_k q_k · log_softmax(x)_k      dx_k = (softmax(x)_k · Σ_j q_j - q_k) · dloss / rows
//
//   x, y: (outer, n, inner), summed along the middle; logits x and wanted shares q: (rows, n)
//
// Rows (inner = 1): a block takes a row, or some short ones in turn; its threads share the sums.
// Columns (inner > 1): grid (outer, tiles); a thread goes down NEIGHBOURS columns, the next one down the next, so that
// each step of theirs reads one run of memory.
// e^x is computed twice rather than kept: it costs less than a trip to memory, and float16 would round it.
#include "common.cuh"
#include "exponential.cuh"

struct Peak { wide top, sum; };  // m, and Σ e^(x - m)

__device__ __forceinline__ wide larger(wide a, wide b) { return a > b ? a : b; }

__device__ __forceinline__ Peak row_peak(const real* x, int n) {
    wide top = -(wide)INFINITY, sum = 0;
    BLOCK_LOOP(i, n) top = larger((wide)x[i], top);
    top = block_max(top);
    BLOCK_LOOP(i, n) sum += exponential((wide)x[i] - top);
    return {top, block_sum(sum)};
}

// check: <<<3, 64>>> rows=7 n=150 is_log=0 x[7*n] y[7*n]
// check: <<<3, 64>>> rows=7 n=150 is_log=1 x[7*n] y[7*n]
// check: <<<3, 64>>> rows=7 n=150 is_log=1 x[7*n]=below(900) y[7*n]
// check: <<<3, 64>>> rows=7 n=150 is_log=1 x[7*n]=-200 y[7*n]
// check: <<<2, 1024>>> rows=3 n=1030 is_log=0 x[3*n] y[3*n]
// check: <<<2, 992>>> rows=3 n=1000 is_log=0 x[3*n] y[3*n]
extern "C" __global__ ANY_BLOCK void softmax_rows(const index_t rows, const int n, const bool is_log,
                                                  const real* __restrict__ x, real* __restrict__ y) {
    PLANE_LOOP(row, rows) {
        const real* x_row = x + row * n;
        real* y_row = y + row * n;
        const Peak peak = row_peak(x_row, n);
        if (is_log) {
            const wide log2_sum = binary_log(peak.sum);
            BLOCK_LOOP(i, n) y_row[i] = (real)log_share((wide)x_row[i], peak.top, log2_sum);
        } else {
            const wide scale = 1 / peak.sum;
            BLOCK_LOOP(i, n) y_row[i] = (real)(exponential((wide)x_row[i] - peak.top) * scale);
        }
    }
}

// check: <<<3, 64>>> rows=7 n=150 is_log=0 dy[7*n] y[7*n] dx[7*n]
// check: <<<3, 64>>> rows=7 n=150 is_log=1 dy[7*n] y[7*n] dx[7*n]
extern "C" __global__ ANY_BLOCK void softmax_rows_grad(const index_t rows, const int n, const bool is_log,
                                                       const real* __restrict__ dy, const real* __restrict__ y,
                                                       real* __restrict__ dx) {
    PLANE_LOOP(row, rows) {
        const real *dy_row = dy + row * n, *y_row = y + row * n;
        real* dx_row = dx + row * n;
        wide sum = 0;
        if (is_log) {
            BLOCK_LOOP(i, n) sum += (wide)dy_row[i];
            sum = block_sum(sum);
            BLOCK_LOOP(i, n) dx_row[i] = (real)((wide)dy_row[i] - exponential((wide)y_row[i]) * sum);
        } else {
            BLOCK_LOOP(i, n) sum += (wide)dy_row[i] * (wide)y_row[i];
            sum = block_sum(sum);
            BLOCK_LOOP(i, n) dx_row[i] = (real)((wide)y_row[i] * ((wide)dy_row[i] - sum));
        }
    }
}

// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=0 x[9*inner] y[9*inner]
// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=1 x[9*inner]=below(900) y[9*inner]
// check: <<<(3, 2), 64>>> n=3 inner=70 is_log=1 x[9*inner]=-200 y[9*inner]
extern "C" __global__ ANY_BLOCK void softmax_columns(const int n, const int inner, const bool is_log,
                                                     const real* __restrict__ x, real* __restrict__ y) {
    TILE_LOOP(tile, (inner + NEIGHBOURS - 1) / NEIGHBOURS) {
        const int lanes = inner - tile * NEIGHBOURS < NEIGHBOURS ? inner - tile * NEIGHBOURS : NEIGHBOURS;
        const long long start = (long long)blockIdx.x * n * inner + tile * NEIGHBOURS;
        wide top[NEIGHBOURS], sum[NEIGHBOURS];
        for (int j = 0; j < lanes; j++) top[j] = -(wide)INFINITY, sum[j] = 0;
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            for (int j = 0; j < lanes; j++) top[j] = larger((wide)x_run[j], top[j]);
        }
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            for (int j = 0; j < lanes; j++) sum[j] += exponential((wide)x_run[j] - top[j]);
        }
        for (int j = 0; j < lanes; j++) sum[j] = is_log ? binary_log(sum[j]) : 1 / sum[j];
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            real* y_run = y + start + (long long)i * inner;
            if (is_log)
                for (int j = 0; j < lanes; j++) y_run[j] = (real)log_share((wide)x_run[j], top[j], sum[j]);
            else
                for (int j = 0; j < lanes; j++) y_run[j] = (real)(exponential((wide)x_run[j] - top[j]) * sum[j]);
        }
    }
}

// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=1 dy[9*inner] y[9*inner] dx[9*inner]
// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=0 dy[9*inner] y[9*inner] dx[9*inner]
extern "C" __global__ ANY_BLOCK void softmax_columns_grad(const int n, const int inner, const bool is_log,
                                                          const real* __restrict__ dy, const real* __restrict__ y,
                                                          real* __restrict__ dx) {
    TILE_LOOP(tile, (inner + NEIGHBOURS - 1) / NEIGHBOURS) {
        const int lanes = inner - tile * NEIGHBOURS < NEIGHBOURS ? inner - tile * NEIGHBOURS : NEIGHBOURS;
        const long long start = (long long)blockIdx.x * n * inner + tile * NEIGHBOURS;
        wide sum[NEIGHBOURS];
        for (int j = 0; j < lanes; j++) sum[j] = 0;
        for (int i = 0; i < n; i++) {
            const real *dy_run = dy + start + (long long)i * inner, *y_run = y + start + (long long)i * inner;
            for (int j = 0; j < lanes; j++) sum[j] += (wide)dy_run[j] * (is_log ? (wide)1 : (wide)y_run[j]);
        }
        for (int i = 0; i < n; i++) {
            const real *dy_run = dy + start + (long long)i * inner, *y_run = y + start + (long long)i * inner;
            real* dx_run = dx + start + (long long)i * inner;
            if (is_log)
                for (int j = 0; j < lanes; j++)
                    dx_run[j] = (real)((wide)dy_run[j] - exponential((wide)y_run[j]) * sum[j]);
            else
                for (int j = 0; j < lanes; j++) dx_run[j] = (real)((wide)y_run[j] * ((wide)dy_run[j] - sum[j]));
        }
    }
}

// check: <<<3, 64>>> rows=7 n=150 x[7*n] wanted[7*n] losses[7]
// check: <<<3, 64>>> rows=7 n=150 x[7*n]=below(900) wanted[7*n]=below(2) losses[7]
extern "C" __global__ ANY_BLOCK void cross_entropy_rows(const index_t rows, const int n, const real* __restrict__ x,
                                                        const real* __restrict__ wanted, real* __restrict__ losses) {
    PLANE_LOOP(row, rows) {
        const real *x_row = x + row * n, *q = wanted + row * n;
        const Peak peak = row_peak(x_row, n);
        const wide log2_sum = binary_log(peak.sum);
        wide loss = 0;
        // Where nothing is wanted, log p may be -inf, and 0 · -inf must count as 0.
        BLOCK_LOOP(i, n) loss -= (wide)q[i] != 0 ? (wide)q[i] * log_share((wide)x_row[i], peak.top, log2_sum) : (wide)0;
        loss = block_sum(loss);
        if (threadIdx.x == 0) losses[row] = (real)loss;
    }
}

// check: <<<3, 64>>> rows=7 n=150 dloss[1] x[7*n] wanted[7*n] dx[7*n]
extern "C" __global__ ANY_BLOCK void cross_entropy_rows_grad(const index_t rows, const int n,
                                                             const real* __restrict__ dloss, const real* __restrict__ x,
                                                             const real* __restrict__ wanted, real* __restrict__ dx) {
    const wide scale = (wide)dloss[0] / (wide)rows;
    PLANE_LOOP(row, rows) {
        const real *x_row = x + row * n, *q = wanted + row * n;
        real* dx_row = dx + row * n;
        const Peak peak = row_peak(x_row, n);
        wide mass = 0;  // 1 as a rule, but it need not be
        BLOCK_LOOP(i, n) mass += (wide)q[i];
        mass = block_sum(mass) / peak.sum;
        BLOCK_LOOP(i, n) dx_row[i] = (real)((exponential((wide)x_row[i] - peak.top) * mass - (wide)q[i]) * scale);
    }
}
