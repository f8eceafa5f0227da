"""Residual attention networks: a mask computed at lower resolutions weights a trunk of units, (1 + mask) · trunk.

    x ─ unit ─ p ─┬─ unit ─ unit ─ T ─────────────────────────────────────┬─ (1 + M) ⊙ T ─ unit ─
                  └─ d₀ ─ pool, unit ─ d₁ ─ … ─ d_k ─ unit ─ u            │
                     u ← unit(unit(dᵢ) + resize(u)),  i = k-1 … 1         │
                     resize to T ─ 1×1 ─ BN ─ ReLU ─ 1×1 ─ σ ─ M ─────────┘

A module with k pools holds 3k + 3 units: 12, 9, 6 for k = 3, 2, 1, so that the lowest map is 7×7 at 224 pixels.
Two families differ in the unit. AttentionNeXt has ResNeXt's unit. Attention has batch norm before each convolution:

    x ─┬─ BN ─ ReLU ─ a ─ 1×1 → c/4 ─ BN ─ ReLU ─ 3×3 ─ BN ─ ReLU ─ 1×1 → c ─ + ─
       └─ shortcut: x, or 1×1 of a ──────────────────────────────────────────┘

Two options change what is computed, not the parameters. caffe_pool=False pads each pool by 1 instead of pooling in ceil
mode. extra_sums=True also adds dᵢ and T to the mask branch, which then has residuals around its own residual units:

    u ← unit(dᵢ + unit(dᵢ) + resize(u))        the mask's first convolution takes T + resize(u)

The ports to PyTorch compute so: github.com/tengshaofeng/ResidualAttentionNetwork-pytorch, and resattnet of pytorchcv.

Source: Wang et al., *Residual Attention Network for Image Classification*, CVPR 2017; the prototxt files of
github.com/fwang91/residual-attention-network.
"""

from collections.abc import Callable, Iterator, Sequence

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..nn import BatchNorm2d, Conv2d, MaxPool2d, Module, ModuleList, Sequential, Sigmoid, conv_norm
from .residual import BN_MOMENTUM, ResidualNet, Stage, UnitFactory, grouped_units, imagenet_stem

STAGES = (Stage(128, 256, 1, 1), Stage(256, 512, 1, 2), Stage(512, 1024, 1, 2), Stage(1024, 2048, 3, 2))
POOLS = {256: 3, 512: 2, 1024: 1}  # of a module with so many channels
SMALLEST_SIZE = 31  # pixels: the first module halves a map of 8×8 three times


class PreActivationUnit(Module):
    """A bottleneck with batch norm and ReLU before each convolution, (N, C, H, W) → (N, O, H / stride, W / stride).

    Args:
        in_channels, out_channels: C and O; the 3×3 convolution has O / 4 channels.
        stride: of the 3×3 convolution, and of the projection.
        project: use a 1×1 convolution of the first activation as the shortcut, else the identity.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, project: bool = False) -> None:
        width = out_channels // 4
        self.reduce_norm = _norm(in_channels)
        self.reduce = Conv2d(in_channels, width, 1, bias=False)
        self.middle_norm = _norm(width)
        self.middle = Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.increase_norm = _norm(width)
        self.increase = Conv2d(width, out_channels, 1, bias=False)
        self.project = Conv2d(in_channels, out_channels, 1, stride, bias=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        a = self.reduce_norm(x)
        out = conv_norm(self.middle, self.increase_norm, conv_norm(self.reduce, self.middle_norm, a))
        out = self.increase(out)
        return out + (x if self.project is None else self.project(a))


class Rise(Module):
    """One step up in the mask branch: u ← unit(unit(d) + resize(u, to the size of d)); d, u: of C channels.

    extra_sums: also add d itself.
    """

    def __init__(self, unit: Callable[[], Module], extra_sums: bool = False) -> None:
        self.skip = unit()
        self.merge = unit()
        self.extra_sums = extra_sums

    def forward(self, d: Tensor, u: Tensor) -> Tensor:
        total = self.skip(d) + ops.interpolate(u, d.shape[2:])
        return self.merge(total + d if self.extra_sums else total)


class AttentionModule(Module):
    """A trunk of units and its mask, (N, C, H, W) → (N, C, H, W).

    Args:
        channels: C.
        pools: k, how often the mask branch halves the map.
        unit: returns a unit for (in_channels, width, out_channels, stride, project).
        norm: batch norm and ReLU before the mask's first 1×1 convolution, as units with pre-activation need it.
        caffe_pool, extra_sums: see the top of the file.

    Raises:
        ShapeError: the map is too small to be halved k times.
    """

    def __init__(
        self,
        channels: int,
        pools: int,
        unit: UnitFactory,
        norm: bool,
        caffe_pool: bool = True,
        extra_sums: bool = False,
    ) -> None:
        def same() -> Module:
            return unit(channels, channels // 2, channels, 1, False)

        self.first = same()
        self.trunk = Sequential(same(), same())
        self.pool = MaxPool2d(3, 2, ceil_mode=True) if caffe_pool else MaxPool2d(3, 2, padding=1)
        self.down = ModuleList([same() for _ in range(pools)])
        self.lowest = same()
        self.rises = ModuleList([Rise(same, extra_sums) for _ in range(pools - 1)])
        self.extra_sums = extra_sums
        self.mask = Sequential(*([_norm(channels)] if norm else []))
        for layer in (_pointwise(channels), _norm(channels), _pointwise(channels), Sigmoid()):
            self.mask.append(layer)
        self.last = same()

    def forward(self, x: Tensor) -> Tensor:
        p = self.first(x)
        trunk = self.trunk(p)
        maps = list(self._descend(p))
        u = self.lowest(maps.pop())
        for rise in self.rises:
            u = rise(maps.pop(), u)
        u = ops.interpolate(u, trunk.shape[2:])
        mask = self.mask(u + trunk if self.extra_sums else u)
        return self.last(mask * trunk + trunk)

    def _descend(self, p: Tensor) -> Iterator[Tensor]:
        """Yield d₁ … d_k."""
        d = p
        for unit in self.down:
            if min(d.shape[2:]) < 2:
                halved = f"its mask branch halves the map {len(self.down)} times"
                raise ShapeError(f"AttentionModule: x {p.shape} is too small: {halved}")
            d = unit(self.pool(d))
            yield d


def attentionnext56(num_classes: int = 1000) -> ResidualNet:
    """Return AttentionNeXt-56 for ImageNet: 31.3 M parameters, 6.42 G multiply-adds at 224 pixels."""
    return _network(grouped_units(32), False, (1, 1, 1), num_classes)


def attention56(num_classes: int = 1000, caffe_pool: bool = True, extra_sums: bool = False) -> ResidualNet:
    """Return Attention-56 for ImageNet: 31.8 M parameters, 6.27 G multiply-adds at 224 pixels.

    caffe_pool, extra_sums: the defaults are the authors'; see the top of the file.
    """
    return _network(pre_activation_unit, True, (1, 1, 1), num_classes, caffe_pool, extra_sums)


def attention92(num_classes: int = 1000, caffe_pool: bool = True, extra_sums: bool = False) -> ResidualNet:
    """Return Attention-92 for ImageNet: 52.5 M parameters, 10.5 G multiply-adds at 224 pixels.

    caffe_pool, extra_sums: the defaults are the authors'; see the top of the file.
    """
    return _network(pre_activation_unit, True, (1, 2, 3), num_classes, caffe_pool, extra_sums)


def _network(
    unit: UnitFactory,
    norm: bool,
    modules: Sequence[int],
    num_classes: int,
    caffe_pool: bool = True,
    extra_sums: bool = False,
) -> ResidualNet:
    """Return a network of units; modules: their number in each of the first three stages."""
    counts = dict(zip(POOLS, modules, strict=True))

    def between(channels: int) -> Module:
        settings = (channels, POOLS[channels], unit, norm, caffe_pool, extra_sums)
        return Sequential(*[AttentionModule(*settings) for _ in range(counts[channels])])

    last_norm = _norm(2048) if norm else None
    return ResidualNet(imagenet_stem(caffe_pool), 64, STAGES, unit, num_classes, between, last_norm)


def pre_activation_unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
    """Return a PreActivationUnit, as ResidualNet asks for a unit; its inner width does not depend on `width`."""
    return PreActivationUnit(in_channels, out_channels, stride, project)


def _norm(channels: int) -> Module:
    return BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True)


def _pointwise(channels: int) -> Module:
    return Conv2d(channels, channels, 1, bias=False)
