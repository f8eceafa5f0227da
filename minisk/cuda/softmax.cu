// softmax.cu: softmax and log-softmax along one axis, and their gradients.
//
//   softmax:      y_i = e^(x_i - m) / Σ_j e^(x_j - m)     dx_i = y_i · (dy_i - Σ_j dy_j · y_j)
//   log-softmax:  y_i = x_i - m - log Σ_j e^(x_j - m)     dx_i = dy_i - e^(y_i) · Σ_j dy_j
//
//   m = max x, so that no exponential overflows   x, y, dx, dy: (outer, n, inner), summed along the middle axis
//
// Rows (inner = 1): a block takes one row, or several short rows in turn. Its threads share the sums.
// Columns (inner > 1): grid (outer, tiles). Each thread loops down NEIGHBOURS columns. Neighbouring threads take
// neighbouring columns, so each step reads consecutive addresses.
// e^x is computed twice instead of being stored: that costs less than the memory access, and float16 would round it.
#include "common.cuh"
#include "exponential.cuh"
#include "row_peak.cuh"

// check: <<<3, 64>>> rows=7 n=150 is_log=0 x[7*n] y[7*n]
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
extern "C" __global__ ANY_BLOCK void softmax_rows_grad(const index_t rows, const int n, const bool is_log,
                                                       const real* __restrict__ dy, const real* __restrict__ y,
                                                       real* __restrict__ dx) {
    PLANE_LOOP(row, rows) {
        const real *dy_row = dy + row * n, *y_row = y + row * n;
        real* dx_row = dx + row * n;
        if (is_log) {
            const wide sum = sum_over_block(n, [&](const int i) { return (wide)dy_row[i]; });
            BLOCK_LOOP(i, n) dx_row[i] = (real)((wide)dy_row[i] - exponential((wide)y_row[i]) * sum);
        } else {
            const wide sum = sum_over_block(n, [&](const int i) { return (wide)dy_row[i] * (wide)y_row[i]; });
            BLOCK_LOOP(i, n) dx_row[i] = (real)((wide)y_row[i] * ((wide)dy_row[i] - sum));
        }
    }
}

// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=0 x[9*inner] y[9*inner]
extern "C" __global__ ANY_BLOCK void softmax_columns(const int n, const int inner, const bool is_log,
                                                     const real* __restrict__ x, real* __restrict__ y) {
    TILE_LOOP(tile, ceil_div(inner, NEIGHBOURS)) {
        const int lanes = min(inner - tile * NEIGHBOURS, NEIGHBOURS);
        const long long start = (long long)blockIdx.x * n * inner + tile * NEIGHBOURS;
        wide top[NEIGHBOURS], share[NEIGHBOURS];
        double sum[NEIGHBOURS];  // a column is added term by term
        for (int j = 0; j < lanes; j++) top[j] = -(wide)INFINITY, sum[j] = 0;
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            for (int j = 0; j < lanes; j++) top[j] = larger((wide)x_run[j], top[j]);
        }
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            for (int j = 0; j < lanes; j++) sum[j] += exponential((wide)x_run[j] - top[j]);
        }
        for (int j = 0; j < lanes; j++) share[j] = is_log ? binary_log((wide)sum[j]) : 1 / (wide)sum[j];
        for (int i = 0; i < n; i++) {
            const real* x_run = x + start + (long long)i * inner;
            real* y_run = y + start + (long long)i * inner;
            if (is_log)
                for (int j = 0; j < lanes; j++) y_run[j] = (real)log_share((wide)x_run[j], top[j], share[j]);
            else
                for (int j = 0; j < lanes; j++) y_run[j] = (real)(exponential((wide)x_run[j] - top[j]) * share[j]);
        }
    }
}

// check: <<<(3, 2), 64>>> n=3 inner=560 is_log=1 dy[9*inner] y[9*inner] dx[9*inner]
extern "C" __global__ ANY_BLOCK void softmax_columns_grad(const int n, const int inner, const bool is_log,
                                                          const real* __restrict__ dy, const real* __restrict__ y,
                                                          real* __restrict__ dx) {
    TILE_LOOP(tile, ceil_div(inner, NEIGHBOURS)) {
        const int lanes = min(inner - tile * NEIGHBOURS, NEIGHBOURS);
        const long long start = (long long)blockIdx.x * n * inner + tile * NEIGHBOURS;
        double sum[NEIGHBOURS];
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
                    dx_run[j] = (real)((wide)dy_run[j] - exponential((wide)y_run[j]) * (wide)sum[j]);
            else
                for (int j = 0; j < lanes; j++) dx_run[j] = (real)((wide)y_run[j] * ((wide)dy_run[j] - (wide)sum[j]));
        }
    }
}
