"""Dual path networks: every unit adds to a residual path, and appends to a dense path.

    r, d: residual path (bw channels) and dense path        x = [ r │ d ]

      x ─ norm, 1×1 → R ─ norm, 3×3 in G groups ─ norm, 1×1 → bw + inc ─┬─ first bw channels ─ + r ──→ r
                                                                        └─ last inc channels ─ d │ ──→ d

    first unit of a stage:  [ r │ d ] = norm, 1×1 → bw + 2·inc, with the unit's stride

Every convolution but the stem's has batch norm and ReLU *before* it ("norm"), and none has a bias.

                stem   R                     bw                      inc               units          G
    DPN-92        64   96, 192, 384, 768     256, 512, 1024, 2048    16, 32, 24, 128   3, 4, 20, 3    32
    DPN-98        96   160, 320, 640, 1280   256, 512, 1024, 2048    16, 32, 32, 128   3, 6, 20, 3    40

Source: Chen et al., *Dual Path Networks*, NeurIPS 2017, and the authors' model files (github.com/cypw/DPNs).
"""

from collections.abc import Sequence
from typing import NamedTuple

from .. import ops
from ..autograd import Tensor
from ..nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Sequential, init
from .network import Network, check_images

NORM_EPS = 1e-3  # MXNet's default


class Paths(NamedTuple):
    """The input or output of a unit.

    residual: (N, bw, H, W).
    dense: parts of the dense path, oldest first; (N, C, H, W) each. Joining them only where a convolution needs it
        copies each part once per unit.
    """

    residual: Tensor
    dense: tuple[Tensor, ...] = ()

    def joined(self) -> Tensor:
        """Return both paths as one Tensor, (N, all channels, H, W)."""
        return ops.concatenate([self.residual, *self.dense], axis=1) if self.dense else self.residual


class NormConv(Module):
    """Batch norm, ReLU, then a convolution without bias, padded to keep the size if the stride is 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        self.norm = BatchNorm2d(in_channels, NORM_EPS, relu=True)
        self.conv = Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class DualPathStage(NamedTuple):
    """Units of one resolution: R, bw, inc and the number of units as in the table above; the first unit's stride."""

    width: int
    residual: int
    increment: int
    units: int
    stride: int


class DualPathUnit(Module):
    """One unit, Paths → Paths; see the top of this file.

    Args:
        in_channels: of both paths together.
        stage: the unit's stage.
        groups: G.
        is_first: whether the unit is the first of its stage, with the projection and the stride.
    """

    def __init__(self, in_channels: int, stage: DualPathStage, groups: int, is_first: bool) -> None:
        stride = stage.stride if is_first else 1
        self.residual = stage.residual
        self.project: NormConv | None = None
        if is_first:
            self.project = NormConv(in_channels, stage.residual + 2 * stage.increment, 1, stride)
        self.reduce = NormConv(in_channels, stage.width, 1)
        self.spatial = NormConv(stage.width, stage.width, 3, stride, groups)
        self.increase = NormConv(stage.width, stage.residual + stage.increment, 1)

    def forward(self, paths: Paths) -> Paths:
        x = paths.joined()
        if self.project is not None:
            residual, dense = self._split(self.project(x))
            paths = Paths(residual, (dense,))
        added, appended = self._split(self.increase(self.spatial(self.reduce(x))))
        return Paths(paths.residual + added, (*paths.dense, appended))

    def _split(self, x: Tensor) -> list[Tensor]:
        return ops.split(x, [self.residual], axis=1)


class DualPathNet(Network):
    """A dual path network, (N, 3, H, W) → (N, num_classes) logits.

    Args:
        stem_channels: output channels of the stem.
        stages: see DualPathStage.
        groups: of the 3×3 convolutions.
        num_classes: number of logits.

    Raises:
        ShapeError: the images are not (N, 3, H, W).
    """

    def __init__(self, stem_channels: int, stages: Sequence[DualPathStage], groups: int, num_classes: int) -> None:
        conv = Conv2d(3, stem_channels, 7, 2, padding=3, bias=False)
        self.stem = Sequential(conv, BatchNorm2d(stem_channels, NORM_EPS, relu=True), MaxPool2d(3, 2, padding=1))
        self.units = Sequential()
        channels = stem_channels
        for stage in stages:
            for i in range(stage.units):
                self.units.append(DualPathUnit(channels, stage, groups, is_first=i == 0))
                channels = stage.residual + stage.increment * (i + 3)  # the first unit's dense path: 3 · inc
        self.norm = BatchNorm2d(channels, NORM_EPS, relu=True)
        self.classifier = Linear(channels, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        check_images("DualPathNet", x, smallest=1)
        paths = Paths(self.stem(x))
        for unit in self.units:
            paths = unit(paths)
        return self.classifier(ops.global_avg_pool2d(self.norm(paths.joined())))


def dpn92(num_classes: int = 1000) -> DualPathNet:
    """Return DPN-92 for ImageNet: 37.7 M parameters, 6.50 G multiply-adds at 224 pixels."""
    stages = (
        DualPathStage(96, 256, 16, 3, 1),
        DualPathStage(192, 512, 32, 4, 2),
        DualPathStage(384, 1024, 24, 20, 2),
        DualPathStage(768, 2048, 128, 3, 2),
    )
    return DualPathNet(64, stages, 32, num_classes)


def dpn98(num_classes: int = 1000) -> DualPathNet:
    """Return DPN-98 for ImageNet: 61.6 M parameters, 11.67 G multiply-adds at 224 pixels."""
    stages = (
        DualPathStage(160, 256, 16, 3, 1),
        DualPathStage(320, 512, 32, 6, 2),
        DualPathStage(640, 1024, 32, 20, 2),
        DualPathStage(1280, 2048, 128, 3, 2),
    )
    return DualPathNet(96, stages, 40, num_classes)
