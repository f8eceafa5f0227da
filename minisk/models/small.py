"""Small networks for CIFAR on a CPU: one skeleton, to compare attention at equal multiply-adds.

    stem 3×3, stride 2 → 32 ─ 1 unit → 96 ─ 2 units → 192 ─ 2 units → 256 ─ mean of each plane ─ classifier
    unit: x ─┬─ 1×1 ─ BN ─ ReLU ─ 3×3 in groups ─ BN ─ ReLU ─ 1×1 ─ BN ─ (attention) ─ + ─ ReLU ─
             └─ shortcut ─────────────────────────────────────────────────────────────┘

    name          multiply-adds at 32 pixels    attention
    sknet_small   24.1 M                        two branches of a selective kernel in every unit, see sknet.py
    small_plain   24.0 M                        none
    small_se      24.0 M                        squeeze and excitation in every unit
    small_cbam    24.1 M                        channels, then pixels, in every unit
    small_bam     24.6 M                        elements, after the first and the second stage

sknet_small has two 3×3 convolutions in a unit. The others have one, with more channels and wider groups instead.
The networks are minisk's own. The papers are those of the attention modules, see attention/.
"""

from ..nn import Module
from .attention import BAM, CBAM, SqueezeExcitation
from .residual import AttentionFactory, ResidualNet, Stage, cifar_stem, grouped_units

STAGES = (Stage(52, 96, 1, 1), Stage(104, 192, 2, 2), Stage(208, 256, 2, 2))
CHANNELS_PER_GROUP = 26


def small_plain(num_classes: int = 10) -> ResidualNet:
    """Return the small network without attention: 0.51 M parameters, 24.0 M multiply-adds at 32 pixels."""
    return _network(num_classes)


def small_se(num_classes: int = 10) -> ResidualNet:
    """Return the small network with squeeze and excitation: 0.54 M parameters, 24.0 M multiply-adds at 32 pixels."""
    return _network(num_classes, attention=SqueezeExcitation)


def small_cbam(num_classes: int = 10) -> ResidualNet:
    """Return the small network with CBAM: 0.54 M parameters, 24.1 M multiply-adds at 32 pixels."""
    return _network(num_classes, attention=CBAM)


def small_bam(num_classes: int = 10) -> ResidualNet:
    """Return the small network with BAM: 0.53 M parameters, 24.6 M multiply-adds at 32 pixels."""
    return _network(num_classes, between=BAM)


def _network(
    num_classes: int, attention: AttentionFactory | None = None, between: AttentionFactory | None = None
) -> ResidualNet:
    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        return grouped_units(width // CHANNELS_PER_GROUP, attention)(in_channels, width, out_channels, stride, project)

    return ResidualNet(cifar_stem(32, stride=2), 32, STAGES, unit, num_classes, between)
