"""HTML in notebooks: well-formed, escaped, and with the numbers where they belong."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import minisk as ms
from minisk import models, nn


class Parsed(HTMLParser):
    """The elements and the text of some HTML; every element must be closed, in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def cells(html):
    """Return the texts of the table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_a_matrix_is_a_table_with_numbered_rows_and_columns():
    html = ms.tensor([[1.5, -2.0], [1 / 3, 1e9]])._repr_html_()
    assert Parsed(html).text.startswith("Tensor (2, 2), float32, cpu")
    assert cells(html) == [["", "0", "1"], ["0", "1.5", "-2"], ["1", "0.3333", "1e+09"]]


def test_a_vector_is_one_row_without_a_number():
    assert cells(ms.tensor([3, 4])._repr_html_()) == [["0", "1"], ["3", "4"]]
    assert cells(ms.tensor([True, False])._repr_html_())[1] == ["True", "False"]


def test_of_a_long_axis_four_elements_at_each_end_are_shown():
    html = ms.arange(100 * 12).reshape(100, 12)._repr_html_()
    header, *rows = cells(html)
    assert header == ["", "0", "1", "2", "3", "…", "8", "9", "10", "11"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "…", "96", "97", "98", "99"]
    assert rows[-1] == ["99", "1188", "1189", "1190", "1191", "…", "1196", "1197", "1198", "1199"]
    assert len(cells(ms.zeros(9, 9)._repr_html_())) == 10  # nine are shown whole: a gap would save no room
    assert len(ms.zeros(10**6, 1000)._repr_html_()) < 4000


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (2, 3, 4), (50, 40, 30, 20)])
def test_other_shapes_are_shown_as_text(shape):
    parsed = Parsed(ms.zeros(shape)._repr_html_())
    assert "table" not in parsed.tags and "pre" in parsed.tags
    assert f"Tensor {shape}" in parsed.text and len(parsed.text) < 3000


def test_not_finite_numbers_and_every_dtype_are_shown():
    assert cells(ms.tensor([np.nan, np.inf, -np.inf])._repr_html_())[1] == ["nan", "inf", "-inf"]
    for dtype in ("float16", "float64", "int8", "uint64", "bool"):
        assert dtype in Parsed(ms.ones(2, dtype=dtype)._repr_html_()).text


def test_the_origin_of_a_tensor_is_shown():
    x = ms.ones(2, requires_grad=True)
    assert "requires_grad=True" in x._repr_html_()
    assert "grad_fn=mul" in (x * 2)._repr_html_() and "requires_grad" not in (x * 2)._repr_html_()


def test_a_module_is_a_tree_with_settings_and_numbers_of_parameters():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1, bias=False)))
    html = model._repr_html_()
    parsed = Parsed(html)
    assert parsed.tags.count("details") == 2 and html.count(" open") == 1
    for text in (
        "Sequential() 12 parameters",
        "0: Linear(",
        "9 parameters",
        "1: ReLU()",
        "2: Sequential() 3 parameters",
    ):
        assert text in parsed.text


def test_every_model_has_a_well_formed_tree_with_a_line_for_each_module():
    for name in ("sknet_small", "inception_v3"):
        model = models.create(name, 2)
        parsed = Parsed(model._repr_html_())
        assert parsed.tags.count("details") + parsed.tags.count("div") == 1 + sum(1 for _ in model.modules())


def test_text_of_a_module_is_escaped():
    class Hostile(nn.Module):
        def __init__(self):
            setattr(self, "<script>alert(1)</script>", nn.ReLU())

        def extra_repr(self):
            return "<img src=x onerror=alert(1)> & \"'"

    parsed = Parsed(Hostile()._repr_html_())
    assert not {"script", "img"} & set(parsed.tags)
    assert "<script>alert(1)</script>: ReLU()" in parsed.text and "<img src=x onerror=alert(1)> & \"'" in parsed.text
