// transpose.cu: out[j,i] = x[i,j], from naive to fast. It computes nothing, so that only the memory accesses matter.
//
//   x: (rows, columns)   out: (columns, rows)
//
// `minisk steps transpose` proves each step, compares it with step 1 and counts it. No operation launches them.
//
// adds: the copy of NumPy or CuPy.
#include "common.cuh"

// step: A thread an element. Neighbours read one row, but write to one column: a sector for each thread.
// check: <<<(3, 12), (32, 8)>>> rows=90 columns=70 x[rows*columns] out[rows*columns]
extern "C" __global__ void transpose_naive(const int rows, const int columns, const real* x, real* out) {
    const int j = blockIdx.x * 32 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y;
    if (i < rows && j < columns) out[j * rows + i] = x[i * columns + j];
}

// Through a tile in shared memory: read by rows, written by rows.
template <int WIDTH>
__device__ __forceinline__ void through_tile(const int rows, const int columns, const real* x, real* out) {
    __shared__ real tile[32][WIDTH];
    const int i = blockIdx.y * 32, j = blockIdx.x * 32;
    for (int row = threadIdx.y; row < 32; row += blockDim.y)
        if (i + row < rows && j + threadIdx.x < columns)
            tile[row][threadIdx.x] = x[(i + row) * columns + j + threadIdx.x];
    __syncthreads();
    for (int row = threadIdx.y; row < 32; row += blockDim.y)
        if (j + row < columns && i + threadIdx.x < rows)
            out[(j + row) * rows + i + threadIdx.x] = tile[threadIdx.x][row];
}

// step: A block reads a tile of 32 rows, and writes its columns as rows. A column lies in one bank of shared memory.
// check: <<<(3, 3), (32, 8)>>> rows=90 columns=70 x[rows*columns] out[rows*columns]
extern "C" __global__ void transpose_tile(const int rows, const int columns, const real* x, real* out) {
    through_tile<32>(rows, columns, x, out);
}

// step: The tile has one more column, so that the elements of a column lie in different banks.
// check: <<<(3, 3), (32, 8)>>> rows=90 columns=70 x[rows*columns] out[rows*columns]
extern "C" __global__ void transpose_padded(const int rows, const int columns, const real* x, real* out) {
    through_tile<33>(rows, columns, x, out);
}
