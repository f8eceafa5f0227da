// resize.cu: bilinear resize of planes with aligned corners, and its adjoint; one thread computes each element.
//
//   Along one axis, output o lies at o·(in - 1) / (out - 1), or at 0 if out = 1: at input left = its floor, plus a
//   fraction f. It reads  (1 - f) · x[left] + f · x[left + 1].  A plane is interpolated along both axes:
//
//   out[i,j] = (1-fi)·(1-fj)·x[top,left] + (1-fi)·fj·x[top,left+1] + fi·(1-fj)·x[top+1,left] + fi·fj·x[top+1,left+1]
//   adjoint:   dx[h,w] = Σ_ij weight(i,h) · weight(j,w) · dout[i,j],   weight(o,k) = 1 - |position of o - k|, at least 0
//
//   x, dx: (planes, h, w)   out, dout: (planes, ho, wo)
//
// Positions are integers: left and `rest` = f·(out - 1) are the quotient and the remainder of o·(in - 1) / (out - 1). So
// they are exact in every type, and an input of weight 0 is never read: an infinity there leaves the output finite.
// The products need in · out < 2^31 along each axis.
// Grid (planes, tiles). A thread takes NEIGHBOURS elements of one row; it divides once, and steps from one to the next.
// In the adjoint a thread walks over the outputs that read its inputs: they lie between two quotients. No two threads
// add to the same element: no atomics, and the same bits in every run.
// Further cases for `minisk check`: cases/resize.txt.
#include "common.cuh"

// One axis of the resize. `steps` steps lead from its first output to its last.
struct Axis {
    int in, steps;
    __device__ __forceinline__ Axis(int in, int out) : in(in), steps(max(out - 1, 1)) {}
};

// Where an output reads: input `left`, and with weight rest / steps input left + 1.
struct Place {
    int left, rest;
    __device__ __forceinline__ Place(const Axis& at, int output)
        : left(output * (at.in - 1) / at.steps), rest(output * (at.in - 1) - left * at.steps) {}
    __device__ __forceinline__ wide fraction(const Axis& at) const { return (wide)rest / (wide)at.steps; }
    // To the next output; whole and part: quotient and remainder of (in - 1) / steps.
    __device__ __forceinline__ void advance(const Axis& at, int whole, int part) {
        const bool carries = rest + part >= at.steps;
        left += whole + carries, rest += part - (carries ? at.steps : 0);
    }
};

// The outputs that read input k lie above k - 1 and below k + 1: the first of them, and the one after the last.
__device__ __forceinline__ int first_output(const Axis& at, int k) {
    return k == 0 ? 0 : (k - 1) * at.steps / (at.in - 1) + 1;
}
__device__ __forceinline__ int end_of_outputs(const Axis& at, int k, int out) {
    return at.in == 1 ? out : min(out, ((k + 1) * at.steps - 1) / (at.in - 1) + 1);
}

// The weight of input k in an output that reads it.
__device__ __forceinline__ wide weight_of(const Axis& at, int output, int k) {
    return (wide)(at.steps - abs(output * (at.in - 1) - k * at.steps)) / (wide)at.steps;
}

__device__ __forceinline__ wide between(wide a, wide b, wide f) { return f == 0 ? a : (1 - f) * a + f * b; }

// check: <<<(2, 2), 32>>> planes=3 h=7 w=5 ho=14 wo=11 x[105] out[462]
extern "C" __global__ ANY_BLOCK void bilinear(
    const index_t planes, const int h, const int w, const int ho, const int wo, const real* __restrict__ x,
    real* __restrict__ out) {
    const Axis down(h, ho), right(w, wo);
    const int groups = ceil_div(wo, NEIGHBOURS), whole = (w - 1) / right.steps, part = (w - 1) % right.steps;
    PLANE_LOOP(plane, planes) {
        TILE_LOOP(unit, ho * groups) {
            const int i = unit / groups, j = (unit - i * groups) * NEIGHBOURS, lanes = min(NEIGHBOURS, wo - j);
            const Place row(down, i);
            const wide fi = row.fraction(down);
            const real* top = x + (plane * h + row.left) * w;
            const real* bottom = row.rest ? top + w : top;
            real* out_row = out + (plane * ho + i) * wo + j;
            Place at(right, j);
            for (int l = 0; l < lanes; l++, at.advance(right, whole, part)) {
                const wide fj = at.fraction(right);
                const int next = at.rest ? at.left + 1 : at.left;
                const wide above = between((wide)top[at.left], (wide)top[next], fj);
                out_row[l] = (real)between(above, between((wide)bottom[at.left], (wide)bottom[next], fj), fi);
            }
        }
    }
}

// Row k of dx, from column l on: first the rows of dout are mixed, NEIGHBOURS columns at a time, then the columns.
// check: <<<(2, 2), 32>>> planes=3 h=7 w=5 ho=14 wo=11 dout[462] dx[105]
extern "C" __global__ ANY_BLOCK void bilinear_adjoint(
    const index_t planes, const int h, const int w, const int ho, const int wo, const real* __restrict__ dout,
    real* __restrict__ dx) {
    const Axis down(h, ho), right(w, wo);
    const int groups = ceil_div(w, NEIGHBOURS), whole = (w - 1) / right.steps, part = (w - 1) % right.steps;
    PLANE_LOOP(plane, planes) {
        TILE_LOOP(unit, h * groups) {
            const int k = unit / groups, l = (unit - k * groups) * NEIGHBOURS, lanes = min(NEIGHBOURS, w - l);
            const int top = first_output(down, k), bottom = end_of_outputs(down, k, ho);
            const int start = first_output(right, l), end = end_of_outputs(right, l + lanes - 1, wo);
            wide sum[NEIGHBOURS], mixed[NEIGHBOURS];
            for (int s = 0; s < lanes; s++) sum[s] = 0;
            Place at(right, start);
            for (int j = start; j < end; j += NEIGHBOURS) {
                const int columns = min(NEIGHBOURS, end - j);
                for (int m = 0; m < columns; m++) mixed[m] = 0;
                for (int i = top; i < bottom; i++) {
                    const wide weight = weight_of(down, i, k);
                    const real* row = dout + (plane * ho + i) * wo + j;
                    for (int m = 0; m < columns; m++) mixed[m] += weight * (wide)row[m];
                }
                for (int m = 0; m < columns; m++, at.advance(right, whole, part)) {
                    const wide f = at.fraction(right);
                    const int s = at.left - l;  // -1 for an output between the input before column l and column l
                    if (s >= 0) sum[s] += (1 - f) * mixed[m];
                    if (at.rest && s + 1 < lanes) sum[s + 1] += f * mixed[m];
                }
            }
            real* dx_row = dx + (plane * h + k) * w + l;
            for (int s = 0; s < lanes; s++) dx_row[s] = (real)sum[s];
        }
    }
}
