"""Inception-v3: five kinds of unit, and an auxiliary classifier half-way that only training uses.

    A(f)   C(64,1) │ C(48,1) → C(64,5×5) │ C(64,1) → C(96,3×3) → C(96,3×3) │ average → C(f,1)
    B      C(384,3×3)/2 │ C(64,1) → C(96,3×3) → C(96,3×3)/2 │ max/2
    C(c)   C(192,1) │ C(c,1) → C(c,1×7) → C(192,7×1)
                    │ C(c,1) → C(c,7×1) → C(c,1×7) → C(c,7×1) → C(192,1×7) │ average → C(192,1)
    D      C(192,1) → C(320,3×3)/2 │ C(192,1) → C(192,1×7) → C(192,7×1) → C(192,3×3)/2 │ max/2
    E      C(320,1) │ C(384,1) → [C(384,1×3) │ C(384,3×1)]
                    │ C(448,1) → C(384,3×3) → [C(384,1×3) │ C(384,3×1)] │ average → C(192,1)

    stem → A(32) A(64) A(64) → B → C(128) C(160) C(160) C(192) → D → E E → mean → dropout → classifier
                                                          └→ auxiliary classifier

C(o, k): k×k convolution to o channels with batch norm and ReLU; /2: stride 2 without padding; │: concatenated.
Source: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, figures 5 to 7 and 10, and the authors'
model file (tensorflow/models, research/slim/nets/inception_v3.py).
"""

from .. import ops
from ..autograd import Tensor
from ..nn import AvgPool2d, Dropout, Linear, Module, Sequential, init
from .inception import SMALLEST_SIZE, Branches, Conv, ConvNorm, chain, fork, halving_pool, plain_stem, pooled
from .network import AuxiliaryOutputs, Network, Outputs, check_images

AUXILIARY_WEIGHT = 0.4  # of the auxiliary loss in the training loss
SMALLEST_WITH_AUXILIARY = 299  # pixels: the auxiliary classifier's 5×5 convolution needs a map of 17×17


def inception_v3(
    num_classes: int = 1000, auxiliary: bool = True, count_include_pad: bool = False, dropout: float = 0.2
) -> "InceptionV3":
    """Return Inception-v3 for ImageNet: 27.2 M parameters, 5.72 G multiply-adds at 299 pixels.

    Without the auxiliary classifier: 23.8 M and 5.71 G.

    Args:
        num_classes: number of logits.
        auxiliary: whether there is an auxiliary classifier.
        count_include_pad: average as PyTorch's ports and their weights do, which count the padding's zeros.
        dropout: probability before the classifier.
    """
    return InceptionV3(num_classes, auxiliary, count_include_pad, dropout)


class InceptionV3(Network):
    """Inception-v3, (N, 3, H, W) → (N, num_classes) logits; the arguments of `inception_v3`.

    In training mode, with the auxiliary classifier, it returns AuxiliaryOutputs.

    Raises:
        ShapeError: the images are not (N, 3, H, W) of at least 75 pixels, or of at least 299 in training with the
            auxiliary classifier.
    """

    def __init__(self, num_classes: int, auxiliary: bool, count_include_pad: bool, dropout: float) -> None:
        rule = count_include_pad
        self.stem = plain_stem()
        self.units_a = Sequential(unit_a(192, 32, rule), unit_a(256, 64, rule), unit_a(288, 64, rule))
        self.unit_b = unit_b(288)
        self.units_c = Sequential(*[unit_c(width, rule) for width in (128, 160, 160, 192)])
        self.auxiliary = AuxiliaryClassifier(768, num_classes) if auxiliary else None
        self.unit_d = unit_d(768)
        self.units_e = Sequential(unit_e(1280, rule), unit_e(2048, rule))
        self.dropout = Dropout(dropout)
        self.classifier = Linear(2048, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Outputs:
        head = self.auxiliary if self.training else None
        check_images("InceptionV3", x, SMALLEST_SIZE)
        if head is not None:
            check_images("InceptionV3 with its auxiliary classifier", x, SMALLEST_WITH_AUXILIARY)
        middle = self.units_c(self.unit_b(self.units_a(self.stem(x))))
        features = ops.global_avg_pool2d(self.units_e(self.unit_d(middle)))
        logits = self.classifier(self.dropout(features))
        return logits if head is None else AuxiliaryOutputs(logits, head(middle), AUXILIARY_WEIGHT)


class AuxiliaryClassifier(Module):
    """Logits from a map of 17×17 pixels, (N, in_channels, 17, 17) → (N, num_classes).

    5×5 average of stride 3 → C(128,1) → C(768,5×5) without padding → mean → linear.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        self.pool = AvgPool2d(5, 3)
        self.reduce = ConvNorm(in_channels, Conv(128, 1))
        self.gather = ConvNorm(128, Conv(768, 5, valid=True))
        self.classifier = Linear(768, num_classes)
        init.normal_(self.gather.conv.weight, std=0.01)
        init.normal_(self.classifier.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(ops.global_avg_pool2d(self.gather(self.reduce(self.pool(x)))))


def unit_a(in_channels: int, pool: int, count_include_pad: bool) -> Branches:
    """Return A: (N, in_channels, H, W) → (N, 224 + pool, H, W)."""
    return Branches(
        ConvNorm(in_channels, Conv(64, 1)),
        chain(in_channels, Conv(48, 1), Conv(64, 5)),
        chain(in_channels, Conv(64, 1), Conv(96, 3), Conv(96, 3)),
        pooled(in_channels, pool, count_include_pad),
    )


def unit_b(in_channels: int) -> Branches:
    """Return B, which halves the map: (N, in_channels, H, W) → (N, 480 + in_channels, Ho, Wo)."""
    return Branches(
        ConvNorm(in_channels, Conv(384, 3, 2, valid=True)),
        chain(in_channels, Conv(64, 1), Conv(96, 3), Conv(96, 3, 2, valid=True)),
        halving_pool(),
    )


def unit_c(width: int, count_include_pad: bool) -> Branches:
    """Return C: (N, 768, H, W) → (N, 768, H, W)."""
    row, column = (1, 7), (7, 1)
    return Branches(
        ConvNorm(768, Conv(192, 1)),
        chain(768, Conv(width, 1), Conv(width, row), Conv(192, column)),
        chain(768, Conv(width, 1), Conv(width, column), Conv(width, row), Conv(width, column), Conv(192, row)),
        pooled(768, 192, count_include_pad),
    )


def unit_d(in_channels: int) -> Branches:
    """Return D, which halves the map: (N, in_channels, H, W) → (N, 512 + in_channels, Ho, Wo)."""
    return Branches(
        chain(in_channels, Conv(192, 1), Conv(320, 3, 2, valid=True)),
        chain(in_channels, Conv(192, 1), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, valid=True)),
        halving_pool(),
    )


def unit_e(in_channels: int, count_include_pad: bool) -> Branches:
    """Return E: (N, in_channels, H, W) → (N, 2048, H, W)."""
    ends = Conv(384, (1, 3)), Conv(384, (3, 1))
    return Branches(
        ConvNorm(in_channels, Conv(320, 1)),
        Sequential(ConvNorm(in_channels, Conv(384, 1)), fork(384, *ends)),
        Sequential(chain(in_channels, Conv(448, 1), Conv(384, 3)), fork(384, *ends)),
        pooled(in_channels, 192, count_include_pad),
    )
