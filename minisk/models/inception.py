"""Parts that the Inception networks share: convolutions with batch norm, and branches that are concatenated.

    Conv(o, k)                  k×k convolution, stride 1, padded to keep the size → batch norm → ReLU
    Conv(o, k, valid=True)      the same without padding ("V" in the papers' figures)
    Conv(o, k, 2, valid=True)   the same with stride 2
    Conv(o, (1, 7))             a kernel of height 1 and width 7

              ┌─ branch ─┐
        x ────┼─ branch ─┼──── channels concatenated, in this order
              └─ branch ─┘

Sources: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016; Szegedy et al., *Inception-v4,
Inception-ResNet and the Impact of Residual Connections on Learning*, AAAI 2017; and the authors' model files
(tensorflow/models, research/slim/nets).
"""

from typing import NamedTuple

from .. import ops
from ..autograd import Tensor
from ..nn import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d, Module, ModuleList, Sequential, conv_norm
from ..ops.shape import Size, pair

NORM_EPS = 1e-3
NORM_MOMENTUM = 0.1  # weight of the new value, as in the PyTorch ports; the authors' 0.0003 needs long training

# Below 75 pixels, the last 3×3 window of stride 2 no longer fits into its map.
SMALLEST_SIZE = 75


class Conv(NamedTuple):
    """A convolution of an Inception network: output channels, kernel, stride, and whether it is without padding."""

    out: int
    kernel: Size
    stride: int = 1
    valid: bool = False


class ConvNorm(Module):
    """A convolution without bias, batch norm and ReLU, (N, in_channels, H, W) → (N, conv.out, Ho, Wo)."""

    def __init__(self, in_channels: int, conv: Conv) -> None:
        height, width = pair("ConvNorm", "kernel", conv.kernel, 1)
        padding = (0, 0) if conv.valid else (height // 2, width // 2)
        self.conv = Conv2d(in_channels, conv.out, (height, width), conv.stride, padding, bias=False)
        self.norm = BatchNorm2d(conv.out, NORM_EPS, NORM_MOMENTUM, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm(self.conv, self.norm, x)


class Branches(ModuleList):
    """Apply each branch to the same input, and concatenate the channels of their outputs."""

    def __init__(self, *branches: Module) -> None:
        super().__init__(branches)

    def forward(self, x: Tensor) -> Tensor:
        return ops.concatenate([branch(x) for branch in self], axis=1)


def chain(in_channels: int, *convs: Conv) -> Sequential:
    """Return the convolutions in series."""
    layers = Sequential()
    for conv in convs:
        layers.append(ConvNorm(in_channels, conv))
        in_channels = conv.out
    return layers


def fork(in_channels: int, *ends: Conv) -> Branches:
    """Return convolutions side by side, all on the same input."""
    return Branches(*[ConvNorm(in_channels, end) for end in ends])


def halving_pool() -> MaxPool2d:
    """Return the 3×3 max pool of stride 2 without padding."""
    return MaxPool2d(3, 2)


def pooled(in_channels: int, out: int, count_include_pad: bool = False) -> Sequential:
    """Return the branch with a 3×3 average pool and a 1×1 convolution.

    count_include_pad: divide by 9 at the borders too. The authors' TensorFlow graph divides by the number of pixels
    inside the image.
    """
    average = AvgPool2d(3, 1, padding=1, count_include_pad=count_include_pad)
    return Sequential(average, ConvNorm(in_channels, Conv(out, 1)))


def first_convs() -> Sequential:
    """Return the three 3×3 convolutions at the start of every Inception: 299 pixels become 147, with 64 channels."""
    return chain(3, Conv(32, 3, 2, valid=True), Conv(32, 3, valid=True), Conv(64, 3))


def plain_stem() -> Sequential:
    """Return the stem of Inception-v3 and Inception-ResNet-v2: 299 pixels become 35, with 192 channels."""
    more_convs = chain(64, Conv(80, 1), Conv(192, 3, valid=True))
    return Sequential(first_convs(), halving_pool(), more_convs, halving_pool())
