"""Inception-v4: a stem of branches, then fourteen units of three kinds, with two reductions between the kinds.

    stem         C(32,3×3)/2v → C(32,3×3)v → C(64,3×3)
                 → max/2 │ C(96,3×3)/2v
                 → C(64,1) → C(96,3×3)v │ C(64,1) → C(64,1×7) → C(64,7×1) → C(96,3×3)v
                 → C(192,3×3)/2v │ max/2
    A            C(96,1) │ C(64,1) → C(96,3×3) │ C(64,1) → C(96,3×3) → C(96,3×3) │ average → C(96,1)
    reduction A  C(384,3×3)/2v │ C(192,1) → C(224,3×3) → C(256,3×3)/2v │ max/2
    B            C(384,1) │ C(192,1) → C(224,1×7) → C(256,7×1)
                 │ C(192,1) → C(192,7×1) → C(224,1×7) → C(224,7×1) → C(256,1×7) │ average → C(128,1)
    reduction B  C(192,1) → C(192,3×3)/2v │ C(256,1) → C(256,1×7) → C(320,7×1) → C(320,3×3)/2v │ max/2
    C            C(256,1) │ C(384,1) → [C(256,1×3) │ C(256,3×1)]
                 │ C(384,1) → C(448,3×1) → C(512,1×3) → [C(256,1×3) │ C(256,3×1)] │ average → C(256,1)

    stem → 4 A → reduction A → 7 B → reduction B → 3 C → mean → dropout → classifier

C(o, k): k×k convolution to o channels with batch norm and ReLU; v: without padding; │: concatenated.
Source: Szegedy et al., *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*, AAAI 2017,
figures 3 to 9, and the authors' model file (tensorflow/models, research/slim/nets/inception_v4.py).
"""

from .. import ops
from ..autograd import Tensor
from ..nn import Dropout, Linear, Sequential, init
from .inception import SMALLEST_SIZE, Branches, Conv, ConvNorm, chain, first_convs, fork, halving_pool, pooled
from .network import Network, check_images


def inception_v4(num_classes: int = 1000, dropout: float = 0.2) -> "InceptionV4":
    """Return Inception-v4 for ImageNet: 42.7 M parameters, 12.25 G multiply-adds at 299 pixels.

    Args:
        num_classes: number of logits.
        dropout: probability before the classifier.
    """
    return InceptionV4(num_classes, dropout)


class InceptionV4(Network):
    """Inception-v4, (N, 3, H, W) → (N, num_classes) logits; the arguments of `inception_v4`.

    Raises:
        ShapeError: the images are not (N, 3, H, W) of at least 75 pixels.
    """

    def __init__(self, num_classes: int, dropout: float) -> None:
        self.stem = Sequential(first_convs(), stem_3a(), stem_4a(), stem_5a())
        self.units_a = Sequential(*[unit_a() for _ in range(4)])
        self.reduction_a = reduction_a()
        self.units_b = Sequential(*[unit_b() for _ in range(7)])
        self.reduction_b = reduction_b()
        self.units_c = Sequential(*[unit_c() for _ in range(3)])
        self.dropout = Dropout(dropout)
        self.classifier = Linear(1536, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        check_images("InceptionV4", x, SMALLEST_SIZE)
        x = self.reduction_a(self.units_a(self.stem(x)))
        x = self.units_c(self.reduction_b(self.units_b(x)))
        return self.classifier(self.dropout(ops.global_avg_pool2d(x)))


def stem_3a() -> Branches:
    """Return the first branches of the stem: (N, 64, H, W) → (N, 160, Ho, Wo)."""
    return Branches(halving_pool(), ConvNorm(64, Conv(96, 3, 2, valid=True)))


def stem_4a() -> Branches:
    """Return the second branches of the stem: (N, 160, H, W) → (N, 192, H - 2, W - 2)."""
    return Branches(
        chain(160, Conv(64, 1), Conv(96, 3, valid=True)),
        chain(160, Conv(64, 1), Conv(64, (1, 7)), Conv(64, (7, 1)), Conv(96, 3, valid=True)),
    )


def stem_5a() -> Branches:
    """Return the third branches of the stem: (N, 192, H, W) → (N, 384, Ho, Wo)."""
    return Branches(ConvNorm(192, Conv(192, 3, 2, valid=True)), halving_pool())


def unit_a() -> Branches:
    """Return A: (N, 384, H, W) → (N, 384, H, W)."""
    return Branches(
        ConvNorm(384, Conv(96, 1)),
        chain(384, Conv(64, 1), Conv(96, 3)),
        chain(384, Conv(64, 1), Conv(96, 3), Conv(96, 3)),
        pooled(384, 96),
    )


def reduction_a() -> Branches:
    """Return reduction A: (N, 384, H, W) → (N, 1024, Ho, Wo)."""
    return Branches(
        ConvNorm(384, Conv(384, 3, 2, valid=True)),
        chain(384, Conv(192, 1), Conv(224, 3), Conv(256, 3, 2, valid=True)),
        halving_pool(),
    )


def unit_b() -> Branches:
    """Return B: (N, 1024, H, W) → (N, 1024, H, W)."""
    row, column = (1, 7), (7, 1)
    return Branches(
        ConvNorm(1024, Conv(384, 1)),
        chain(1024, Conv(192, 1), Conv(224, row), Conv(256, column)),
        chain(1024, Conv(192, 1), Conv(192, column), Conv(224, row), Conv(224, column), Conv(256, row)),
        pooled(1024, 128),
    )


def reduction_b() -> Branches:
    """Return reduction B: (N, 1024, H, W) → (N, 1536, Ho, Wo)."""
    return Branches(
        chain(1024, Conv(192, 1), Conv(192, 3, 2, valid=True)),
        chain(1024, Conv(256, 1), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, 2, valid=True)),
        halving_pool(),
    )


def unit_c() -> Branches:
    """Return C: (N, 1536, H, W) → (N, 1536, H, W)."""
    ends = Conv(256, (1, 3)), Conv(256, (3, 1))
    return Branches(
        ConvNorm(1536, Conv(256, 1)),
        Sequential(ConvNorm(1536, Conv(384, 1)), fork(384, *ends)),
        Sequential(chain(1536, Conv(384, 1), Conv(448, (3, 1)), Conv(512, (1, 3))), fork(512, *ends)),
        pooled(1536, 256),
    )
