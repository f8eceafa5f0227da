"""ResNeXt and ResNet with CBAM or BAM: attention over channels and over pixels.

    CBAM  x ─┬─ 1×1 ─ BN ─ ReLU ─ 3×3 in groups ─ BN ─ ReLU ─ 1×1 ─ BN ─ channels ─ pixels ─ + ─ ReLU ─
             └─ shortcut ────────────────────────────────────────────────────────────────────┘
          in every unit, see attention/cbam.py

    BAM   stem ─ stage 1 ─ BAM ─ stage 2 ─ BAM ─ stage 3 ─ BAM ─ stage 4 ─ mean ─ classifier
          between plain stages, see attention/bam.py

The authors publish weights of ResNet-50, whose 3×3 convolutions have one group and half the width.

Source: Woo et al., *CBAM*, ECCV 2018, and Park et al., *BAM*, BMVC 2018; MODELS/model_resnet.py
(github.com/Jongchan/attention-module).
"""

from .attention import BAM, CBAM
from .residual import CIFAR_STAGES, ResidualNet, cifar_stem, grouped_units, imagenet_stages, imagenet_stem


def resnet50_cbam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNet-50 with CBAM for ImageNet: 28.1 M parameters, 4.1 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3), 64), grouped_units(1, CBAM), num_classes)


def resnet50_bam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNet-50 with BAM for ImageNet: 25.9 M parameters, 4.2 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3), 64), grouped_units(1), num_classes, BAM)


def resnext50_cbam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNeXt-50 32×4d with CBAM for ImageNet: 27.6 M parameters, 4.24 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3)), grouped_units(32, CBAM), num_classes)


def resnext101_cbam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNeXt-101 32×4d with CBAM for ImageNet: 49.0 M parameters, 7.98 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 23, 3)), grouped_units(32, CBAM), num_classes)


def resnext29_cbam(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """Return ResNeXt-29 16×32d for CIFAR with CBAM in every unit."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, grouped_units(groups, CBAM), num_classes)


def resnext50_bam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNeXt-50 32×4d with BAM for ImageNet: 25.4 M parameters, 4.31 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3)), grouped_units(32), num_classes, BAM)


def resnext101_bam(num_classes: int = 1000) -> ResidualNet:
    """Return ResNeXt-101 32×4d with BAM for ImageNet: 44.5 M parameters, 8.05 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 23, 3)), grouped_units(32), num_classes, BAM)


def resnext29_bam(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """Return ResNeXt-29 16×32d for CIFAR with BAM after the first and the second stage."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, grouped_units(groups), num_classes, BAM)
