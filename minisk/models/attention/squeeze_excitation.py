"""Squeeze and excitation: one weight per channel, computed from the mean of every plane.

    u ─┬─ mean of each plane ─ 1×1 → C/r ─ ReLU ─ 1×1 → C ─ σ ─ a
       └──────────────────────────────────────────────────────── a ⊙ u  (+ shortcut) ─

u: (N, C, H, W); a: (N, C, 1, 1). With a shortcut, the last step is one axpy, as in the authors' Caffe graph.
Source: Hu et al., *Squeeze-and-Excitation Networks*, CVPR 2018; SE-ResNeXt-50.prototxt (github.com/hujie-frank/SENet).
"""

from ... import ops
from ...autograd import Tensor
from ...errors import require_integers
from ...nn import Conv2d, Module


class SqueezeExcitation(Module):
    """Weight each channel, (N, C, H, W) → (N, C, H, W).

    Args:
        channels: C.
        r: reduction of the inner layer, to C / r channels.

    Raises:
        ShapeError: a size is not an integer of at least 1.
    """

    def __init__(self, channels: int, r: int = 16) -> None:
        require_integers("SqueezeExcitation", channels=channels, r=r)
        squeezed = max(channels // r, 1)
        self.fc1 = Conv2d(channels, squeezed, 1)
        self.fc2 = Conv2d(squeezed, channels, 1)

    def forward(self, u: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return a ⊙ u, or a ⊙ u + shortcut; u, shortcut: (N, C, H, W)."""
        squeeze = ops.global_avg_pool2d(u)[:, :, None, None]
        a = ops.sigmoid(self.fc2(ops.relu(self.fc1(squeeze))))
        return ops.channel_scale(a, u) if shortcut is None else ops.axpy(a, u, shortcut)
