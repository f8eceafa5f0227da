#define TILE 16
#define PATCH 18
#define MOST_OUTPUTS 4

// check: <<<(2, 2), (16, 16)>>> channels=3 outputs=4 height=30 width=32 x[2880] w[108] out[3840]
__global__ void conv(int channels, int outputs, int height, int width, const float* x, const float* w, float* out) {
    __shared__ float patch[PATCH][PATCH], weights[MOST_OUTPUTS][9];
    int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x;
    int thread = threadIdx.y * TILE + threadIdx.x;
    float sum[MOST_OUTPUTS] = {0, 0, 0, 0};
    for (int c = 0; c < channels; c++) {
        for (int e = thread; e < PATCH * PATCH; e += TILE * TILE) {
            int y = blockIdx.y * TILE + e / PATCH - 1, z = blockIdx.x * TILE + e % PATCH - 1;
            bool inside = y >= 0 && y < height && z >= 0 && z < width;
            patch[e / PATCH][e % PATCH] = inside ? x[(c * height + y) * width + z] : 0;
        }
        if (thread < outputs * 9) weights[thread / 9][thread % 9] = w[(thread / 9 * channels + c) * 9 + thread % 9];
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            float seen = patch[threadIdx.y + tap / 3][threadIdx.x + tap % 3];
            for (int o = 0; o < outputs; o++) sum[o] += weights[o][tap] * seen;
        }
        __syncthreads();
    }
    if (i >= height || j >= width) return;
    for (int o = 0; o < outputs; o++) out[(o * height + i) * width + j] = sum[o];
}
