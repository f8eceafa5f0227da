// matmul.cu: a matrix product, from naive to fast.
//
//   c[i,j] = Σ_k a[i,k] · b[k,j]      a: (m, depth)   b: (depth, n)   c: (m, n)
//
// `minisk steps matmul` proves each step, compares it with step 1 and counts it. Operations never launch these kernels.
// Source of the register tile: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.
//
// adds: the matrix product of BLAS, or cuBLAS on a GPU, which adds wider tiles, loads ahead of their use, tensor cores.
#include "common.cuh"
#include "number.cuh"

#define TILE 16   // rows and columns of a block's tile in steps 1 to 3
#define WIDE 32   // the same in step 4
#define DEPTH 8   // of a step-4 tile along k
#define OWN 4     // rows and columns of a thread in step 4

// step: A thread an element of c; neighbouring threads take neighbouring rows: a sector for each thread.
// check: <<<(4, 4), (16, 16)>>> m=64 n=64 depth=40 a[m*depth] b[depth*n] c[m*n]
extern "C" __global__ void matmul_rows(const int m, const int n, const int depth, const real* a, const real* b,
                                       real* c) {
    const int i = blockIdx.x * TILE + threadIdx.x, j = blockIdx.y * TILE + threadIdx.y;
    if (i >= m || j >= n) return;
    number sum = as_number(0);
    for (int k = 0; k < depth; k++) sum += as_number(a[i * depth + k]) * as_number(b[k * n + j]);
    c[i * n + j] = (real)(wide)sum;
}

// step: Neighbouring threads take neighbouring columns: b is read, and c written, in whole sectors.
// check: <<<(4, 4), (16, 16)>>> m=64 n=64 depth=40 a[m*depth] b[depth*n] c[m*n]
extern "C" __global__ void matmul_columns(const int m, const int n, const int depth, const real* a, const real* b,
                                          real* c) {
    const int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x;
    if (i >= m || j >= n) return;
    number sum = as_number(0);
    for (int k = 0; k < depth; k++) sum += as_number(a[i * depth + k]) * as_number(b[k * n + j]);
    c[i * n + j] = (real)(wide)sum;
}

// step: A block stages tiles of a and b in shared memory: each element is read from global memory once a block.
// check: <<<(4, 4), (16, 16)>>> m=64 n=64 depth=40 a[m*depth] b[depth*n] c[m*n]
extern "C" __global__ void matmul_shared(const int m, const int n, const int depth, const real* a, const real* b,
                                         real* c) {
    __shared__ number left[TILE][TILE], right[TILE][TILE];
    const int x = threadIdx.x, y = threadIdx.y, i = blockIdx.y * TILE + y, j = blockIdx.x * TILE + x;
    number sum = as_number(0);
    for (int start = 0; start < depth; start += TILE) {
        left[y][x] = i < m && start + x < depth ? as_number(a[i * depth + start + x]) : as_number(0);
        right[y][x] = j < n && start + y < depth ? as_number(b[(start + y) * n + j]) : as_number(0);
        __syncthreads();
        for (int k = 0; k < min(TILE, depth - start); k++) sum += left[y][k] * right[k][x];
        __syncthreads();  // before the next tile overwrites this one
    }
    if (i < m && j < n) c[i * n + j] = (real)(wide)sum;
}

// step: A thread computes 4 × 4 elements: eight reads of shared memory serve sixteen products.
// check: <<<(2, 2), (8, 8)>>> m=64 n=64 depth=40 a[m*depth] b[depth*n] c[m*n]
extern "C" __global__ void matmul_registers(const int m, const int n, const int depth, const real* a, const real* b,
                                            real* c) {
    __shared__ number left[DEPTH][WIDE + 4], right[DEPTH][WIDE];  // left by columns; padded: see the ladder of transpose
    const int x = threadIdx.x, y = threadIdx.y, thread = y * blockDim.x + x, threads = blockDim.x * blockDim.y;
    const int first_i = blockIdx.y * WIDE, first_j = blockIdx.x * WIDE;
    number sum[OWN][OWN];
    for (int r = 0; r < OWN; r++)
        for (int s = 0; s < OWN; s++) sum[r][s] = as_number(0);
    for (int start = 0; start < depth; start += DEPTH) {
        for (int e = thread; e < WIDE * DEPTH; e += threads) {
            const int k = e % DEPTH, i = first_i + e / DEPTH, row = start + e / WIDE, j = first_j + e % WIDE;
            left[k][e / DEPTH] = i < m && start + k < depth ? as_number(a[i * depth + start + k]) : as_number(0);
            right[e / WIDE][e % WIDE] = j < n && row < depth ? as_number(b[row * n + j]) : as_number(0);
        }
        __syncthreads();
        for (int k = 0; k < min(DEPTH, depth - start); k++) {
            number of_left[OWN], of_right[OWN];
            for (int r = 0; r < OWN; r++) of_left[r] = left[k][y + r * 8], of_right[r] = right[k][x + r * 8];
            for (int r = 0; r < OWN; r++)
                for (int s = 0; s < OWN; s++) sum[r][s] += of_left[r] * of_right[s];
        }
        __syncthreads();
    }
    for (int r = 0; r < OWN; r++)
        for (int s = 0; s < OWN; s++) {
            const int i = first_i + y + r * 8, j = first_j + x + s * 8;
            if (i < m && j < n) c[i * n + j] = (real)(wide)sum[r][s];
        }
}
