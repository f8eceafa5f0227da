// conv.cu: a 3 × 3 convolution of one image, stride 1, padding 1, from naive to fast.
//
//   out[o,i,j] = Σ_c,p,q  w[o,c,p,q] · x[c, i + p - 1, j + q - 1]      0 outside the image
//
//   x: (channels, height, width)   w: (outputs, channels, 3, 3)   out: (outputs, height, width)
//
// `minisk steps conv` proves each step, compares it with step 1 and counts it. Operations never launch these kernels.
//
// adds: ../convolution.cu, which adds batches, groups, strides, dilation, packed weights, tiles of 8 outputs × 4 pixels.
#include "common.cuh"
#include "number.cuh"

#define TILE 16              // rows and columns of a block's tile of pixels
#define PATCH (TILE + 2)     // with the border that the taps read
#define OWN 4                // outputs of a thread in steps 3 and 4

// An element of the image, 0 outside.
__device__ __forceinline__ number pixel(const real* plane, const int height, const int width, const int i, const int j) {
    return i >= 0 && i < height && j >= 0 && j < width ? as_number(plane[i * width + j]) : as_number(0);
}

// step: A thread an output, and neighbouring threads take neighbouring rows: a sector for each thread.
// check: <<<(2, 2, 8), (16, 16)>>> channels=4 outputs=8 height=30 width=32 x[3840] w[288] out[7680]
extern "C" __global__ void conv_rows(const int channels, const int outputs, const int height, const int width,
                                     const real* x, const real* w, real* out) {
    const int i = blockIdx.y * TILE + threadIdx.x, j = blockIdx.x * TILE + threadIdx.y, o = blockIdx.z;
    if (i >= height || j >= width) return;
    number sum = as_number(0);
    for (int c = 0; c < channels; c++)
        for (int tap = 0; tap < 9; tap++)
            sum += as_number(w[(o * channels + c) * 9 + tap]) *
                   pixel(x + c * height * width, height, width, i + tap / 3 - 1, j + tap % 3 - 1);
    out[(o * height + i) * width + j] = (real)(wide)sum;
}

// step: Neighbouring threads take neighbouring columns. Each pixel is still read nine times by each output.
// check: <<<(2, 2, 8), (16, 16)>>> channels=4 outputs=8 height=30 width=32 x[3840] w[288] out[7680]
extern "C" __global__ void conv_columns(const int channels, const int outputs, const int height, const int width,
                                        const real* x, const real* w, real* out) {
    const int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x, o = blockIdx.z;
    if (i >= height || j >= width) return;
    number sum = as_number(0);
    for (int c = 0; c < channels; c++)
        for (int tap = 0; tap < 9; tap++) {
            const number seen = pixel(x + c * height * width, height, width, i + tap / 3 - 1, j + tap % 3 - 1);
            sum += as_number(w[(o * channels + c) * 9 + tap]) * seen;
        }
    out[(o * height + i) * width + j] = (real)(wide)sum;
}

// Copies the block's patch of one plane to shared memory, with zeros outside the image.
__device__ __forceinline__ void stage(const real* plane, const int height, const int width, number (*patch)[PATCH]) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (int e = thread; e < PATCH * PATCH; e += blockDim.x * blockDim.y)
        patch[e / PATCH][e % PATCH] =
            pixel(plane, height, width, blockIdx.y * TILE + e / PATCH - 1, blockIdx.x * TILE + e % PATCH - 1);
}

// step: A block stages each plane's patch in shared memory, and a thread computes four outputs from it.
// check: <<<(2, 2, 2), (16, 16)>>> channels=4 outputs=8 height=30 width=32 x[3840] w[288] out[7680]
extern "C" __global__ void conv_shared(const int channels, const int outputs, const int height, const int width,
                                       const real* x, const real* w, real* out) {
    __shared__ number patch[PATCH][PATCH];
    const int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x, first = blockIdx.z * OWN;
    number sum[OWN];
    for (int o = 0; o < OWN; o++) sum[o] = as_number(0);
    for (int c = 0; c < channels; c++) {
        stage(x + c * height * width, height, width, patch);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++)
            for (int o = 0; o < OWN && first + o < outputs; o++)
                sum[o] += as_number(w[((first + o) * channels + c) * 9 + tap]) *
                          patch[threadIdx.y + tap / 3][threadIdx.x + tap % 3];
        __syncthreads();  // before the next plane overwrites the patch
    }
    if (i >= height || j >= width) return;
    for (int o = 0; o < OWN && first + o < outputs; o++)
        out[((first + o) * height + i) * width + j] = (real)(wide)sum[o];
}

// step: A thread computes 4 outputs × 4 rows, and the weights are staged too: 6 + 4 reads serve 16 products.
// check: <<<(2, 2, 2), (16, 4)>>> channels=4 outputs=8 height=30 width=32 x[3840] w[288] out[7680]
extern "C" __global__ void conv_registers(const int channels, const int outputs, const int height, const int width,
                                          const real* x, const real* w, real* out) {
    __shared__ number patch[PATCH][PATCH], weights[9 * OWN];
    const int top = threadIdx.y * 4, j = blockIdx.x * TILE + threadIdx.x, first = blockIdx.z * OWN;
    number sum[OWN][4];
    for (int e = 0; e < OWN * 4; e++) sum[e / 4][e % 4] = as_number(0);
    for (int c = 0; c < channels; c++) {
        stage(x + c * height * width, height, width, patch);
        const int e = threadIdx.y * blockDim.x + threadIdx.x, o = first + e / 9;
        if (e < 9 * OWN) weights[e] = o < outputs ? as_number(w[(o * channels + c) * 9 + e % 9]) : as_number(0);
        __syncthreads();
        for (int q = 0; q < 3; q++) {
            number seen[6];
            for (int r = 0; r < 6; r++) seen[r] = patch[top + r][threadIdx.x + q];
            for (int p = 0; p < 3; p++)
                for (int s = 0; s < OWN; s++) {
                    const number weight = weights[s * 9 + p * 3 + q];
                    for (int r = 0; r < 4; r++) sum[s][r] += weight * seen[r + p];
                }
        }
        __syncthreads();
    }
    for (int s = 0; s < OWN && first + s < outputs; s++)
        for (int r = 0; r < 4; r++) {
            const int i = blockIdx.y * TILE + top + r;
            if (i < height && j < width) out[((first + s) * height + i) * width + j] = (real)(wide)sum[s][r];
        }
}
