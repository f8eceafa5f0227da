"""ms.draw_graph: the DOT text of small graphs, the bytes of saved arrays, and pictures by Graphviz."""

from __future__ import annotations

import re
import shutil
import struct

import numpy as np
import pytest

import minisk as ms
from minisk import models, nn, ops
from minisk.autograd.engine import reachable
from minisk.errors import GraphError, MiniskError

ORANGE = 'fillcolor="#f4a860"'

EXPECTED = """\
digraph {
  graph [label="4 operations; 80 B saved for backward; float32 unless noted", labelloc=t, fontname=Helvetica, \
fontsize=14, nodesep=0.25, ranksep=0.3]
  node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=10, fillcolor=white]
  edge [fontname=Helvetica, fontsize=9, arrowsize=0.6]
  l0 [label=<<b>w</b><br/>2×3, 24 B>, fillcolor="#e3ecf7"]
  l1 [label=<<b>leaf</b><br/>3, 12 B>, fillcolor="#e3ecf7"]
  n0 [label=<<b>matmul</b><br/>→ 4×3, 48 B<br/>saves input 4×2, 32 B<br/>saves w 2×3, 24 B (no copy)>, \
fillcolor="#f8c48c"]
  n1 [label=<<b>add</b><br/>→ 4×3, 48 B>, fillcolor="#ffffff"]
  n2 [label=<<b>relu</b><br/>→ 4×3, 48 B<br/>saves output 4×3, 48 B>, fillcolor="#f4a860"]
  n3 [label=<<b>sum</b><br/>→ scalar, 4 B>, fillcolor="#ffffff"]
  l0 -> n0
  n0 -> n1
  l1 -> n1
  n1 -> n2
  n2 -> n3
  y [label=<<b>result</b><br/>scalar, 4 B>, fillcolor="#dff0d8"]
  n3 -> y
}
"""


def small_graph() -> tuple[ms.Tensor, dict[str, ms.Tensor]]:
    x = ms.ones((4, 2))
    w, b = ms.tensor(np.ones((2, 3), np.float32), requires_grad=True), ms.tensor([1.0, 2.0, 3.0], requires_grad=True)
    return ops.relu(x @ w + b).sum(), {"w": w}


def loss_of(model: nn.Module, images: int = 4, pixels: int = 32) -> ms.Tensor:
    ms.manual_seed(0)
    return ops.cross_entropy(model(ms.rand(images, 3, pixels, pixels)), ms.tensor(list(range(images))))


def lines_of(dot: str, start: str) -> list[str]:
    return [line.strip() for line in dot.splitlines() if line.strip().startswith(start)]


# --- The text -------------------------------------------------------------------------------------------------


def test_the_text_of_a_small_graph_has_operations_shapes_bytes_and_saved_arrays():
    y, names = small_graph()
    assert ms.draw_graph(y, params=names) == EXPECTED


def test_drawing_changes_nothing_in_the_graph():
    y, names = small_graph()
    ms.draw_graph(y)
    y.backward()
    np.testing.assert_array_equal(names["w"].grad.numpy(), np.full((2, 3), 4.0))


def test_an_array_that_two_operations_save_is_counted_once():
    x = ms.tensor(np.ones((2, 3)), requires_grad=True)
    y = ops.exp(x)  # saves its output, which both factors of the product are
    dot = ms.draw_graph((y * y).sum())
    assert "3 operations; 48 B saved for backward" in dot
    assert lines_of(dot, "n0 [") == [f"n0 [label=<<b>exp</b><br/>→ 2×3, 48 B<br/>saves output 2×3, 48 B>, {ORANGE}]"]
    assert lines_of(dot, "n1 [")[0].count("saves input 2×3, 48 B (shared)") == 2
    assert lines_of(dot, "n0 ->") == ["n0 -> n1", "n0 -> n1"]


def test_arrays_that_an_operation_keeps_on_ctx_are_shown_too():
    x = ms.tensor(np.ones((1, 2, 4, 4), np.float32), requires_grad=True)
    dot = ms.draw_graph(ops.max_pool2d(x, 2))
    assert re.search(r"saves winner 1×2×2×2 int\d+, \d+ B", dot)


def test_an_operation_with_several_outputs_shows_each_and_labels_its_arrows():
    logits = ms.tensor(np.ones((2, 2, 3)), requires_grad=True)
    features = [ms.tensor(np.ones((2, 3, 4, 4)), requires_grad=True) for _ in range(2)]
    out, weights = ops.select(logits, features)
    dot = ms.draw_graph(out.sum() + weights.sum())
    assert "→ 2×3×4×4, 768 B<br/>→ 2×2×3, 96 B" in dot
    assert {'n0 -> n1 [label="output 0"]', 'n0 -> n2 [label="output 1"]'} == set(lines_of(dot, "n0 ->"))


def test_names_are_escaped():
    x = ms.tensor([1.0], requires_grad=True)
    assert "<b>a&lt;b&gt; &amp; &quot;c&quot;</b>" in ms.draw_graph(x * 2.0, params={'a<b> & "c"': x})


@pytest.mark.parametrize(
    ("elements", "text"),
    [(0, "0, 0 B"), (249, "249, 996 B"), (250, "250, 1.0 kB"), (250_000, "1.0 MB"), (250_000_000, "1.0 GB")],
)
def test_sizes_have_a_unit(elements, text):
    x = ms.Tensor(np.broadcast_to(np.float32(1), elements), requires_grad=True)  # takes no memory
    assert text in lines_of(ms.draw_graph(x[:1] if elements else x.sum()), "l0")[0]


# --- Bytes ----------------------------------------------------------------------------------------------------


def saved_bytes(y: ms.Tensor) -> int:
    """Return the bytes of all arrays saved for backward, each memory once, without leaves and ctx attributes."""
    nodes, leaves = reachable([y])
    arrays = {id(_owner(saved.array)): saved.array.nbytes for node in nodes for saved in node.saved}
    return sum(size for key, size in arrays.items() if key not in {id(_owner(leaf.data)) for leaf in leaves.values()})


def _owner(array: np.ndarray) -> np.ndarray:
    return array if array.base is None else _owner(array.base)


def test_the_total_is_the_bytes_that_saved_tensors_hold():
    x = ms.tensor(np.ones((3, 4, 5)), requires_grad=True)
    y = (ops.exp(x) * ops.log(x + 2.0)).sum()
    assert saved_bytes(y) == 3 * x.data.nbytes  # the output of exp, and the input and output of log
    assert f"{saved_bytes(y) / 1e3:.1f} kB saved for backward" in ms.draw_graph(y)


def test_the_frames_of_a_network_add_up_to_its_total():
    model = models.sknet_small()
    dot = ms.draw_graph(loss_of(model), params=model)
    unit = {"B": 1, "kB": 1e3, "MB": 1e6}
    sizes = [float(size) * unit[name] for size, name in re.findall(r"label=<.*: ([\d.]+) (k?M?B) saved>", dot)]
    (total,) = re.findall(r"([\d.]+) MB saved for backward", dot)
    assert sum(sizes) == pytest.approx(float(total) * 1e6, rel=0.02)


# --- Large graphs ---------------------------------------------------------------------------------------------


def test_a_large_graph_is_framed_by_module_and_lists_parameters_inside_their_operation():
    model = models.sknet_small()
    dot = ms.draw_graph(loss_of(model), params=model)
    assert re.findall(r"label=<([\w.]+): ", dot) == [
        "stem",
        "stages.0",
        *[f"stages.{i}.{j}" for i in (1, 2) for j in (0, 1)],
        "classifier",
    ]
    assert lines_of(dot, "l0") == []
    assert dot.count("{") == dot.count("}")
    operations = lines_of(dot, "n")
    assert any("<b>select</b> middle<br/>" in line for line in operations)
    assert any("<b>conv2d</b> middle.convs.1<br/>weight 96×16×3×3, 55.3 kB (saved)<br/>" in line for line in operations)
    assert any("<b>global_avg_pool2d</b> middle<br/>" in line for line in operations), "a ModuleList is no layer"
    assert max(len(line) for line in operations) < 400


class PlaneScale(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(np.ones(4, np.float32))

    def forward(self, x):
        return x * self.weight.reshape(1, 4, 1, 1)


def test_a_parameter_that_is_transposed_or_reshaped_still_names_the_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), PlaneScale(), nn.GlobalAvgPool2d(), nn.Linear(4, 5))
    dot = ms.draw_graph(loss_of(model, pixels=2), params=model)
    titles = re.findall(r"<b>(\w+)</b> ?([\w.]*)", "\n".join(lines_of(dot, "n")))
    layers = [("conv2d", "0"), ("reshape", "1"), ("mul", "1"), ("global_avg_pool2d", "")]
    assert titles == [*layers, ("transpose", "3"), ("matmul", "3"), ("add", "3"), ("cross_entropy", "")]


def test_a_recomputed_network_shows_few_of_the_arrays_it_saves():
    model = models.sknet_small()
    model.recompute = True
    dot = ms.draw_graph(loss_of(model), params=model)
    assert "more leaves" in dot or "more arrays saved" in dot
    assert max(len(line) for line in lines_of(dot, "n")) < 700


# --- Files and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "format"), [("g.dot", None), ("g.txt", "dot")])
def test_dot_is_written_without_graphviz(tmp_path, monkeypatch, name, format):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    y, names = small_graph()
    assert ms.draw_graph(y, tmp_path / name, format, names) == EXPECTED
    assert (tmp_path / name).read_text(encoding="utf-8") == EXPECTED


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_svg_and_png(tmp_path):
    y, names = small_graph()
    ms.draw_graph(y, tmp_path / "graph.svg", params=names)
    ms.draw_graph(y, tmp_path / "graph", format="png")
    svg, png = (tmp_path / "graph.svg").read_text(encoding="utf-8"), (tmp_path / "graph").read_bytes()
    assert svg.count('class="node"') == 7 and "saves input 4×2, 32 B" in svg
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", png[16:24])) > 100


def test_without_graphviz_a_picture_is_an_error_that_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MiniskError, match=r"'svg' needs the program `dot`; install Graphviz .*, or write format 'dot'"):
        ms.draw_graph(small_graph()[0], tmp_path / "graph.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "format", "expected"),
    [
        ("graph.pdf", None, "format 'pdf' is not known: expected one of dot, svg, png"),
        ("graph", None, "format '' is not known"),
        (None, "png", "format 'png' needs a path to write to"),
    ],
)
def test_a_format_that_cannot_be_written_is_an_error(path, format, expected):
    with pytest.raises(MiniskError, match=f"draw_graph: {expected}"):
        ms.draw_graph(small_graph()[0], path, format)


def test_a_tensor_without_a_graph_is_an_error():
    with pytest.raises(GraphError, match="draw_graph: this tensor was not computed by a recorded operation"):
        ms.draw_graph(ms.tensor([1.0], requires_grad=True))
    y, _ = small_graph()
    y.backward()
    with pytest.raises(GraphError, match="draw_graph: the graph was freed by a backward; draw it before"):
        ms.draw_graph(y)
