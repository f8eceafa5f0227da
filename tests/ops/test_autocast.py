"""Mixed precision: which dtype each operation computes in, and gradients of float32 parameters through float16."""

import threading

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk import kernels, nn, ops
from minisk.kernels import reference

RNG = np.random.default_rng(0)


def randn(*shape, dtype="float32", requires_grad=False):
    return ms.tensor(RNG.standard_normal(shape).astype(dtype), requires_grad=requires_grad)


X, W, V = randn(2, 4, 5, 5), randn(6, 4, 1, 1), randn(3, 4)

DTYPES = {
    "conv2d": (lambda x: ops.conv2d(x, W), "float16"),
    "linear": (lambda x: ops.linear(x.transpose(0, 2, 3, 1), V), "float16"),
    "matmul": (lambda x: x @ randn(5, 2), "float16"),
    "matmul with an array": (lambda x: x @ np.ones((5, 2)), "float16"),
    "softmax": (lambda x: ops.softmax(x, axis=1), "float32"),
    "log_softmax": (lambda x: ops.log_softmax(x, axis=1), "float32"),
    "cross_entropy": (lambda x: ops.cross_entropy(x.reshape(2, -1), np.array([0, 3])), "float32"),
    "exp": (ops.exp, "float32"),
    "log": (lambda x: ops.log(abs(x)), "float32"),
    "relu": (ops.relu, None),
    "sum with float32": (lambda x: x + X, "float32"),
    "sum with a number": (lambda x: x * 0.1, None),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), None),
    "global_avg_pool2d": (ops.global_avg_pool2d, None),
}


@pytest.mark.parametrize("given", ["float16", "float32"])
@pytest.mark.parametrize("name", DTYPES)
def test_each_operation_computes_in_its_dtype(name, given):
    function, expected = DTYPES[name]
    with ms.autocast():
        out = function(X.to(dtype=given))
    assert out.dtype == (expected or given)


@pytest.mark.parametrize("name", DTYPES)
def test_float64_stays(name):
    with ms.autocast():
        out = DTYPES["relu" if name == "sum with float32" else name][0](X.to(dtype="float64"))
    assert out.dtype == "float64"


def test_the_mode_belongs_to_a_thread_and_to_a_block():
    seen = []

    @ms.autocast()
    def decorated():
        return ops.conv2d(X, W).dtype

    with ms.autocast():
        thread = threading.Thread(target=lambda: seen.append((ms.is_autocast_enabled(), ops.conv2d(X, W).dtype)))
        thread.start()
        thread.join()
        with ms.autocast(False):
            assert ops.conv2d(X, W).dtype == "float32"
        assert ms.is_autocast_enabled()
    assert seen == [(False, "float32")]
    assert decorated() == "float16" and ops.conv2d(X, W).dtype == "float32"
    with pytest.raises(ms.DtypeError, match="float16 and float32"):
        X + X.to(dtype="float16")


def test_gradients_of_float32_parameters_are_float32_and_those_of_float16_rounding():
    weight, bias = randn(6, 4, 3, 3, requires_grad=True), randn(6, requires_grad=True)
    x = randn(2, 4, 6, 6, requires_grad=True)
    found = []
    for mixed in (False, True):
        with ms.autocast(mixed):
            out = ops.conv2d(x, weight, bias, padding=1)
        found.append(ms.grad((out * out).sum(), [x, weight, bias]))
    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype == "float32"
        scale = abs(exact.numpy()).max()
        assert 0 < abs(exact.numpy() - rounded.numpy()).max() < 4e-3 * scale


def test_recomputed_modules_run_in_the_same_precision():
    ms.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8, relu=True), nn.Conv2d(8, 2, 1))
    gradients = []
    for run in (module, lambda x: nn.recompute(module, x)):
        module.zero_grad()
        with ms.autocast():
            out = run(X)
        assert out.dtype == "float16"
        out.backward(ms.tensor(np.ones(out.shape, np.float16)))
        gradients.append([p.grad.numpy() for p in module.parameters()])
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_array_equal(one, other)


# --- Batch norm of float16 images with float32 scale and bias -----------------------------------------------------


def batch_norm_inputs(x_dtype, parameters_dtype):
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype(np.float16) for shape in ((6, 4, 5, 5), (4,), (4,))]
    tensors = [
        ms.tensor(a.astype(d), requires_grad=True)
        for a, d in zip(arrays, (x_dtype, *[parameters_dtype] * 2), strict=True)
    ]
    running = [ms.tensor(np.zeros(4, np.float32)), ms.tensor(np.ones(4, np.float32))]
    return tensors, running


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("create_graph", [False, True])
def test_batch_norm_keeps_its_parameters_in_float32(training, create_graph):
    found = []
    for x_dtype in ("float16", "float64"):
        tensors, running = batch_norm_inputs(x_dtype, "float32" if x_dtype == "float16" else "float64")
        out = ops.batch_norm(*tensors, *running, training=training, relu=True)
        dout = ms.tensor(np.linspace(-1, 1, out.data.size).reshape(out.shape).astype("float16").astype(x_dtype))
        gradients = ms.grad(out, tensors, dout, create_graph=create_graph)
        found.append([out, *gradients, *running])
        if create_graph:
            found[-1] += ms.grad(
                ops.cast(gradients[0], gradients[1].dtype).sum() + gradients[1].sum() * 2.0, tensors[:2]
            )
    assert [str(x.dtype) for x in found[0][:4]] == ["float16", "float16", "float32", "float32"]
    for seen, exact, tolerance in zip(*found, [2e-3, 2e-3, 1e-5, 1e-5, 1e-6, 1e-6, 4e-3, 1e-4], strict=False):
        scale = max(abs(exact.numpy()).max(), 1.0)
        assert abs(seen.numpy().astype(np.float64) - exact.numpy()).max() < tolerance * scale


@needs_compiler
def test_the_kernels_of_batch_norm_take_float32_parameters():
    rng = np.random.default_rng(2)
    for shape in ((3, 4, 6, 6), (40, 2, 30, 30)):  # a channel is a block's work; a channel in parts
        x, dout = (rng.standard_normal(shape).astype(np.float16) for _ in range(2))
        weight, bias = (rng.standard_normal(shape[1]).astype(np.float32) for _ in range(2))
        results = []
        for implementation, mode in ((reference, "numpy"), (kernels, "threads")):
            with kernel_mode(mode):
                out, statistics = implementation.batch_norm_train(x, weight, bias, 1e-5, True)
                arguments = (weight, bias, statistics, 1e-5, True)
                results.append([out, *implementation.batch_norm_backward(dout, x, *arguments, True)])
        for expected, seen in zip(*results, strict=True):
            assert seen.dtype == expected.dtype
            np.testing.assert_allclose(seen, expected, rtol=2e-3, atol=2e-3 * abs(expected).max())


@pytest.mark.parametrize("dtypes", [("float32", "float16"), ("float64", "float32"), ("float16", "float64")])
def test_batch_norm_refuses_other_pairs_of_dtypes(dtypes):
    tensors, running = batch_norm_inputs(*dtypes)
    with pytest.raises(ms.DtypeError, match="batch_norm: expected one floating dtype"):
        ops.batch_norm(*tensors, *running, training=True)
