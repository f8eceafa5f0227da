"""Inception-ResNet-v2: Inception units as the residual branches of a residual network.

    x ─┬─ branches, concatenated ─ 1×1 convolution with bias ─ × scale ─ + ─ ReLU
       └──────────────────────────────────────────────────────────────────┘

    5b        C(96,1) │ C(48,1) → C(64,5×5) │ C(64,1) → C(96,3×3) → C(96,3×3) │ average → C(64,1)
    block 35  C(32,1) │ C(32,1) → C(32,3×3) │ C(32,1) → C(48,3×3) → C(64,3×3)                     scale 0.17
    6a        C(384,3×3)/2 │ C(256,1) → C(256,3×3) → C(384,3×3)/2 │ max/2
    block 17  C(192,1) │ C(128,1) → C(160,1×7) → C(192,7×1)                                       scale 0.10
    7a        C(256,1) → C(384,3×3)/2 │ C(256,1) → C(288,3×3)/2
              │ C(256,1) → C(288,3×3) → C(320,3×3)/2 │ max/2
    block 8   C(192,1) │ C(192,1) → C(224,1×3) → C(256,3×1)                                       scale 0.20

    stem → 5b → 10 block 35 → 6a → 20 block 17 → 7a → 10 block 8 → C(1536,1) → mean → dropout → classifier

The last block 8 has scale 1 and no ReLU. The scales keep training stable: the variance of the sum grows with depth.
C(o, k): k×k convolution to o channels with batch norm and ReLU; /2: stride 2 without padding; │: concatenated.
Source: Szegedy et al., *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*, AAAI 2017,
and the authors' model file (tensorflow/models, research/slim/nets/inception_resnet_v2.py), which differs from the
paper's figures in widths.
"""

from .. import ops
from ..autograd import Tensor
from ..nn import Conv2d, Dropout, Linear, Module, Sequential, init
from .inception import SMALLEST_SIZE, Branches, Conv, ConvNorm, chain, halving_pool, plain_stem, pooled
from .network import Network, check_images


def inception_resnet_v2(num_classes: int = 1000, dropout: float = 0.2) -> "InceptionResNetV2":
    """Return Inception-ResNet-v2 for ImageNet: 55.8 M parameters, 13.16 G multiply-adds at 299 pixels.

    Args:
        num_classes: number of logits.
        dropout: probability before the classifier.
    """
    return InceptionResNetV2(num_classes, dropout)


class InceptionResNetV2(Network):
    """Inception-ResNet-v2, (N, 3, H, W) → (N, num_classes) logits; the arguments of `inception_resnet_v2`.

    Raises:
        ShapeError: the images are not (N, 3, H, W) of at least 75 pixels.
    """

    def __init__(self, num_classes: int, dropout: float) -> None:
        self.stem = plain_stem()
        self.mixed_5b = mixed_5b()
        self.blocks_35 = Sequential(*[block_35() for _ in range(10)])
        self.mixed_6a = mixed_6a()
        self.blocks_17 = Sequential(*[block_17() for _ in range(20)])
        self.mixed_7a = mixed_7a()
        self.blocks_8 = Sequential(*[block_8() for _ in range(9)], last_block_8())
        self.conv_7b = ConvNorm(2080, Conv(1536, 1))
        self.dropout = Dropout(dropout)
        self.classifier = Linear(1536, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        check_images("InceptionResNetV2", x, SMALLEST_SIZE)
        x = self.blocks_35(self.mixed_5b(self.stem(x)))
        x = self.blocks_17(self.mixed_6a(x))
        x = self.conv_7b(self.blocks_8(self.mixed_7a(x)))
        return self.classifier(self.dropout(ops.global_avg_pool2d(x)))


class ScaledPointwise(Conv2d):
    """scale · (1×1 convolution with bias), (N, C, H, W) → (N, O, H, W). Its weights are scaled, fewer than its outputs.

    Args:
        in_channels, out_channels: C and O.
        scale: a number.
    """

    def __init__(self, in_channels: int, out_channels: int, scale: float) -> None:
        super().__init__(in_channels, out_channels, 1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return ops.conv2d(x, self.weight * self.scale, self.bias * self.scale)


class ScaledResidual(Module):
    """relu(x + up(branches(x))); up is scale · (a 1×1 convolution with bias). The shape stays the same.

    Args:
        channels: of x.
        branches: channels → branch_channels.
        branch_channels: of the concatenated branches.
        scale: of the residual.
        relu: whether there is a ReLU after the sum.
    """

    def __init__(
        self, channels: int, branches: Branches, branch_channels: int, scale: float, relu: bool = True
    ) -> None:
        self.branches = branches
        self.up = ScaledPointwise(branch_channels, channels, scale)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        residual = self.up(self.branches(x))
        return ops.add_relu(x, residual) if self.relu else x + residual


def mixed_5b() -> Branches:
    """Return 5b: (N, 192, H, W) → (N, 320, H, W)."""
    return Branches(
        ConvNorm(192, Conv(96, 1)),
        chain(192, Conv(48, 1), Conv(64, 5)),
        chain(192, Conv(64, 1), Conv(96, 3), Conv(96, 3)),
        pooled(192, 64),
    )


def block_35() -> ScaledResidual:
    """Return a block for maps of 35×35 pixels and 320 channels."""
    branches = Branches(
        ConvNorm(320, Conv(32, 1)),
        chain(320, Conv(32, 1), Conv(32, 3)),
        chain(320, Conv(32, 1), Conv(48, 3), Conv(64, 3)),
    )
    return ScaledResidual(320, branches, 128, scale=0.17)


def mixed_6a() -> Branches:
    """Return 6a: (N, 320, H, W) → (N, 1088, Ho, Wo)."""
    return Branches(
        ConvNorm(320, Conv(384, 3, 2, valid=True)),
        chain(320, Conv(256, 1), Conv(256, 3), Conv(384, 3, 2, valid=True)),
        halving_pool(),
    )


def block_17() -> ScaledResidual:
    """Return a block for maps of 17×17 pixels and 1088 channels."""
    branches = Branches(
        ConvNorm(1088, Conv(192, 1)),
        chain(1088, Conv(128, 1), Conv(160, (1, 7)), Conv(192, (7, 1))),
    )
    return ScaledResidual(1088, branches, 384, scale=0.10)


def mixed_7a() -> Branches:
    """Return 7a: (N, 1088, H, W) → (N, 2080, Ho, Wo)."""
    return Branches(
        chain(1088, Conv(256, 1), Conv(384, 3, 2, valid=True)),
        chain(1088, Conv(256, 1), Conv(288, 3, 2, valid=True)),
        chain(1088, Conv(256, 1), Conv(288, 3), Conv(320, 3, 2, valid=True)),
        halving_pool(),
    )


def block_8(scale: float = 0.20, relu: bool = True) -> ScaledResidual:
    """Return a block for maps of 8×8 pixels and 2080 channels."""
    branches = Branches(
        ConvNorm(2080, Conv(192, 1)),
        chain(2080, Conv(192, 1), Conv(224, (1, 3)), Conv(256, (3, 1))),
    )
    return ScaledResidual(2080, branches, 448, scale, relu)


def last_block_8() -> ScaledResidual:
    """Return the last block, whose residual is not scaled and whose sum has no ReLU."""
    return block_8(scale=1.0, relu=False)
