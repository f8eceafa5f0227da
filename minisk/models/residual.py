"""Residual networks: a stem, stages of units with shortcuts, the mean of each plane, a classifier.

    x ─┬─ 1×1 ─ BN ─ ReLU ─ middle ─ 1×1 ─ BN ─ (attention) ─ + ─ ReLU ─
       └─ shortcut: identity, or 1×1 ─ BN ───────────────────┘

The middle is a grouped convolution in ResNeXt, a selective kernel in SKNet. The attention is absent in both.
Source: He et al., *Deep Residual Learning*, CVPR 2016; Xie et al., *Aggregated Residual Transformations*, CVPR 2017.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .. import ops
from ..autograd import Tensor
from ..nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Sequential, conv_norm, init, recompute
from .network import Network

BN_MOMENTUM = 0.05  # weight of the new value; 0.95 in Caffe's convention

# (in_channels, width, out_channels, stride, project) → unit
UnitFactory = Callable[[int, int, int, int, bool], Module]
# channels → an attention module
AttentionFactory = Callable[[int], Module]


class Stage(NamedTuple):
    """Units of one resolution: their inner width, output channels and number, and the stride of the first unit."""

    width: int
    out: int
    units: int
    stride: int


class ResidualNet(Network):
    """A residual network for classification, (N, 3, H, W) → (N, num_classes) logits.

    The first unit of every stage has a projection as its shortcut, the others have the identity.

    Args:
        stem: a module, 3 → stem_channels channels.
        stem_channels: output channels of the stem.
        stages: see Stage.
        unit: returns a unit for (in_channels, width, out_channels, stride, project).
        num_classes: number of logits.
        between: returns a module that stands after a stage, for its number of channels; not after the last stage.
        norm: a module between the last stage and the mean; its default is the identity.

    Attributes:
        recompute: in training, save only what passes between units, and run each unit again in backward
            (`nn.recompute`). The last stage is exempt: backward reaches it first, and has released its activations
            before the larger planes of earlier stages are computed again.
    """

    recompute = False

    def __init__(
        self,
        stem: Module,
        stem_channels: int,
        stages: Sequence[Stage],
        unit: UnitFactory,
        num_classes: int,
        between: AttentionFactory | None = None,
        norm: Module | None = None,
    ) -> None:
        self.stem = stem
        self.stages = Sequential()
        channels = stem_channels
        for stage in stages:
            units = Sequential()
            for i in range(stage.units):
                is_first = i == 0
                units.append(unit(channels, stage.width, stage.out, stage.stride if is_first else 1, is_first))
                channels = stage.out
            if between is not None and stage is not stages[-1]:
                units.append(between(channels))
            self.stages.append(units)
        self.norm = norm
        self.classifier = Linear(channels, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        *early_stages, last_stage = self.stages
        parts = [self.stem]
        for stage in early_stages:
            parts += stage.children()
        for part in parts:
            x = recompute(part, x) if self.recompute and self.training else part(x)
        x = last_stage(x)
        return self.classifier(ops.global_avg_pool2d(x if self.norm is None else self.norm(x)))


class Bottleneck(Module):
    """relu(increase(middle(reduce(x))) + shortcut(x)), where reduce and increase are 1×1 convolutions with batch norm.

    (N, in_channels, H, W) → (N, out_channels, H / stride, W / stride). The shortcut is a 1×1 convolution with batch
    norm if the shape changes or `project` is set, else the identity.

    Args:
        in_channels, width, out_channels: channels of the input, the middle and the output.
        middle: a module, (N, width, H, W) → (N, width, H / stride, W / stride); reduce has a ReLU, the middle's
            output goes into increase as it is.
        stride: of the middle, and so of the projection.
        project: use a projection even if the shape stays the same.
        attention: a module that weights the branch before the sum: attention(branch, shortcut) returns that sum.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        middle: Module,
        stride: int = 1,
        project: bool = False,
        attention: Module | None = None,
    ) -> None:
        self.reduce = Conv2d(in_channels, width, 1, bias=False)
        self.reduce_norm = BatchNorm2d(width, momentum=BN_MOMENTUM, relu=True)
        self.middle = middle
        self.increase = Conv2d(width, out_channels, 1, bias=False)
        self.increase_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)
        self.attention = attention
        self.project: Conv2d | None = None
        if project or stride != 1 or in_channels != out_channels:
            self.project = Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.project_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        out = self.middle(conv_norm(self.reduce, self.reduce_norm, x))
        out = conv_norm(self.increase, self.increase_norm, out)
        shortcut = x if self.project is None else conv_norm(self.project, self.project_norm, x)
        if self.attention is not None:
            return ops.relu(self.attention(out, shortcut))
        return ops.add_relu(out, shortcut)


def grouped_units(groups: int, attention: AttentionFactory | None = None) -> UnitFactory:
    """Return a factory of ResNeXt's units, whose middle is one grouped 3×3 convolution with batch norm and ReLU.

    Args:
        groups: of the convolution.
        attention: returns the attention module of a unit, for its number of output channels.
    """

    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        middle = Sequential(
            Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False),
            BatchNorm2d(width, momentum=BN_MOMENTUM, relu=True),
        )
        gate = None if attention is None else attention(out_channels)
        return Bottleneck(in_channels, width, out_channels, middle, stride, project, gate)

    return unit


def cifar_stem(channels: int = 64, stride: int = 1) -> Sequential:
    """Return a 3×3 convolution with batch norm and ReLU: 32 pixels stay 32, or become 16 with a stride of 2."""
    norm = BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True)
    return Sequential(Conv2d(3, channels, 3, stride, padding=1, bias=False), norm)


def imagenet_stem(caffe_pool: bool = False) -> Sequential:
    """Return a 7×7 convolution of stride 2 with batch norm and ReLU, and a 3×3 max pool of stride 2: 224 become 56.

    Args:
        caffe_pool: pool without padding in ceil mode, as the authors' Caffe graph does. The default, padding 1, is
            that of all ports and published weights.
    """
    pool = MaxPool2d(3, 2, ceil_mode=True) if caffe_pool else MaxPool2d(3, 2, padding=1)
    norm = BatchNorm2d(64, momentum=BN_MOMENTUM, relu=True)
    return Sequential(Conv2d(3, 64, 7, 2, padding=3, bias=False), norm, pool)


def imagenet_stages(units: Sequence[int], width: int = 128) -> list[Stage]:
    """Return four stages with these numbers of units; all but the first halve the image.

    Outputs are 256, 512, 1024, 2048 channels.

    Args:
        units: of each stage.
        width: inner width of the first stage's units; it doubles with each stage. 128 is ResNeXt's, 64 ResNet's.
    """
    strides = (1, 2, 2, 2)
    return [Stage(width << i, 256 << i, n, stride) for i, (n, stride) in enumerate(zip(units, strides, strict=True))]


# SKNet's CIFAR networks: three stages of three units.
CIFAR_STAGES = (Stage(512, 256, 3, 1), Stage(1024, 512, 3, 2), Stage(2048, 1024, 3, 2))
