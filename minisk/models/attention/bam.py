"""BAM, the bottleneck attention module: one weight per element, from a channel branch and a spatial branch.

    channel   x ─ mean of each plane ─ fc1 → C/r ─ BN ─ ReLU ─ fc2 → C ─────────────────────────────── Mc
    spatial   x ─ 1×1 → C/r ─ BN ─ ReLU ─ twice (3×3, dilation 4 ─ BN ─ ReLU) ─ 1×1 → 1 ────────────── Ms
    out = x ⊙ (1 + σ(Mc ⊙ Ms))

x: (N, C, H, W); Mc: (N, C, 1, 1); Ms: (N, 1, H, W). It stands between the stages of a network.
Source: Park et al., *BAM*, BMVC 2018; MODELS/bam.py (github.com/Jongchan/attention-module). The paper adds Mc and Ms,
after a batch norm each. The authors' code multiplies them and has no such batch norm; this module follows the code.
"""

from ... import ops
from ...autograd import Tensor
from ...errors import ShapeError, require_integers
from ...nn import BatchNorm1d, BatchNorm2d, Conv2d, Linear, Module, Sequential


class BAM(Module):
    """Weight each element, (N, C, H, W) → (N, C, H, W).

    In training it needs at least two images: the channel branch normalises over the batch alone.

    Args:
        channels: C.
        r: reduction of the inner layers, to C / r channels.
        dilation: of the two 3×3 convolutions.

    Raises:
        ShapeError: a size is not an integer of at least 1, or one image is given in training.
    """

    def __init__(self, channels: int, r: int = 16, dilation: int = 4) -> None:
        require_integers("BAM", channels=channels, r=r, dilation=dilation)
        squeezed = max(channels // r, 1)
        self.fc1 = Linear(channels, squeezed)
        self.fc1_norm = BatchNorm1d(squeezed, relu=True)
        self.fc2 = Linear(squeezed, channels)
        self.spatial = Sequential(Conv2d(channels, squeezed, 1), BatchNorm2d(squeezed, relu=True))
        for _ in range(2):
            self.spatial.append(Conv2d(squeezed, squeezed, 3, padding=dilation, dilation=dilation))
            self.spatial.append(BatchNorm2d(squeezed, relu=True))
        self.spatial.append(Conv2d(squeezed, 1, 1))

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the weighted x, or its sum with the shortcut; x, shortcut: (N, C, H, W)."""
        if self.training and not self.fc1_norm.frozen and x.shape[0] * self.fc1_norm.processes < 2:
            reason = "the channel branch's batch_norm normalises over the batch alone"
            raise ShapeError(f"BAM: x {x.shape} is one image, and {reason}: training needs a larger batch")
        channel = self.fc2(self.fc1_norm(self.fc1(ops.global_avg_pool2d(x))))
        out = x * (1 + ops.sigmoid(channel[:, :, None, None] * self.spatial(x)))
        return out if shortcut is None else out + shortcut
