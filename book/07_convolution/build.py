"""Chapter 7: convolutions by loops, by views and by columns, and both gradients."""

import numpy as np


def conv_loops(x, weight):
    (n, _, h, w), (o, c, kh, kw) = x.shape, weight.shape
    out = np.zeros((n, o, h - kh + 1, w - kw + 1))
    for a, b, i, j in np.ndindex(out.shape):
        for d, p, q in np.ndindex(c, kh, kw):
            out[a, b, i, j] += weight[b, d, p, q] * x[a, d, i + p, j + q]
    return out


def taps(canvas, out_size, kernel, stride=1, dilation=1):
    """Yield p, q, and a view of what all outputs see there, (N, C, *out_size)."""
    for p, q in np.ndindex(*kernel):
        i, j = p * dilation, q * dilation
        rows = slice(i, i + stride * (out_size[0] - 1) + 1, stride)
        columns = slice(j, j + stride * (out_size[1] - 1) + 1, stride)
        yield p, q, canvas[:, :, rows, columns]


def out_size_of(x, kernel, stride, padding, dilation):
    spans = [dilation * (k - 1) + 1 for k in kernel]
    sizes = zip(x.shape[2:], spans)
    return tuple((size + 2 * padding - span) // stride + 1 for size, span in sizes)


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def by_group(x, groups):
    """(N, C, …) → (N, groups, C / groups, …)"""
    return x.reshape(len(x), groups, -1, *x.shape[2:])


def conv(x, weight, stride=1, padding=0, dilation=1, groups=1):
    """x: (N, C, H, W), weight: (O, C / groups, kh, kw) → (N, O, Ho, Wo)"""
    kernel = weight.shape[2:]
    size = out_size_of(x, kernel, stride, padding, dilation)
    w = weight.reshape(groups, -1, *weight.shape[1:])
    out = np.zeros((len(x), groups, w.shape[1], *size))
    for p, q, view in taps(padded(x, padding), size, kernel, stride, dilation):
        seen = by_group(view, groups)
        out += np.einsum("goc,ngchw->ngohw", w[..., p, q], seen)
    return out.reshape(len(x), -1, *size)


def columns_of(x, kernel, padding=0):
    """Return (C·kh·kw, N·Ho·Wo): what each output pixel sees, one column each."""
    size = out_size_of(x, kernel, 1, padding, 1)
    parts = [view for _, _, view in taps(padded(x, padding), size, kernel)]
    stacked = np.stack(parts, axis=2)  # (N, C, kh·kw, Ho, Wo)
    return stacked.transpose(1, 2, 0, 3, 4).reshape(x.shape[1] * len(parts), -1)


def conv_input_grad(dout, weight, shape, stride=1, padding=0, dilation=1, groups=1):
    """Return dx, of the given shape."""
    canvas = padded(np.zeros(shape), padding)
    w, g = weight.reshape(groups, -1, *weight.shape[1:]), by_group(dout, groups)
    for p, q, view in taps(canvas, dout.shape[2:], weight.shape[2:], stride, dilation):
        view += np.einsum("goc,ngohw->ngchw", w[..., p, q], g).reshape(view.shape)
    rows, columns = (slice(padding, padding + size) for size in shape[2:])
    return canvas[:, :, rows, columns]


def conv_weight_grad(x, dout, kernel, stride=1, padding=0, dilation=1, groups=1):
    """Return the gradient of the weights, (O, C / groups, *kernel)."""
    canvas = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    inputs, outputs = x.shape[1] // groups, dout.shape[1] // groups
    g = dout.reshape(len(dout), groups, outputs, *dout.shape[2:])
    dweight = np.zeros((groups, outputs, inputs, *kernel))
    for p, q, view in taps(canvas, dout.shape[2:], kernel, stride, dilation):
        seen = view.reshape(len(x), groups, inputs, *dout.shape[2:])
        dweight[..., p, q] = np.einsum("ngohw,ngchw->goc", g, seen)
    return dweight.reshape(-1, inputs, *kernel)
