"""SKResNet: residual networks of two 3×3 convolutions a unit; the first is a selective kernel that splits its input.

    x ─┬─ split ─┬─ half ─ 3×3            ─ BN ─ ReLU ─ U₁ ─┐
       │         └─ half ─ 3×3, dilation 2 ─ BN ─ ReLU ─ U₂ ─┴─ select ─ 3×3 ─ BN ─ + ─ ReLU ─
       └─ shortcut: identity, or 1×1 ─ BN ──────────────────────────────────────────┘

Each branch sees half of the channels of x and returns all of the unit's, so both together cost one 3×3 convolution.
The squeeze has d = max(C / 8, 16) values. The first unit of a stage has a projection if the shape changes: not in
stage 1.
Source: skresnet18 and skresnet34 of Wightman's timm (timm/models/sknet.py), for which trained weights exist.
"""

from collections.abc import Sequence

from .. import ops
from ..autograd import Tensor
from ..nn import BatchNorm2d, Conv2d, Module, conv_norm
from .attention import Branch, SKConv
from .residual import BN_MOMENTUM, ResidualNet, Stage, imagenet_stem

_BRANCHES = (Branch(3, 1, 1), Branch(3, 2, 1))


class SKBasicUnit(Module):
    """relu(increase(middle(x)) + shortcut(x)), (N, in_channels, H, W) → (N, out_channels, H / stride, W / stride).

    Args:
        in_channels, width, out_channels: channels of the input, the middle and the output.
        stride: of the selective kernel and the projection.
        project: has no effect. The shortcut is a projection only if the shape changes.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int = 1, project: bool = False) -> None:
        self.middle = SKConv(width, _BRANCHES, 8, 16, stride, in_channels, split_input=True)
        self.increase = Conv2d(width, out_channels, 3, padding=1, bias=False)
        self.increase_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)
        self.project: Conv2d | None = None
        if stride != 1 or in_channels != out_channels:
            self.project = Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.project_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm(self.increase, self.increase_norm, self.middle(x))
        shortcut = x if self.project is None else conv_norm(self.project, self.project_norm, x)
        return ops.add_relu(out, shortcut)


def skresnet18(num_classes: int = 1000) -> ResidualNet:
    """Return SKResNet-18 for ImageNet: 2, 2, 2, 2 units; 12.0 M parameters, 1.82 G multiply-adds at 224 pixels."""
    return _imagenet_skresnet((2, 2, 2, 2), num_classes)


def skresnet34(num_classes: int = 1000) -> ResidualNet:
    """Return SKResNet-34 for ImageNet: 3, 4, 6, 3 units; 22.3 M parameters, 3.67 G multiply-adds at 224 pixels."""
    return _imagenet_skresnet((3, 4, 6, 3), num_classes)


def _imagenet_skresnet(units: Sequence[int], num_classes: int) -> ResidualNet:
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    stages = [Stage(width, width, n, stride) for width, n, stride in zip(widths, units, strides, strict=True)]
    return ResidualNet(imagenet_stem(), 64, stages, SKBasicUnit, num_classes)
