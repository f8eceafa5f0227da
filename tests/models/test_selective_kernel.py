"""The selective kernel against `sk_conv`, an implementation in PyTorch after the paper."""

import numpy as np
import pytest
from module_parity import assert_parity, randomized, torch_state
from parity import assert_close, distinct

import minisk as ms
from minisk import models, nn
from minisk.errors import ShapeError

BRANCHES = {
    "two, the second dilated": [(3, 1, 4), (3, 2, 4)],
    "two true kernels": [(3, 1, 2), (5, 1, 8)],
    "three": [(1, 1, 1), (3, 3, 4), (7, 1, 2)],
}


def sk_conv(torch, x, p, branches, stride):
    """Return split, fuse, select in training mode, and the attention; x and p (weights by name) are PyTorch tensors."""
    (n, c), F = x.shape[:2], torch.nn.functional
    split = []
    for m, (kernel, dilation, groups) in enumerate(branches):
        u = F.conv2d(x, p[f"convs.{m}.weight"], None, stride, dilation * (kernel - 1) // 2, dilation, groups)
        split.append(F.relu(F.batch_norm(u, None, None, p[f"norms.{m}.weight"], p[f"norms.{m}.bias"], training=True)))
    u = torch.stack(split, dim=1)  # (N, M, C, H, W)
    s = u.sum(1).mean((2, 3))
    z = s @ p["fc1.weight"].flatten(1).T
    z = F.relu(F.batch_norm(z, None, None, p["fc1_norm.weight"], p["fc1_norm.bias"], training=True))
    a = (z @ p["fc2.weight"].flatten(1).T).reshape(n, len(branches), c).softmax(1)
    return (a[..., None, None] * u).sum(1), a


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("branches", BRANCHES.values(), ids=BRANCHES)
def test_sk_conv_equals_the_paper_in_output_attention_and_every_gradient(torch, branches, stride):
    ours, x = randomized(models.SKConv(8, branches, r=2, L=3, stride=stride), seed=1), distinct([(8, 8, 7, 6)])[0]
    weights = {k: v.requires_grad_() for k, v in torch_state(torch, ours).items() if "running" not in k}
    assert_parity(torch, ours, x, lambda x: sk_conv(torch, x, weights, branches, stride)[0], weights)
    attention = sk_conv(torch, torch.tensor(x), weights, branches, stride)[1]
    assert_close(ours.attention, attention.numpy(force=True), "float64", "attention")
    np.testing.assert_allclose(ours.attention.numpy().sum(1), np.ones((8, 8)), rtol=1e-14)
    assert not ours.attention.requires_grad and "attention" not in ours.state_dict()


@pytest.mark.parametrize(("channels", "r", "L", "d"), [(64, 2, 16, 32), (64, 16, 32, 32), (8, 16, 2, 2), (20, 8, 1, 2)])
def test_the_squeeze_has_width_c_over_r_and_at_least_l(channels, r, L, d):
    layer = models.SKConv(channels, [(1, 1, 1), (1, 1, 1)], r, L)
    assert layer.fc1.weight.shape == (d, channels, 1, 1)
    assert layer.fc2.weight.shape == (2 * channels, d, 1, 1)


def test_one_image_is_an_error_in_training_and_allowed_in_evaluation():
    layer, x = models.SKConv(8, BRANCHES["three"], L=4), ms.tensor(np.ones((1, 8, 5, 5), np.float32))
    with pytest.raises(ShapeError, match=r"SKConv: x \(1, 8, 5, 5\) is one image.*larger batch"):
        layer(x)
    assert all(norm.running_mean.numpy().max() == 0 for norm in layer.norms), "statistics changed before the error"
    assert layer.eval()(x).shape == (1, 8, 5, 5)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: nn.Conv2d(4, 6, 3, groups=4), r"Conv2d: 4 inputs, 6 outputs must divide into groups=4"),
        (lambda: models.SKConv(6, [(3, 1, 4)]), r"6 inputs, 6 outputs must divide into groups=4"),
        (lambda: models.SKConv(8, []), r"SKConv: expected at least one branch"),
        (lambda: models.SKConv(8, [(3, 1, 4), (2, 1, 4)]), r"SKConv: .*\(2, 1, 4\)\] must have odd kernels"),
        (lambda: models.SKConv(8, [(0, 1, 4)]), r"SKConv: .* must have odd kernels"),
    ],
)
def test_groups_and_kernels_that_do_not_fit_are_an_error(layer, expected):
    with pytest.raises(ShapeError, match=expected):
        layer()


def sk_unit(torch, x, p, branches, stride):
    """Return reduce, selective kernel, increase and shortcut in training mode; p may contain a projection."""
    F = torch.nn.functional

    def convolved(x, name, stride=1):
        x = F.conv2d(x, p[f"{name}.weight"], stride=stride)
        return F.batch_norm(x, None, None, p[f"{name}_norm.weight"], p[f"{name}_norm.bias"], training=True)

    middle = {name.removeprefix("middle."): weight for name, weight in p.items() if name.startswith("middle.")}
    out = sk_conv(torch, F.relu(convolved(x, "reduce")), middle, branches, stride)[0]
    return F.relu(convolved(out, "increase") + (convolved(x, "project", stride) if "project.weight" in p else x))


@pytest.mark.parametrize(
    ("outputs", "stride", "project", "projects"),
    [(6, 1, False, False), (6, 1, True, True), (6, 2, False, True), (5, 1, False, True)],
)
def test_a_unit_projects_if_asked_or_if_the_shape_changes(torch, outputs, stride, project, projects):
    branches = BRANCHES["two, the second dilated"]
    unit = randomized(models.SKUnit(6, 8, outputs, stride, project, branches, L=4))
    weights = {k: v.requires_grad_() for k, v in torch_state(torch, unit).items() if "running" not in k}
    assert ("project.weight" in weights) == projects
    x = distinct([(8, 6, 5, 5)])[0]
    assert_parity(torch, unit, x, lambda x: sk_unit(torch, x, weights, branches, stride), weights)
