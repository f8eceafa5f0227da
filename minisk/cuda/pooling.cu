// pooling.cu: max pool, average pool, and the gradients of both; one thread computes each element.
//
//   max:  out[i,j] = the largest x in window (i,j); winner[i,j] = the number of its tap (the first of equals; NaN wins)
//   mean: out[i,j] = Σ x in window (i,j) / count(i,j)
//   count(i,j) = kh·kw, padding counted as zeros; or, if count_padding is 0, the elements of x in the window
//   Tap (p,q) of window (i,j) reads x[i·sh + p - ph, j·sw + q - pw].
//   scatter: dx[h,w] = Σ dout over the windows that (h,w) won        gather, its adjoint: out[i,j] = x at the winner
//   spread:  dx[h,w] = Σ dout / count over the windows that contain (h,w)
//
//   x, dx: (planes, h, w)   out, dout, winner: (planes, ho, wo)
//
// Grid (planes, tiles). A block takes several small planes in turn, except in the gradients, which gcc vectorises less
// well inside a loop over planes.
// Forward: a thread takes NEIGHBOURS windows of one row, tap by tap.
// Gradient: a thread takes NEIGHBOURS *cells* of one row. A cell is the sh·sw inputs from one window's start to the
// next's. Cell (i,j) lies in the windows (i,j), (i-1,j), …, so a thread finds them without a division.
// No two threads add to the same element: no atomics, and the same bits in every run.
// The common windows are compiled for their width and stride, so that their taps unroll.
// Further cases for `minisk check`: cases/pooling.txt.
#include "common.cuh"

struct Window { int h, w, kh, kw, sh, sw, ph, pw, ho, wo, count_padding = 1; };

#define FOR_WINDOW(at, function, ...)                                                                                 \
    if (at.kw == 2 && at.sw == 2) function<2, 2>(at, __VA_ARGS__);                                                    \
    else if (at.kw == 3 && at.sw == 2) function<3, 2>(at, __VA_ARGS__);                                               \
    else if (at.kw == 3 && at.sw == 1) function<3, 1>(at, __VA_ARGS__);                                               \
    else function<0, 0>(at, __VA_ARGS__)

struct Lanes { int from, to; };

// The neighbours, of `lanes`, that lie wholly within [0, size); neighbour l covers `span` places from first + l·step.
__device__ __forceinline__ Lanes within(int first, int step, int span, int lanes, int size) {
    const int from = min(lanes, max(0, ceil_div(-first, step))), room = size - span - first;
    return {from, max(from, min(lanes, room < 0 ? 0 : room / step + 1))};
}

// Along one axis of `size` elements: how many elements count in the mean of a window that starts at `first`.
__device__ __forceinline__ int counted(const Window at, int first, int kernel, int size) {
    return at.count_padding ? kernel : min(first + kernel, size) - max(first, 0);
}

// The running results of a thread's NEIGHBOURS windows: a maximum or a sum.
struct Largest {
    static constexpr bool in_any_order = false;
    wide best[NEIGHBOURS];
    int winner[NEIGHBOURS];
    __device__ __forceinline__ void start(int l, int tap) { best[l] = -(wide)INFINITY, winner[l] = tap; }
    __device__ __forceinline__ void see(int l, int tap, wide value) {
        const bool is_better = !(value <= best[l]) && best[l] == best[l];  // a NaN wins, and stays
        best[l] = is_better ? value : best[l];
        winner[l] = is_better ? tap : winner[l];
    }
};
struct Sum {
    static constexpr bool in_any_order = true;
    wide sum[NEIGHBOURS];
    __device__ __forceinline__ void start(int l, int) { sum[l] = 0; }
    __device__ __forceinline__ void see(int l, int, wide value) { sum[l] += value; }
};

// Adds one row of x to the windows, tap by tap. first: where window 0 starts in the row; tap: number of its first tap.
template <int KW, int SW, class Seen>
__device__ __forceinline__ void see_row(const Window at, const real* row, int first, int lanes, int tap, Seen& seen) {
    const int kw = KW ? KW : at.kw, sw = SW ? SW : at.sw;
    const Lanes whole = within(first, sw, kw, lanes, at.w);
    if (Seen::in_any_order && whole.to - whole.from == lanes) {  // all taps of a window at once: one pass
        for (int l = 0; l < lanes; l++)
            for (int q = 0; q < kw; q++) seen.see(l, tap + q, (wide)row[first + q + l * sw]);
        return;
    }
    for (int q = 0; q < kw; q++) {
        const Lanes seeing = within(first + q, sw, 1, lanes, at.w);
        for (int l = seeing.from; l < seeing.to; l++) seen.see(l, tap + q, (wide)row[first + q + l * sw]);
    }
}

template <int KW, int SW, class Seen>
__device__ __forceinline__ void see_windows(const Window at, const real* x, int i, int j, int lanes, Seen& seen) {
    const int top = i * at.sh - at.ph, first = max(0, -top);
    for (int l = 0; l < lanes; l++) seen.start(l, first * at.kw + max(0, at.pw - (j + l) * at.sw));  // first tap inside
    for (int p = first; p < min(at.kh, at.h - top); p++)
        see_row<KW, SW>(at, x + (top + p) * at.w, j * at.sw - at.pw, lanes, p * at.kw, seen);
}

template <int KW, int SW>
__device__ __forceinline__ void max_of_windows(const Window at, const real* __restrict__ x, real* __restrict__ out,
                                               int* __restrict__ winner) {
    const int groups = ceil_div(at.wo, NEIGHBOURS);
    TILE_LOOP(unit, at.ho * groups) {
        const int i = unit / groups, j = (unit - i * groups) * NEIGHBOURS, lanes = min(NEIGHBOURS, at.wo - j);
        Largest seen;
        see_windows<KW, SW>(at, x, i, j, lanes, seen);
        for (int l = 0; l < lanes; l++) out[i * at.wo + j + l] = (real)seen.best[l];
        for (int l = 0; l < lanes; l++) winner[i * at.wo + j + l] = seen.winner[l];
    }
}

template <int KW, int SW>
__device__ __forceinline__ void mean_of_windows(const Window at, const real* __restrict__ x, real* __restrict__ out) {
    const int groups = ceil_div(at.wo, NEIGHBOURS);
    TILE_LOOP(unit, at.ho * groups) {
        const int i = unit / groups, j = (unit - i * groups) * NEIGHBOURS, lanes = min(NEIGHBOURS, at.wo - j);
        Sum seen;
        see_windows<KW, SW>(at, x, i, j, lanes, seen);
        const int rows = counted(at, i * at.sh - at.ph, at.kh, at.h), first = j * at.sw - at.pw;
        for (int l = 0; l < lanes; l++) {
            const int count = rows * counted(at, first + l * at.sw, at.kw, at.w);
            out[i * at.wo + j + l] = (real)(seen.sum[l] / (wide)count);
        }
    }
}

// The gradient of a plane: the scatter of a max pool if there are winners, the spread of a mean pool if null.
template <int KW, int SW>
__device__ __forceinline__ void gradient(const Window at, const real* __restrict__ dout, const int* __restrict__ winner,
                                         real* __restrict__ dx) {
    const int kw = KW ? KW : at.kw, sw = SW ? SW : at.sw;
    constexpr int side = SW ? SW : 1;  // neighbours in a cell that are taken together
    const int cells = ceil_div(at.w + at.pw, sw), groups = ceil_div(cells, NEIGHBOURS);
    TILE_LOOP(unit, ceil_div(at.h + at.ph, at.sh) * groups) {
        const int i = unit / groups, j = (unit - i * groups) * NEIGHBOURS, lanes = min(NEIGHBOURS, cells - j);
        for (int down = max(0, at.ph - i * at.sh); down < min(at.sh, at.h + at.ph - i * at.sh); down++)
            for (int right = 0; right < sw; right += side) {
                wide sum[side][NEIGHBOURS];
                for (int s = 0; s < side; s++)
                    for (int l = 0; l < lanes; l++) sum[s][l] = 0;
                for (int p = down, row = i; p < at.kh && row >= 0; p += at.sh, row--) {
                    if (row >= at.ho) continue;
                    const int rows = counted(at, row * at.sh - at.ph, at.kh, at.h);
                    const wide share = winner ? (wide)1 : 1 / (wide)(rows * kw);  // of a window with all its columns
                    for (int q = right; q < kw; q += SW ? 1 : sw) {
                        const int first = j - q / sw, s = q % side, tap = p * kw + q;
                        const Lanes seen = within(first, 1, 1, lanes, at.wo);
                        const real* dout_run = dout + row * at.wo + first;
                        const int* winner_run = winner + row * at.wo + first;
                        auto add_part = [&](int l) {  // of a window that reaches into the padding
                            const int columns = counted(at, (first + l) * sw - at.pw, kw, at.w);
                            sum[s][l] += (wide)dout_run[l] / (wide)(rows * columns);
                        };
                        Lanes whole = seen;
                        if (!at.count_padding) {
                            whole = within(first * sw - at.pw, sw, kw, lanes, at.w);
                            whole.from = min(max(whole.from, seen.from), seen.to);
                            whole.to = max(min(whole.to, seen.to), whole.from);
                        }
                        for (int l = seen.from; l < whole.from; l++) add_part(l);
                        for (int l = whole.from; l < whole.to; l++)
                            sum[s][l] += !winner || winner_run[l] == tap ? share * (wide)dout_run[l] : (wide)0;
                        for (int l = whole.to; l < seen.to; l++) add_part(l);
                    }
                }
                const int first = j * sw + right - at.pw;
                const Lanes whole = within(first, sw, side, lanes, at.w);
                real* dx_run = dx + (i * at.sh + down - at.ph) * at.w + first;
                for (int l = whole.from; l < whole.to; l++)
                    for (int s = 0; s < side; s++) dx_run[l * sw + s] = (real)sum[s][l];
                auto store_part = [&](int l) {  // of a cell that reaches into the padding
                    for (int s = 0; s < side; s++)
                        if (first + l * sw + s >= 0 && first + l * sw + s < at.w)
                            dx_run[l * sw + s] = (real)sum[s][l];
                };
                for (int l = 0; l < whole.from; l++) store_part(l);
                for (int l = whole.to; l < lanes; l++) store_part(l);
            }
    }
}

// check: <<<(2, 2), 32>>> planes=3 h=21 w=18 kh=3 kw=3 sh=2 sw=2 ph=1 pw=1 ho=11 wo=9 x[1134] out[297] winner[297]
extern "C" __global__ ANY_BLOCK void max_pool(
    const index_t planes, const int h, const int w, const int kh, const int kw, const int sh, const int sw,
    const int ph, const int pw, const int ho, const int wo, const real* __restrict__ x, real* __restrict__ out,
    int* __restrict__ winner) {
    const Window at = {h, w, kh, kw, sh, sw, ph, pw, ho, wo};
    PLANE_LOOP(plane, planes) {
        FOR_WINDOW(at, max_of_windows, x + plane * h * w, out + plane * ho * wo, winner + plane * ho * wo);
    }
}

// check: <<<(2, 2), 32>>> planes=3 h=21 w=18 kh=3 kw=3 sh=2 sw=2 ph=1 pw=1 ho=11 wo=9 count_padding=1 x[1134] out[297]
extern "C" __global__ ANY_BLOCK void mean_pool(
    const index_t planes, const int h, const int w, const int kh, const int kw, const int sh, const int sw,
    const int ph, const int pw, const int ho, const int wo, const int count_padding,
    const real* __restrict__ x, real* __restrict__ out) {
    const Window at = {h, w, kh, kw, sh, sw, ph, pw, ho, wo, count_padding};
    PLANE_LOOP(plane, planes) {
        FOR_WINDOW(at, mean_of_windows, x + plane * h * w, out + plane * ho * wo);
    }
}

// check: <<<(2, 2), 32>>> h=21 w=18 kh=3 kw=3 sh=2 sw=2 ph=1 pw=1 ho=11 wo=9 dout[198] winner[198]=below(9) dx[756]
extern "C" __global__ ANY_BLOCK void max_pool_scatter(
    const int h, const int w, const int kh, const int kw, const int sh, const int sw, const int ph, const int pw,
    const int ho, const int wo, const real* __restrict__ dout, const int* __restrict__ winner, real* __restrict__ dx) {
    const Window at = {h, w, kh, kw, sh, sw, ph, pw, ho, wo};
    const long long plane = blockIdx.x, outs = plane * ho * wo;
    FOR_WINDOW(at, gradient, dout + outs, winner + outs, dx + plane * h * w);
}

// check: <<<(2, 2), 32>>> h=21 w=18 kh=3 kw=3 sh=2 sw=2 ph=1 pw=1 ho=11 wo=9 count_padding=1 dout[198] dx[756]
extern "C" __global__ ANY_BLOCK void mean_pool_spread(
    const int h, const int w, const int kh, const int kw, const int sh, const int sw, const int ph, const int pw,
    const int ho, const int wo, const int count_padding, const real* __restrict__ dout, real* __restrict__ dx) {
    const Window at = {h, w, kh, kw, sh, sw, ph, pw, ho, wo, count_padding};
    const long long plane = blockIdx.x;
    FOR_WINDOW(at, gradient, dout + plane * ho * wo, (const int*)nullptr, dx + plane * h * w);
}

extern "C" __global__ ANY_BLOCK void max_pool_gather(
    const index_t planes, const int h, const int w, const int kh, const int kw, const int sh, const int sw,
    const int ph, const int pw, const int ho, const int wo, const real* __restrict__ x, const int* __restrict__ winner,
    real* __restrict__ out) {
    PLANE_LOOP(plane, planes) {
        const real* x_plane = x + plane * h * w;
        const long long first = plane * ho * wo;
        TILE_LOOP(s, ho * wo) {
            const int i = s / wo, j = s - i * wo, tap = winner[first + s], p = tap / kw;
            const int row = i * sh + p - ph, column = j * sw + tap - p * kw - pw;
            const bool is_inside = row >= 0 && row < h && column >= 0 && column < w;  // a window of -inf has no winner
            out[first + s] = is_inside ? x_plane[row * w + column] : (real)0;
        }
    }
}
