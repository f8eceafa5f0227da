#include "common.cuh"

// check: <<<3, 64>>> spatial=556 x[3*spatial] out[3]
extern "C" __global__ void plane_sum(const int spatial, const real* x, real* out) {
    __shared__ wide of_warp[2];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const real* plane = x + blockIdx.x * spatial;
    wide total = 0;
    for (int s = 4 * threadIdx.x; s < spatial; s += 4 * 64) {
        const four elements = load4(plane + s);
        for (int k = 0; k < 4; k++) total += (wide)elements.item[k];
    }
    for (int distance = 16; distance > 0; distance /= 2) total += __shfl_xor_sync(0xffffffff, total, distance);
    if (lane == 0) of_warp[warp] = total;
    __syncthreads();
    if (threadIdx.x == 0) out[blockIdx.x] = (real)(of_warp[0] + of_warp[1]);
}
