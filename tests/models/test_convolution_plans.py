"""The kernels take every convolution of every model: none is left to matrix products on a CPU."""

import numpy as np
import pytest

from minisk import Tensor, models, nn, no_grad
from minisk.cuda.convolution_layout import forward_layout, input_grad_layout, weight_grad_layout
from minisk.kernels import ConvGeometry


def convolutions_of(name):
    """Return, for each kind of convolution of a model, the shapes of one image and of the weight, and the geometry."""
    with nn.init.skipped():
        model = models.create(name).eval()
    found = set()

    def record(module, inputs, output):
        geometry = ConvGeometry(module.stride, module.padding, module.dilation, module.groups)
        found.add((inputs[0].shape[1:], module.weight.shape, geometry))

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(record)
    size = models.input_size(name)
    with no_grad():
        model(Tensor(np.zeros((0, 3, size, size), np.float32)))
    return found


def without_memory(*shape):
    return np.broadcast_to(np.float32(0), shape)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("name", models.NAMES)
def test_every_convolution_has_a_layout_in_each_direction(name, images, monkeypatch):
    monkeypatch.setenv("MINISK_KERNELS", "cpu")
    for shape, weight_shape, geometry in convolutions_of(name):
        x, weight = without_memory(images, *shape), without_memory(*weight_shape)
        dout = without_memory(images, len(weight), *geometry.output_size(shape[1:], weight_shape[2:]))
        assert forward_layout(x, weight, geometry), (shape, weight_shape, geometry)
        assert input_grad_layout(dout, weight, geometry, x.shape), (shape, weight_shape, geometry)
        assert weight_grad_layout(x, geometry, weight.shape), (shape, weight_shape, geometry)


@pytest.mark.parametrize(
    ("shape", "weight_shape", "padding", "images", "shares"),
    [
        ((4, 192, 17, 17), (192, 192, 1, 7), (0, 3), 4, 5),  # rows of 17 fill vectors only together
        ((4, 192, 17, 17), (192, 192, 7, 1), (3, 0), 4, 5),
        ((4, 384, 8, 8), (384, 384, 1, 3), (0, 1), 4, 4),
        ((4, 96, 35, 35), (96, 96, 3, 3), (1, 1), 2, 3),  # four images would leave three blocks
        ((4, 32, 149, 149), (32, 32, 3, 3), (0, 0), 1, 1),
        ((3, 192, 17, 17), (192, 192, 1, 7), (0, 3), 1, 5),  # three images are divided by one alone
    ],
)
def test_a_weight_gradient_interleaves_images_while_enough_blocks_remain(shape, weight_shape, padding, images, shares):
    geometry = ConvGeometry((1, 1), padding, (1, 1), 1)
    layout = weight_grad_layout(without_memory(*shape), geometry, weight_shape)
    assert (layout.images, layout.most_shares) == (images, shares)
