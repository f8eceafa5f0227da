"""The report: its rows, notes, JSON and picture."""

import json

import numpy as np
import pytest
from parity import distinct
from PIL import Image
from planted import mismatched, scaled
from planted_structure import function

import minisk as ms
from minisk import ops
from minisk.gradient_check import Verdict

X = distinct([(3, 4)])[0]
WRONG_ELEMENT = mismatched(ops.tanh, spoil=scaled(0, 1.01, (2, 1)))


def check(fn, inputs, **options):
    return ms.gradcheck(fn, inputs, raise_on_failure=False, **options)


def test_report_is_the_same_for_the_same_seed():
    first = json.loads(check(WRONG_ELEMENT, X, seed=4).to_json())
    second = json.loads(check(WRONG_ELEMENT, X, seed=4).to_json())
    assert first.pop("seconds") >= 0 and second.pop("seconds") >= 0
    assert first == second


def test_numeric_derivative_is_within_its_error_estimate():
    row = check(WRONG_ELEMENT, X).rows[0]
    assert row.relative_error == pytest.approx(0.01 / 1.01, rel=1e-6)
    assert abs(row.numeric - row.analytic / 1.01) <= 10 * row.estimate < 1e-8


@pytest.mark.parametrize(
    ("layer", "inputs", "sentence"),
    [
        (mismatched(ops.exp, spoil=scaled(0, -1)), X, "are -1 × the numeric value"),
        (mismatched(ops.exp, spoil=scaled(0, 3, (slice(None), 3))), X, "have index 3 on axis 1 (the last)"),
        (mismatched(ops.matmul, spoil=lambda g: [g[0], g[1].T.copy()]), distinct([(3, 4), (4, 4)]), "the transpose"),
    ],
)
def test_report_describes_what_the_wrong_elements_have_in_common(layer, inputs, sentence):
    assert sentence in str(check(layer, inputs))


def test_shape_error_in_backward_is_reported_with_its_line():
    def backward(dout, x):
        return dout @ x

    report = check(function(np.square, backward), X)
    assert report.verdict is Verdict.MALFORMED
    assert "raised in backward at" in report.message and "return dout @ x" in report.message


def test_failure_raises_an_error_that_carries_the_report():
    with pytest.raises(ms.GradcheckError, match="input 0") as caught:
        ms.gradcheck(WRONG_ELEMENT, X)
    assert caught.value.report.rows[0].index == (2, 1)


def test_json_has_null_for_nan_and_infinity():
    content = json.loads(check(lambda x: (x + 1e300) * 1e300, X).to_json())
    assert content["verdict"] == "NaN or infinite" and content["remedy"]


def test_picture_is_brightest_at_the_wrong_element(tmp_path):
    report = check(WRONG_ELEMENT, X)
    report.save_picture(tmp_path / "errors.png")
    with Image.open(tmp_path / "errors.png") as image:
        pixels = np.array(image.convert("RGB")).astype(int)[:, :260]  # without the colour bar
    dark = np.argwhere(np.abs(pixels - (8, 48, 107)).max(axis=2) < 3)
    # Among 3 rows and 4 columns of a panel of about 285 × 285 pixels, the third row and the second column.
    row, column = dark.mean(axis=0)
    assert row > 230 and 80 < column < 190


def test_a_mask_whose_size_changes_is_one_sentence():
    with pytest.raises(ms.ShapeError, match=r"gradcheck: the outputs have shapes \[\(3,\)\] here and \[\(2,\)\]"):
        ms.gradcheck(lambda x: x[x.numpy() > 0.5], np.array([0.5, 0.6, 0.7]))


def test_one_wrong_element_is_counted_in_the_singular():
    assert "(1 element)" in str(check(WRONG_ELEMENT, X))
