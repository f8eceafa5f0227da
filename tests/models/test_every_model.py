"""Every model of the registry at its smallest images: a training step and an evaluation on each path of the kernels.

Losses, and gradients and new values of the first and the last weight, must agree between compiled kernels, formulas,
and the GPU's path on the stand-in for CuPy.
"""

import re

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from cupy_standin import installed
from reference_numbers import norm

import minisk as ms
from minisk import models, nn
from minisk.analysis.summary import summarize
from minisk.errors import ShapeError
from minisk.optim import SGD

CLASSES = 3
# From this size on, so many images. Batch norm of few values is ill-conditioned: it makes rounding errors grow.
IMAGES = ((200, 2), (33, 16), (1, 32))


def numbers_of(name, device):
    """Return the loss in evaluation; the loss of a step, and of two weights the gradients and new values."""
    ms.manual_seed(0)
    model = models.create(name, CLASSES).to(device, dtype="float64")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # each device has a generator of its own
    size = models.info(name).smallest_size
    images = next(images for least, images in IMAGES if size >= least)
    x = ms.tensor(np.random.default_rng(1).standard_normal((images, 3, size, size)), device=device)
    y = ms.tensor(np.arange(images) % CLASSES, device=device)
    with nn.evaluation_mode(model), ms.no_grad():
        logits = model(x)
    assert logits.shape == (images, CLASSES)
    optimizer = SGD(model.parameters(), lr=0.01)
    loss = models.classification_loss(model(x), y)
    loss.backward()
    first, last = next(model.parameters()), model.classifier.weight
    gradients = [norm(weight.grad.to("cpu").numpy()) for weight in (first, last)]
    optimizer.step()
    new_weights = [norm(weight.to("cpu").numpy()) for weight in (first, last)]
    return models.classification_loss(logits, y).item(), loss.item(), *gradients, *new_weights


# One of each kind in every run of the tests; the others take another ten minutes: `pytest -m large`.
SMALL = ("sknet_small", "small_se", "small_cbam", "small_bam", "skresnet18")
STEPS = [name if name in SMALL else pytest.param(name, marks=pytest.mark.large) for name in models.NAMES]


@needs_compiler
@pytest.mark.parametrize("name", STEPS)
def test_a_step_at_the_smallest_images_is_the_same_on_every_path(name):
    found = {}
    paths = {"formulas": kernel_mode("numpy"), "kernels": kernel_mode("cpu"), "GPU": installed()}
    for path, mode in paths.items():
        with mode:
            found[path] = numbers_of(name, "cuda" if path == "GPU" else "cpu")
    assert np.isfinite(found["formulas"]).all()
    np.testing.assert_allclose(found["kernels"], found["formulas"], rtol=1e-6)
    np.testing.assert_allclose(found["GPU"], found["formulas"], rtol=1e-6)


@pytest.mark.parametrize("name", ["dpn92", "inception_v4", "inception_resnet_v2"])
@pytest.mark.parametrize("size", [225, 331])
def test_odd_sizes_have_maps_of_every_layer(name, size):
    with nn.init.skipped():
        model = models.create(name)
    assert summarize(model, (3, size, size)).rows[-1].shape == (1000,)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4", "inception_resnet_v2"])
@pytest.mark.parametrize("shape", [(2, 3, 74, 299), (2, 1, 299, 299), (3, 299, 299)], ids=["small", "gray", "no batch"])
def test_images_that_do_not_fit_are_an_error_of_one_sentence(name, shape):
    with nn.init.skipped():
        model = models.create(name).eval()
    with pytest.raises(
        ShapeError, match=rf"Inception.*: the images are {re.escape(str(shape))}, expected \(N, 3, H, W\) "
    ):
        model(ms.zeros(shape))
