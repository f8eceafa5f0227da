"""The selective kernel: branches that see differently far, and a softmax that picks between them, channel by channel.

    split   U_m = ReLU(BN(conv_m(x)))                         a grouped 3×3 and a dilated one, say
    fuse    z = ReLU(BN(fc1 · GAP(Σ_m U_m)))                  what the image is about, in d numbers
    select  a = softmax over m of fc2 · z,   V = Σ_m a_m ⊙ U_m

Source: Li et al., *Selective Kernel Networks*, CVPR 2019, section 3.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ... import ops
from ...autograd.tensor import Tensor
from ...errors import ShapeError
from ...nn import init
from ...nn.layers import BatchNorm2d, Conv2d
from ...nn.module import Module, ModuleList

BN_MOMENTUM = 0.05  # Caffe's 0.95


class Branch(NamedTuple):
    """One branch's convolution: kernel size, dilation, groups."""

    kernel: int = 3
    dilation: int = 1
    groups: int = 32


Branches = Sequence[tuple[int, int, int]]
DEFAULT_BRANCHES = (Branch(3, 1, 32), Branch(3, 2, 32))  # 3×3 with dilation 2 stands for 5×5


class SKConv(Module):
    """A selective-kernel convolution, (N, C, H, W) → (N, C, H / stride, W / stride).

    channels: C; branches: (kernel, dilation, groups) of each; r: reduction of the squeeze; L: its least width, so
    d = max(C / r, L); stride: of every branch. After a forward, `attention` holds the weights a, (N, M, C).
    In training it needs at least two images: the squeeze's batch norm normalises over the batch alone.
    fused: select in one pass (`ops.select`); False takes the same step by step, as the original's Axpy layers do.
    """

    fused = True

    def __init__(
        self, channels: int, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, stride: int = 1
    ) -> None:
        if not branches:
            raise ShapeError("SKConv: expected at least one branch (kernel, dilation, groups)")
        if any(kernel % 2 == 0 for kernel, _, _ in branches):
            raise ShapeError(f"SKConv: branches {list(branches)} must have odd kernels: outputs would differ in size")
        if r < 1 or L < 1:
            raise ShapeError(f"SKConv: r {r} and L {L} must be at least 1")
        self.branches = tuple(Branch(*branch) for branch in branches)
        squeezed = max(channels // r, L)
        self.convs = ModuleList([_branch_conv(channels, branch, stride) for branch in self.branches])
        self.norms = ModuleList([BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True) for _ in self.branches])
        self.fc1 = Conv2d(channels, squeezed, 1, bias=False)
        self.fc1_norm = BatchNorm2d(squeezed, momentum=BN_MOMENTUM, relu=True)
        self.fc2 = Conv2d(squeezed, len(self.branches) * channels, 1, bias=False)
        init.normal_(self.fc1.weight, std=0.01)
        init.normal_(self.fc2.weight, std=0.01)
        self.attention: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.fc1_norm.frozen and x.shape[0] < 2:
            needed = "training needs a larger batch (or evaluation mode, or fc1_norm.freeze())"
            reason = "the squeeze's batch_norm normalises over the batch alone"
            raise ShapeError(f"SKConv: x {x.shape} is one image, and {reason}: {needed}")
        features = [norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True)]
        if self.fused:
            out, weights = ops.select(self._logits(features), features)
        else:
            weights = self.attend(features)
            out = ops.channel_scale(weights[:, 0], features[0])
            for m, feature in enumerate(features[1:], start=1):
                out = ops.axpy(weights[:, m], feature, out)
        self.attention = weights.detach()
        return out

    def attend(self, features: Sequence[Tensor]) -> Tensor:
        """Return the weight of each branch in each channel, (N, M, C), from the branches' outputs."""
        return ops.softmax(self._logits(features), axis=1)

    def _logits(self, features: Sequence[Tensor]) -> Tensor:
        # The mean of a sum is the sum of the means: U = Σ U_m itself is never needed.
        squeeze = ops.global_avg_pool2d(features[0])
        for feature in features[1:]:
            squeeze = squeeze + ops.global_avg_pool2d(feature)
        n, channels = squeeze.shape
        z = self.fc1_norm(self.fc1(squeeze.reshape(n, channels, 1, 1)))
        return self.fc2(z).reshape(n, len(features), channels)


def _branch_conv(channels: int, branch: Branch, stride: int) -> Conv2d:
    kernel, dilation, groups = branch
    return Conv2d(channels, channels, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)


class Bottleneck(Module):
    """1×1 reduce, a middle at the reduced width, 1×1 increase, added to a shortcut.

    middle: a module (N, width, H, W) → (N, width, H / stride, W / stride). The shortcut is a 1×1 convolution with
    batch norm where the shape changes or `project` asks for it, else the input itself.
    """

    def __init__(
        self, in_channels: int, width: int, out_channels: int, middle: Module, stride: int = 1, project: bool = False
    ) -> None:
        self.reduce = Conv2d(in_channels, width, 1, bias=False)
        self.reduce_norm = BatchNorm2d(width, momentum=BN_MOMENTUM, relu=True)
        self.middle = middle
        self.increase = Conv2d(width, out_channels, 1, bias=False)
        self.increase_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)
        self.project: Conv2d | None = None
        if project or stride != 1 or in_channels != out_channels:
            self.project = Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.project_norm = BatchNorm2d(out_channels, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        out = self.middle(self.reduce_norm(self.reduce(x)))
        out = self.increase_norm(self.increase(out))
        shortcut = x if self.project is None else self.project_norm(self.project(x))
        return ops.add_relu(out, shortcut)


class SKUnit(Bottleneck):
    """A bottleneck whose middle is an SKConv: the unit SKNet is built of. Its stride sits on the branches.

    branches, r, L: as SKConv's.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int = 1,
        project: bool = False,
        branches: Branches = DEFAULT_BRANCHES,
        r: int = 16,
        L: int = 32,
    ) -> None:
        middle = SKConv(width, branches, r, L, stride)
        super().__init__(in_channels, width, out_channels, middle, stride, project)
