"""The ONNX export of whole networks: every model, the command, and what is refused in a sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest

import minisk as ms
from minisk import models, nn, ops
from minisk.cli import main
from minisk.data import normalize
from minisk.evaluation import load_classifier
from minisk.export import OnnxGraph, export_onnx, writes
from minisk.export.onnx_operations import WRITERS

TRAINED = "sknet_small-cifar10"


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


@pytest.fixture
def run():
    onnxruntime = pytest.importorskip("onnxruntime")

    def session(path, x):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"images": x})

    return session


def small(forward=None):
    """Return a network of one convolution, in evaluation mode; forward(model, x) replaces its forward."""

    class Small(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            out = self.conv(x)
            return ops.global_avg_pool2d(out) if forward is None else forward(self, out)

    return Small().eval()


def set_statistics(model, size):
    """Set the running statistics to those of four random images, so that the logits are of the size of trained ones."""
    for module in model.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1.0
    model.train()
    with ms.no_grad():
        model(ms.randn(4, 3, size, size))
    return model.eval()


SMALL = ("sknet_small", "sknet29", "small_se", "small_cbam", "small_bam", "skresnet18")
MODELS = [name if name in SMALL else pytest.param(name, marks=pytest.mark.large) for name in models.NAMES]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_the_same_logits_in_onnxruntime(onnx, run, name, tmp_path):
    """Images are as small as the model allows: the geometry of every layer is tested, at a fraction of the time.

    The logits agree to 1e-5, or about as well as minisk's own in float32 and float64. A deep network with random
    weights makes every rounding error larger, and its logits are large. In resnext50 they reach 107; onnxruntime and
    minisk are 0.0019 and 0.0018 away from float64, and 0.0037 from each other. In sknet_small it is 3e-7 of 0.35. That
    this is float32's rounding alone shows in float64, below.
    """
    ms.manual_seed(1)
    size = min(models.input_size(name), max(32, models.info(name).smallest_size))
    model = set_statistics(models.create(name, 10), size)
    proto = export_onnx(model, ms.randn(1, 3, size, size), tmp_path / "model.onnx")
    assert (proto.ir_version, [(o.domain, o.version) for o in proto.opset_import]) == (8, [("", 17)])
    x = ms.randn(2, 3, size, size)
    (found,) = run(tmp_path / "model.onnx", x.numpy())
    with ms.no_grad():
        expected = model(x).numpy()
        precise = model.to(dtype="float64")(x.to(dtype="float64")).numpy()
    assert np.abs(found - expected).max() <= max(1e-5, 10 * np.abs(expected - precise).max())


@pytest.mark.parametrize(
    "name",
    ["sknet_small", "small_se", "small_cbam", "small_bam", "skresnet34", "resnext50", "sknet50", "resnext50_cbam"],
)
def test_in_float64_the_logits_agree_to_twelve_digits(onnx, name, tmp_path):
    """By onnx's own evaluator, because onnxruntime has no convolution in float64.

    ONNX holds the eps of batch norm in float32, so it is set to a number that float32 holds exactly; with 1e-5, nine
    digits agree.
    """
    from onnx.reference import ReferenceEvaluator

    ms.manual_seed(1)
    model = set_statistics(models.create(name, 10), 32).to(dtype="float64")
    for module in model.modules():
        if hasattr(module, "eps"):
            module.eps = 2.0**-17
    proto = export_onnx(model, ms.randn(1, 3, 32, 32, dtype="float64"), tmp_path / "model.onnx")
    x = ms.randn(2, 3, 32, 32, dtype="float64")
    with ms.no_grad():
        expected = model(x).numpy()
    (found,) = ReferenceEvaluator(proto).run(None, {"images": x.numpy()})
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.core
def test_a_file_has_an_open_batch_names_of_parameters_and_metadata(onnx, tmp_path):
    model = small()
    about = {"model": "small", "classes": ["a", "b"]}
    export_onnx(model, ms.randn(2, 3, 8, 9), tmp_path / "model.onnx", metadata=about)
    proto = onnx.load(tmp_path / "model.onnx")
    (given,), (result,) = proto.graph.input, proto.graph.output
    shapes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (given, result)]
    assert (given.name, result.name, shapes) == ("images", "logits", [["batch", 3, 8, 9], ["batch", 4]])
    assert {"conv.weight", "conv.bias"} <= {constant.name for constant in proto.graph.initializer}
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"model": "small", "classes": '["a", "b"]'}
    assert proto.producer_name == "minisk"


def test_a_parameter_that_no_operation_uses_is_left_out(onnx, tmp_path):
    model = small()
    model.unused = nn.Linear(1000, 1000).eval()
    proto = export_onnx(model, ms.randn(1, 3, 8, 8), tmp_path / "model.onnx")
    assert not [c.name for c in proto.graph.initializer if c.name.startswith("unused")]


def test_the_normalization_can_be_part_of_the_file(onnx, run, tmp_path):
    model = small()
    normalization = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    export_onnx(model, ms.randn(1, 3, 8, 8), tmp_path / "model.onnx", normalization=normalization)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)).astype(np.uint8)
    expected = model(ms.tensor(normalize(pixels, **normalization))).numpy()
    (found,) = run(tmp_path / "model.onnx", pixels.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Cube(ms.Function):
    @staticmethod
    def forward(ctx, x):
        return x**3


def test_an_operation_without_an_entry_is_named_and_can_be_added(onnx, run, tmp_path):
    model, x = small(lambda m, x: Cube.apply(x).sum(axis=(2, 3))), ms.randn(1, 3, 8, 8)
    with pytest.raises(ms.MiniskError, match=r"export_onnx: the operation 'cube' has no ONNX form here"):
        export_onnx(model, x, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())

    @writes(Cube)
    def _cube(graph: OnnxGraph, x: ms.Tensor) -> str:
        return graph.add("Mul", graph.add("Mul", x, x), x)

    try:
        export_onnx(model, x, tmp_path / "model.onnx")
    finally:
        del WRITERS[Cube]
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x.numpy())[0], model(x).detach(), rtol=1e-5)


class Relu(ms.Function):
    """An operation of a user, with the name of one of minisk's and another result."""

    @staticmethod
    def forward(ctx, x):
        return -x


def in_place(model, x):
    y = x * 1
    y += 1
    return y.sum(axis=(2, 3))


REFUSED = {
    "in training mode": (lambda: small().train(), r"the model is in training mode; call model\.eval\(\) first"),
    "one module in training mode": (lambda: _one_in_training(), "in training mode"),
    "a user's operation of the same name": (
        lambda: small(lambda m, x: Relu.apply(x)),
        "operation 'relu' has no ONNX form",
    ),
    "batch norm of the batch": (
        lambda: small(lambda m, x: ops.batch_norm(x, *[ms.ones(4)] * 4, training=True)),
        "batch_norm is in training mode",
    ),
    "dropout": (lambda: small(lambda m, x: ops.dropout(x, 0.5)), "operation 'masked' has no ONNX form"),
    "an array as index": (lambda: small(lambda m, x: x[:, [0, 1]]), "with a list in the index has no ONNX form"),
    "a mask as index": (lambda: small(lambda m, x: x[x > 0]), "with a ndarray in the index has no ONNX form"),
    "a change in place": (lambda: small(in_place), r"of shape \(1, 4, 6, 6\) was changed in place during forward"),
    "the size of the batch as a number": (
        lambda: small(lambda m, x: x.sum(axis=(2, 3)) * x.shape[0]),
        "is no constant: only values that operations compute",
    ),
    "a shape with the batch inside": (
        lambda: small(lambda m, x: x.reshape(-1, x.shape[0], 36).sum(axis=2)),
        "depends on the size of the batch",
    ),
    "a value computed with NumPy": (
        lambda: small(lambda m, x: x.sum(axis=(2, 3)) - float(x.data.mean())),
        "is no constant: only values that operations compute",
    ),
    "a mean over the batch": (lambda: small(lambda m, x: x.mean(axis=0)), "depends on the size of the batch|no const"),
    "a maximum over the batch": (
        lambda: small(lambda m, x: x.max(axis=0)),
        r"the output \(4, 6, 6\) must have the batch as first axis",
    ),
    "two outputs": (lambda: small(lambda m, x: (x, x)), "the model returned a tuple, expected one tensor"),
    "a scalar": (lambda: small(lambda m, x: x.max()), r"the model returned a tensor of shape \(\), expected"),
}


def _one_in_training():
    model = small()
    model.conv.training = True
    return model


@pytest.mark.parametrize("case", REFUSED)
def test_what_onnx_could_not_say_is_refused_in_one_sentence(onnx, tmp_path, case):
    make, sentence = REFUSED[case]
    with pytest.raises(ms.MiniskError, match=sentence) as caught:
        export_onnx(make(), ms.randn(1, 3, 8, 8), tmp_path / "model.onnx")
    assert str(caught.value).startswith("export_onnx: ") and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_empty_example_and_a_graph_that_the_checker_refuses_are_named(onnx, tmp_path):
    with pytest.raises(ms.MiniskError, match=r"example \(0, 3, 8, 8\) must hold at least one input"):
        export_onnx(small(), ms.zeros(0, 3, 8, 8), tmp_path / "model.onnx")
    writes(Cube)(lambda graph, x: graph.add("Cube", x))
    try:
        with pytest.raises(ms.MiniskError, match=r"onnx's checker refuses the graph: .*Cube") as caught:
            export_onnx(small(lambda m, x: Cube.apply(x)), ms.randn(1, 3, 8, 8), tmp_path / "model.onnx")
    finally:
        del WRITERS[Cube]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["images", "logits"])
def test_a_parameter_with_the_name_of_an_input_is_refused(onnx, tmp_path, name):
    model = small()
    setattr(model, name, nn.Parameter(np.ones(4, np.float32)))
    with pytest.raises(ms.MiniskError, match=f"'{name}' is the graph's input or output, and can't name a parameter"):
        export_onnx(model, ms.randn(1, 3, 8, 8), tmp_path / "model.onnx")


def test_a_file_that_cannot_be_written_leaves_the_old_one(onnx, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", _full_disk)
    with pytest.raises(ms.MiniskError, match=r"model\.onnx can't be written: No space left"):
        export_onnx(small(), ms.randn(1, 3, 8, 8), path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def _full_disk(descriptor):
    raise OSError(28, "No space left on device")


def test_without_onnx_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ms.MiniskError, match=r'export_onnx needs onnx: pip install "minisk\[onnx\]"'):
        export_onnx(small(), ms.randn(1, 3, 8, 8), tmp_path / "model.onnx")


def test_onnx_is_not_imported_before_an_export():
    code = "import sys, minisk as ms; ms.export_onnx; import minisk.cli; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


# --- The command ---------------------------------------------------------------------------------------------


def metadata_of(onnx, path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("included", [False, True])
def test_the_command_exports_a_trained_network_with_classes_and_normalization(onnx, run, tmp_path, capsys, included):
    path = tmp_path / "model.onnx"
    assert main(["export", TRAINED, str(path), *["--include-normalization"] * included]) == 0
    assert "sknet_small with trained weights" in capsys.readouterr().out
    classifier = load_classifier(TRAINED)
    about = metadata_of(onnx, path)
    assert json.loads(about["classes"]) == list(classifier.classes)
    assert json.loads(about["normalization"]) == classifier.normalization
    assert (about["model"], about["dataset"], about["image_size"]) == ("sknet_small", "cifar10", "32")
    assert about["input"] == ("pixels of 0 … 255" if included else "normalized images")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32)).astype(np.uint8)
    images = normalize(pixels, **classifier.normalization)
    with ms.no_grad():
        expected = classifier.model(ms.tensor(images)).numpy()
    (found,) = run(path, pixels.astype(np.float32) if included else images)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_command_exports_a_checkpoint_file(onnx, tmp_path):
    path = tmp_path / "model.onnx"
    assert main(["export", str(models.TRAINED[TRAINED]), str(path)]) == 0
    assert metadata_of(onnx, path)["weights"] == "trained"


def test_the_command_exports_a_model_with_random_weights_of_any_size(onnx, tmp_path, capsys):
    path = tmp_path / "a model.onnx"
    assert main(["export", "seresnext29", str(path), "--num-classes", "7", "--size", "24"]) == 0
    assert "(batch, 3, 24, 24) → (batch, 7)" in capsys.readouterr().out
    about = metadata_of(onnx, path)
    assert (about["weights"], about["image_size"], about["channel_order"]) == ("random", "24", "RGB")
    assert "classes" not in about and "normalization" not in about


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nothing"],
            "'nothing' is no file and no known network: expected a checkpoint, or one of sknet_small",
        ),
        (["sknet_small", "--size", "0"], "--size 0 must be at least 1"),
        (["sknet_small", "--num-classes", "-1"], "--num-classes -1 must be at least 1"),
        ([TRAINED, "--num-classes", "3"], "--num-classes 3 is for models with random weights, not for sknet_small"),
        (["sknet_small", "--include-normalization"], "sknet_small has no normalization; give a checkpoint"),
        (["sknet_small", "--size", "9" * 30], "must be at most 10,000,000"),
        ([__file__], "is damaged or not a safetensors file"),
    ],
)
def test_wrong_arguments_of_the_command_are_one_sentence(onnx, tmp_path, capsys, arguments, sentence):
    assert main(["export", arguments[0], str(tmp_path / "model.onnx"), *arguments[1:]]) == 1
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
