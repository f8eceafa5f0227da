"""`minisk gradcheck`, tried as a new user would, and the fixture for pytest."""

import json

import numpy as np
import pytest

from minisk.__main__ import main
from minisk.gradient_check.pytest_plugin import gradcheck_fixture  # noqa: F401  (found by its name, gradcheck)

LAYER = """
import numpy as np
import minisk as ms


class Scale(ms.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, dout):
        x, scale = ctx.saved_tensors
        return dout * scale, (dout * x).{reduced}(0)


def factory():
    rng = np.random.default_rng(0)
    return Scale, [rng.standard_normal((4, 3)), rng.standard_normal(3)]


def nothing():
    return None


def halved(dout):
    return dout.data[: len(dout) // 2] + np.ones((5, 3))


class Raising(Scale):
    @staticmethod
    def backward(ctx, dout):
        return halved(dout)


def raising():
    return Raising, factory()[1]


def unready():
    return open("weights.bin")
"""


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong_layers.py").write_text(LAYER.format(reduced="mean"))
    (tmp_path / "right_layers.py").write_text(LAYER.format(reduced="sum"))


@pytest.mark.usefixtures("layers")
def test_mistake_is_named_by_input_and_factor(capsys):
    assert main(["gradcheck", "wrong_layers:factory", "--picture", "errors.png"]) == 1
    message = capsys.readouterr().out
    assert "gradcheck: wrong\n" in message
    assert "All 3 wrong elements of 'scale' are 0.25 × the numeric value." in message


@pytest.mark.usefixtures("layers")
def test_right_layer_passes_as_json(capsys):
    assert main(["gradcheck", "right_layers:factory", "--order", "2", "--mode", "full", "--json"]) == 0
    message = json.loads(capsys.readouterr().out)
    assert (message["ok"], message["verdict"], message["order"]) == (True, "correct", 2)


@pytest.mark.usefixtures("layers")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("right_layers", "must be PACKAGE.MODULE:FACTORY"),
        ("..right_layers:right", "must be PACKAGE.MODULE:FACTORY"),
        ("minisk.nn:Linear", "must be callable without arguments: missing a required argument: 'in_features'"),
        ("no_such_module:factory", "No module named 'no_such_module'"),
        ("right_layers:missing", "right_layers has no function 'missing'"),
        ("right_layers:nothing", "must return two values, the function and its inputs, not NoneType"),
    ],
)
def test_a_missing_target_is_reported_in_one_sentence(target, message, capsys):
    assert main(["gradcheck", target]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("layers")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("right_layers:raising", ["ValueError in backward at", "right_layers.py", "in halved", "np.ones((5, 3))"]),
        ("right_layers:unready", ["FileNotFoundError in unready at", "right_layers.py", "weights.bin"]),
        ("broken_layers:factory", ["SyntaxError in <module> at", "broken_layers.py:2"]),
    ],
)
def test_an_error_in_user_code_is_reported_with_its_line_and_no_frame_of_minisk(target, message, tmp_path, capsys):
    (tmp_path / "broken_layers.py").write_text("import numpy\ndef factory(:\n")
    assert main(["gradcheck", target]) == 2
    printed = capsys.readouterr().err
    assert all(part in printed for part in message), printed
    assert "gradient_check" not in printed


def test_fixture_fails_the_test_with_the_report_alone(gradcheck):
    arrays = np.ones((2, 3)) + np.arange(3)
    gradcheck((np.exp, lambda d, x: d * np.exp(x)), arrays)
    with pytest.raises(pytest.fail.Exception, match="are 2 × the numeric value"):
        gradcheck((np.exp, lambda d, x: 2 * d * np.exp(x)), arrays)
