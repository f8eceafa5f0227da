// Exercise 10: out[p,s] = a[p] · x[p,s] + y[p,s], one block for each plane p.
//
// The result is right. But each thread takes a run of neighbours, so the lanes of a warp read addresses far apart. Give
// the elements to the threads in another order, so that the sectors are the least possible.
//
// check: <<<5, 64>>> spatial=456 a[5] x[5*spatial] y[5*spatial] out[5*spatial]
__global__ void axpy_planes(int spatial, const float* a, const float* x, const float* y, float* out) {
    int each = (spatial + blockDim.x - 1) / blockDim.x;
    int first = threadIdx.x * each;
    for (int s = first; s < first + each; s++) {
        if (s < spatial) {
            int i = blockIdx.x * spatial + s;
            out[i] = a[blockIdx.x] * x[i] + y[i];
        }
    }
}
