// row_peak.cuh: the maximum of a row and the sum of exponentials below it, which softmax and cross entropy share.
// The includer includes common.cuh and exponential.cuh first.
#pragma once

struct Peak { wide top, sum; };  // top = max x, sum = Σ e^(x - top)

__device__ __forceinline__ wide larger(wide a, wide b) { return a > b ? a : b; }

// The peak of a row of n elements; the threads of the block share the work, and each gets the result.
__device__ __forceinline__ Peak row_peak(const real* x, int n) {
    wide top = -(wide)INFINITY;
    BLOCK_LOOP(i, n) top = larger((wide)x[i], top);
    top = block_max(top);
    return {top, sum_over_block(n, [&](const int i) { return exponential((wide)x[i] - top); })};
}
