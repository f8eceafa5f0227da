// Exercise 13: a 3 × 3 convolution of one image, stride 1, padding 1.
//
//   out[o,i,j] = Σ_c,p,q  w[o,c,p,q] · x[c, i + p − 1, j + q − 1]      0 outside the image
//
//   x: (channels, height, width)   w: (outputs, channels, 3, 3)   out: (outputs, height, width)
//
// The kernel is right, and reads each pixel nine times for each output. Keep the launch: blocks of 16 × 16 threads, one
// thread for each pixel of a tile. Stage the block's patch of 18 × 18 pixels in shared memory, and the weights too.
#define TILE 16
#define MOST_OUTPUTS 4  // the size of an array must be a constant; `outputs` is at most this

// check: <<<(2, 2), (16, 16)>>> channels=3 outputs=4 height=30 width=32 x[2880] w[108] out[3840]
__global__ void conv(int channels, int outputs, int height, int width, const float* x, const float* w, float* out) {
    int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x;
    if (i >= height || j >= width) return;
    for (int o = 0; o < outputs; o++) {
        float sum = 0;
        for (int c = 0; c < channels; c++) {
            for (int tap = 0; tap < 9; tap++) {
                int y = i + tap / 3 - 1, z = j + tap % 3 - 1;
                if (y < 0 || y >= height || z < 0 || z >= width) continue;
                sum += w[(o * channels + c) * 9 + tap] * x[(c * height + y) * width + z];
            }
        }
        out[(o * height + i) * width + j] = sum;
    }
}
