"""CBAM, the convolutional block attention module: a weight per channel, then a weight per pixel.

    channel   u ─┬─ mean of each plane ────┬─ fc1 → C/r ─ ReLU ─ fc2 → C ─ (sum of the two) ─ σ ─ a    v = a ⊙ u
                 └─ largest of each plane ─┘
    spatial   v ─┬─ largest over channels ─┬─ 7×7, 2 → 1 ─ BN ─ σ ─ b                                  b ⊙ v
                 └─ mean over channels ────┘

u, v: (N, C, H, W); a: (N, C); b: (N, 1, H, W). Mean and largest share fc1 and fc2, so their multiply-adds count twice.
Source: Woo et al., *CBAM*, ECCV 2018; MODELS/cbam.py (github.com/Jongchan/attention-module).
"""

from ... import ops
from ...autograd import Tensor
from ...errors import require_integers
from ...nn import BatchNorm2d, Conv2d, Linear, Module, ReLU, Sequential, conv_norm, init


class CBAM(Module):
    """Weight each channel, then each pixel, (N, C, H, W) → (N, C, H, W).

    Args:
        channels: C.
        r: reduction of the inner layer, to C / r channels.

    Raises:
        ShapeError: a size is not an integer of at least 1.
    """

    def __init__(self, channels: int, r: int = 16) -> None:
        require_integers("CBAM", channels=channels, r=r)
        squeezed = max(channels // r, 1)
        self.mlp = Sequential(Linear(channels, squeezed), ReLU(), Linear(squeezed, channels))
        self.spatial = Conv2d(2, 1, 7, padding=3, bias=False)
        self.spatial_norm = BatchNorm2d(1, momentum=0.01)
        init.constant_(self.spatial_norm.weight, 0.0)  # so that every pixel starts with the weight 1/2

    def forward(self, u: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the weighted u, or its sum with the shortcut; u, shortcut: (N, C, H, W)."""
        a = ops.sigmoid(self.mlp(ops.global_avg_pool2d(u)) + self.mlp(u.max(axis=(2, 3))))
        v = ops.channel_scale(a, u)
        planes = ops.concatenate([v.max(axis=1, keepdims=True), v.mean(axis=1, keepdims=True)], axis=1)
        b = ops.sigmoid(conv_norm(self.spatial, self.spatial_norm, planes))
        out = v * b
        return out if shortcut is None else out + shortcut
