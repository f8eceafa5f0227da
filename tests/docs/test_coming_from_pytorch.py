"""Scripts as someone used to PyTorch writes them, and the table of docs/coming-from-pytorch.md."""

import re
from pathlib import Path

import numpy as np
import pytest

import minisk as ms
from minisk import nn

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming-from-pytorch.md").read_text(encoding="utf-8")


class MLP(nn.Module):
    """Two linear layers; `super().__init__()` is not needed and does no harm."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc2(ms.ops.relu(self.fc1(x)))


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.GlobalAvgPool2d(),
        nn.Linear(8, 4),
    )


@pytest.fixture
def images():
    ms.manual_seed(0)
    return ms.randn(6, 3, 8, 8), ms.tensor([0, 1, 2, 3, 0, 1])


def test_an_mlp_learns_xor():
    ms.manual_seed(0)
    x = ms.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = ms.tensor([0, 1, 1, 0])
    model = MLP(2, 16, 2)
    optimizer = ms.optim.AdamW(model.parameters(), lr=0.05)
    for _ in range(200):
        loss = ms.ops.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(f"{loss:.3f}") < 0.1
    with ms.no_grad():
        assert model(x).argmax(axis=1).numpy().tolist() == [0, 1, 1, 0]


def test_a_cnn_trains_with_a_schedule_and_clipped_gradients(images):
    x, y = images
    model = small_cnn()
    optimizer = ms.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = ms.optim.OneCycleLR(optimizer, total_steps=20)
    losses = []
    for _ in range(20):
        loss = ms.ops.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        ms.optim.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_state_dict_is_saved_and_loaded(images, tmp_path):
    x, _ = images
    trained, fresh = small_cnn(), small_cnn()
    trained(x)  # moves the running statistics, which are saved too
    ms.save(trained.state_dict(), tmp_path / "model.safetensors")
    fresh.load_state_dict(ms.load(tmp_path / "model.safetensors"))
    trained.eval()
    fresh.eval()
    assert np.array_equal(trained(x).numpy(), fresh(x).numpy())


def test_the_graph_is_drawn_and_the_time_is_profiled(images):
    x, y = images
    model = small_cnn()
    with ms.profile(model) as profile:
        loss = ms.ops.cross_entropy(model(x), y)
        loss.backward()
    assert "conv2d" in str(profile)
    assert "conv2d" in ms.draw_graph(ms.ops.cross_entropy(model(x), y), params=model)


def test_a_gradient_of_a_gradient_and_an_inner_gradient():
    x = ms.linspace(-1, 1, 5).reshape(5, 1)
    x.requires_grad = True
    hidden = (3 * x).tanh()
    hidden.retain_grad()
    (dx,) = ms.grad(hidden.sum(), x, create_graph=True)
    (dx * dx).sum().backward()
    assert x.grad.shape == hidden.grad.shape == (5, 1)


def test_a_custom_function_is_checked():
    class Cube(ms.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, dout):
            (x,) = ctx.saved_tensors
            return 3 * x * x * dout

    assert ms.gradcheck(Cube.apply, ms.randn(3, dtype="float64"), order=2).ok


def test_arrays_are_joined_cut_and_moved_as_in_numpy():
    x = ms.arange(6).reshape(2, 3)
    assert ms.ops.concatenate([x, x], axis=1).shape == (2, 6)
    assert ms.ops.stack([x, x]).transpose(0, 2, 1).shape == (2, 3, 2)
    assert [part.shape for part in ms.ops.split(x, 3, axis=1)] == [(2, 1)] * 3
    assert ms.ops.pad(x, ((0, 0), (1, 1))).shape == (2, 5)
    assert ms.ops.expand_dims(x, 1).broadcast_to((2, 4, 3)).shape == (2, 4, 3)
    assert x.to("cpu", dtype="float64").sum(axis=1, keepdims=True).numpy().tolist() == [[3], [12]]


@pytest.mark.parametrize("code", ["x.sum(dim=0)", "x.view(6)", "x.size(0)", "x.size()", "x.permute(1, 0)"])
def test_a_word_of_pytorch_that_is_left_out_raises_an_error(code):
    with pytest.raises((TypeError, AttributeError, ms.MiniskError)):
        eval(code, {"x": ms.zeros(2, 3)})


def test_every_name_in_the_column_minisk_exists():
    column = [re.split(r"(?<!\\)\|", line)[2] for line in PAGE.splitlines() if line.startswith("| ")]
    names = {name for cell in column for name in re.findall(r"\bms((?:\.\w+)+)", cell)}
    assert len(names) > 40
    for name in sorted(names):
        value = ms
        for part in name[1:].split("."):
            value = getattr(value, part)
