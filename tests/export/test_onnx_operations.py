"""Each operation of the ONNX table gives onnxruntime minisk's numbers, for batches of any size."""

import numpy as np
import pytest

import minisk as ms
from minisk import ops
from minisk.export import export_onnx
from minisk.export.onnx_operations import WRITERS
from minisk.nn import BatchNorm2d, Module, Parameter

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

STEM = (3, 8, 8)  # an image of each batch: 3 channels, so that broadcasting over channels differs from over pixels


class Applied(Module):
    """A function as a network; w: (3, 4), a: (3,), both positive."""

    def __init__(self, function):
        rng = np.random.default_rng(1)
        self.w = Parameter(rng.uniform(0.5, 2, (3, 4)).astype(np.float32))
        self.a = Parameter(rng.uniform(0.5, 2, 3).astype(np.float32))
        self.norm = BatchNorm2d(3)
        self.norm.running_mean.data[...] = [0.1, -0.2, 0.3]
        self.norm.running_var.data[...] = [0.5, 1, 2]
        self.function = function
        self.eval()

    def forward(self, x):
        return self.function(self, x)


def run(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": x})[0]


def images(batch, shape=STEM, dtype=np.float32):
    return np.random.default_rng(batch).standard_normal((batch, *shape)).astype(dtype)


def assert_exported(tmp_path, model, shape=STEM, dtype=np.float32, tolerance=1e-5):
    """Export with a batch of one, and compare batches of 1 and 3 with minisk."""
    export_onnx(model, ms.tensor(images(1, shape, dtype)), tmp_path / "model.onnx")
    for batch in (1, 3):
        x = images(batch, shape, dtype)
        with ms.no_grad():
            expected = model(ms.tensor(x)).numpy()
        found = run(tmp_path / "model.onnx", x)
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


def gap(x):
    return ops.global_avg_pool2d(x)


# For each operation, a network that reaches it. `m` is the Applied module.
CASES = {
    "Abs": lambda m, x: x.abs(),
    "Add": lambda m, x: x + m.a.reshape(1, 3, 1, 1) + 2.5,
    "AddRelu": lambda m, x: ops.add_relu(x, x * x),
    "AvgPool2d": lambda m, x: ops.avg_pool2d(x, 3, 2, padding=1),
    "AvgPool2d without padding": lambda m, x: ops.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False),
    "AvgPool2d of a size that leaves a rest": lambda m, x: ops.avg_pool2d(x, (3, 2), (2, 3), padding=(1, 0)),
    "Axpy": lambda m, x: ops.axpy(gap(x), x, x * x),
    "BatchNorm": lambda m, x: m.norm(x),
    "BatchNorm with relu": lambda m, x: ops.batch_norm(x, m.a, m.a, m.a, m.a, False, eps=1e-3, relu=True),
    "BatchNorm of (N, C)": lambda m, x: ops.batch_norm(gap(x), m.a, m.a, m.a, m.a, False),
    "BroadcastTo": lambda m, x: gap(x).reshape(-1, 3, 1).broadcast_to((x.shape[0], 3, 5)),
    "BroadcastTo with a new axis": lambda m, x: x + m.a.reshape(3, 1, 1).broadcast_to((2, 3, 8, 8))[0],
    "Cast": lambda m, x: x.to(dtype="float64") * 3,
    "ChannelDot": lambda m, x: ops.channel_dot(x, x.abs()),
    "ChannelScale": lambda m, x: ops.channel_scale(gap(x), x),
    "Clip": lambda m, x: x.clip(-0.5, 0.25),
    "Clip of one side": lambda m, x: x.clip(min=0.1) + x.clip(max=0.2),
    "Concatenate": lambda m, x: ops.concatenate([x, x * x, x], axis=1),
    "Conv2d": lambda m, x: ops.conv2d(x, m.w.reshape(4, 3, 1, 1), m.w[0], stride=(2, 1), padding=(1, 2)),
    "Conv2d with groups": lambda m, x: ops.conv2d(x, m.w.reshape(3, 1, 2, 2), groups=3, dilation=(2, 1)),
    "Div": lambda m, x: x / m.w.sum() / 3,
    "Exp": lambda m, x: x.exp(),
    "GetItem": lambda m, x: x[:, 1:, ::2, -3:-1],
    "GetItem with integers": lambda m, x: x[:, -1, 2],
    "GetItem backwards": lambda m, x: x[:, ::-1, 5:1:-2, 6::-3],
    "GetItem with new axes": lambda m, x: x[:, None, 0, ..., None, 3],
    "GetItem of the batch": lambda m, x: x[0:][..., 2],
    "GlobalAvgPool2d": lambda m, x: gap(x),
    "Log": lambda m, x: (x.abs() + 1).log(),
    "LogSoftmax": lambda m, x: ops.log_softmax(x, axis=1),
    "Matmul": lambda m, x: gap(x) @ m.w,
    "Matmul of linear": lambda m, x: ops.linear(gap(x), m.w.T, m.w[0]),
    "Max": lambda m, x: x.max(axis=1, keepdims=True),
    "Max of two axes": lambda m, x: x.max(axis=(2, 3)),
    "MaxPool2d": lambda m, x: ops.max_pool2d(x, 3, 2, padding=1),
    "MaxPool2d in ceil mode": lambda m, x: ops.max_pool2d(x, 3, 2, ceil_mode=True),
    "MaxPool2d in ceil mode with padding": lambda m, x: ops.max_pool2d(x, (5, 3), (3, 4), (2, 1), ceil_mode=True),
    "Maximum": lambda m, x: ops.maximum(x, m.a.reshape(3, 1, 1) - 1),
    "Min": lambda m, x: x.min(axis=-1),
    "Minimum": lambda m, x: ops.minimum(x, 0.5),
    "Mul": lambda m, x: x * 2 * x,
    "Neg": lambda m, x: -x,
    "Pad": lambda m, x: ops.pad(x, ((0, 0), (1, 0), (0, 2), (3, 4))),
    "Pow": lambda m, x: x**2 + x.abs() ** 0.5,
    "PowOf": lambda m, x: 2**x,
    "Relu": lambda m, x: x.relu(),
    "Reshape": lambda m, x: x.reshape(x.shape[0], 3, -1),
    "Reshape to a matrix": lambda m, x: x.reshape(-1, 192),
    "Resize": lambda m, x: ops.interpolate(x, (13, 5)),
    "Resize to one row": lambda m, x: ops.interpolate(x, (1, 8)),
    "Resize to the same size": lambda m, x: ops.interpolate(x, 8),
    "Select": lambda m, x: ops.select(ops.stack([gap(x), gap(x * x), -gap(x)], 1), [x, x * x, x.abs()])[0],
    "Select: the weights": lambda m, x: ops.select(ops.stack([gap(x), gap(x * x)], 1), [x, x])[1],
    "Sigmoid": lambda m, x: (10 * x).sigmoid(),
    "Softmax": lambda m, x: ops.softmax(x, axis=-1),
    "Sqrt": lambda m, x: x.abs().sqrt(),
    "Sub": lambda m, x: 1 - x,
    "Sum": lambda m, x: x.sum(axis=(1, 3)),
    "Sum over no axis": lambda m, x: x.sum(axis=()) * 2,
    "Sum of mean and variance": lambda m, x: x.mean(axis=2) + x.var(axis=3, ddof=1),
    "Tanh": lambda m, x: x.tanh(),
    "ToDevice": lambda m, x: ops.shape.ToDevice.apply(x, device="cpu") + 1,
    "Transpose": lambda m, x: x.transpose(0, 2, 3, 1),
    "detach, and dropout in evaluation": lambda m, x: ops.dropout((x + 1).detach(), 0.5, training=False) * 2,
}


@pytest.mark.parametrize("case", CASES)
def test_the_exported_operation_gives_the_same_numbers(tmp_path, case):
    assert_exported(tmp_path, Applied(CASES[case]))


def test_every_operation_of_the_table_has_a_case():
    assert {function.__name__ for function in WRITERS} - {case.split(" ")[0].rstrip(":") for case in CASES} == set()


@pytest.mark.parametrize("size", range(5, 13))
def test_pooling_of_every_rest_has_the_same_windows(tmp_path, size):
    """Sizes 5 to 12 leave every rest of the strides 1 to 3, with and without a last window that lies partly outside."""

    def pools(m, x):
        parts = []
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 3, 0), (5, 3, 2)):
            for ceil_mode in (False, True):
                parts.append(ops.max_pool2d(x, kernel, stride, padding, ceil_mode).reshape(x.shape[0], -1))
            for counted in (False, True):
                parts.append(ops.avg_pool2d(x, kernel, stride, padding, counted).reshape(x.shape[0], -1))
        return ops.concatenate(parts, axis=1)

    assert_exported(tmp_path, Applied(pools), shape=(2, size, size + 1))


def test_a_float16_network_is_exported_in_float16(tmp_path):
    model = Applied(lambda m, x: m.norm(x).relu() * 0.1 + 1e-8)
    model.to(dtype="float16")
    assert_exported(tmp_path, model, dtype=np.float16, tolerance=2e-3)
