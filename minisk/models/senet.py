"""SENet on ResNeXt's skeleton: squeeze and excitation weights the channels of every unit's branch.

    x ─┬─ 1×1 ─ BN ─ ReLU ─ 3×3 in groups ─ BN ─ ReLU ─ 1×1 ─ BN ─ u ─ a ⊙ u ─ + ─ ReLU ─
       └─ shortcut ────────────────────────────────────────────────────────────┘
    a = σ(W₂ · ReLU(W₁ · mean of each plane of u)), see attention/squeeze_excitation.py

Source: Hu et al., *Squeeze-and-Excitation Networks*, CVPR 2018; SE-ResNeXt-50.prototxt and SE-ResNeXt-101.prototxt
(github.com/hujie-frank/SENet). The SKNet paper calls them SENet-50 and SENet-101.
"""

from collections.abc import Sequence

from .attention import SqueezeExcitation
from .residual import CIFAR_STAGES, ResidualNet, cifar_stem, grouped_units, imagenet_stages, imagenet_stem


def seresnext50(num_classes: int = 1000, caffe_pool: bool = False) -> ResidualNet:
    """Return SE-ResNeXt-50 32×4d for ImageNet: 27.6 M parameters, 4.23 G multiply-adds at 224 pixels.

    caffe_pool: see imagenet_stem; the authors' graph has it.
    """
    return _imagenet_senet((3, 4, 6, 3), num_classes, caffe_pool)


def seresnext101(num_classes: int = 1000, caffe_pool: bool = False) -> ResidualNet:
    """Return SE-ResNeXt-101 32×4d for ImageNet: 49.0 M parameters, 7.97 G multiply-adds at 224 pixels.

    caffe_pool: see imagenet_stem; the authors' graph has it.
    """
    return _imagenet_senet((3, 4, 23, 3), num_classes, caffe_pool)


def _imagenet_senet(units: Sequence[int], num_classes: int, caffe_pool: bool) -> ResidualNet:
    unit = grouped_units(32, SqueezeExcitation)
    return ResidualNet(imagenet_stem(caffe_pool), 64, imagenet_stages(units), unit, num_classes)


def seresnext29(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """Return ResNeXt-29 16×32d for CIFAR with squeeze and excitation in every unit."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, grouped_units(groups, SqueezeExcitation), num_classes)
