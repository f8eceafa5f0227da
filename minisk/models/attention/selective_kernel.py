"""The selective kernel: branches with different receptive fields, weighted per channel by a softmax over branches.

    split    U_m = ReLU(BN(conv_m(x)))                   for example a grouped 3×3 and a dilated grouped 3×3
    fuse     z = ReLU(BN(fc1 · GAP(Σ_m U_m)))            a description of the image by d values
    select   a = softmax over m of fc2 · z,   V = Σ_m a_m ⊙ U_m

x, U_m, V: (N, C, H, W); z: (N, d); a: (N, M, C) for M branches; GAP is the mean of each plane.
Source: Li et al., *Selective Kernel Networks*, CVPR 2019, section 3.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ... import ops
from ...autograd import Tensor
from ...errors import ShapeError
from ...nn import BatchNorm2d, Conv2d, Module, ModuleList, conv_norm, init
from ..residual import BN_MOMENTUM


class Branch(NamedTuple):
    """One branch's convolution: kernel size (odd), dilation, groups."""

    kernel: int = 3
    dilation: int = 1
    groups: int = 32


Branches = Sequence[tuple[int, int, int]]
DEFAULT_BRANCHES = (Branch(3, 1, 32), Branch(3, 2, 32))  # 3×3 with dilation 2 has the receptive field of 5×5


class SKConv(Module):
    """A selective-kernel convolution, (N, C, H, W) → (N, C, H / stride, W / stride).

    In training it needs at least two images: the batch norm of the fuse step normalises over the batch alone.

    Args:
        channels: C.
        branches: (kernel, dilation, groups) of each branch.
        r: reduction of the fuse step.
        L: its least width, d = max(C / r, L).
        stride: of every branch.
        in_channels: of x; None: C.
        split_input: divide the channels of x evenly among the branches. Otherwise, each branch sees all of them.

    Attributes:
        attention: after a forward, the weights a, (N, M, C), without a graph.
        fused: run the select step as one operation (`ops.select`). If False, run the softmax, a scale and an axpy per
            further branch instead, as the authors' Caffe graph does.

    Raises:
        ShapeError: there is no branch, a kernel is even, r or L is below 1, the branches can't divide the channels of
            x evenly, or one image is given in training.
    """

    fused = True
    own_step = "select"

    def __init__(
        self,
        channels: int,
        branches: Branches = DEFAULT_BRANCHES,
        r: int = 16,
        L: int = 32,
        stride: int = 1,
        in_channels: int | None = None,
        split_input: bool = False,
    ) -> None:
        if not branches:
            raise ShapeError("SKConv: expected at least one branch (kernel, dilation, groups)")
        if any(kernel % 2 == 0 for kernel, _, _ in branches):
            raise ShapeError(f"SKConv: branches {list(branches)} must have odd kernels: outputs would differ in size")
        if r < 1 or L < 1:
            raise ShapeError(f"SKConv: r {r} and L {L} must be at least 1")
        self.branches = tuple(Branch(*branch) for branch in branches)
        self.split_input = split_input
        seen = channels if in_channels is None else in_channels  # input channels of each branch
        if split_input:
            if seen % len(self.branches):
                raise ShapeError(f"SKConv: {seen} input channels can't be divided among {len(self.branches)} branches")
            seen //= len(self.branches)
        squeezed = max(channels // r, L)
        self.convs = ModuleList([_branch_conv(seen, channels, branch, stride) for branch in self.branches])
        self.norms = ModuleList([BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True) for _ in self.branches])
        self.fc1 = Conv2d(channels, squeezed, 1, bias=False)
        self.fc1_norm = BatchNorm2d(squeezed, momentum=BN_MOMENTUM, relu=True)
        self.fc2 = Conv2d(squeezed, len(self.branches) * channels, 1, bias=False)
        init.normal_(self.fc1.weight, std=0.01)
        init.normal_(self.fc2.weight, std=0.01)
        self.attention: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.fc1_norm.frozen and x.shape[0] * self.fc1_norm.processes < 2:
            needed = "training needs a larger batch (or evaluation mode, or fc1_norm.freeze())"
            reason = "the squeeze's batch_norm normalises over the batch alone"
            raise ShapeError(f"SKConv: x {x.shape} is one image, and {reason}: {needed}")
        inputs = ops.split(x, len(self.branches), axis=1) if self.split_input else [x] * len(self.branches)
        features = [
            conv_norm(conv, norm, part) for conv, norm, part in zip(self.convs, self.norms, inputs, strict=True)
        ]
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
        """Return the weight of each branch in each channel, (N, M, C), from the branches' outputs U_m."""
        return ops.softmax(self._logits(features), axis=1)

    def macs(self, output: Tensor) -> int:
        """Return the multiply-adds of the select step: one for each element of each branch."""
        return output.size * len(self.branches)

    def _logits(self, features: Sequence[Tensor]) -> Tensor:
        # GAP(Σ U_m) = Σ GAP(U_m), so the sum of the branches is never computed.
        squeeze = ops.global_avg_pool2d(features[0])
        for feature in features[1:]:
            squeeze = squeeze + ops.global_avg_pool2d(feature)
        n, channels = squeeze.shape
        z = conv_norm(self.fc1, self.fc1_norm, squeeze.reshape(n, channels, 1, 1))
        return self.fc2(z).reshape(n, len(features), channels)


def _branch_conv(in_channels: int, channels: int, branch: Branch, stride: int) -> Conv2d:
    padding = branch.dilation * (branch.kernel // 2)
    return Conv2d(in_channels, channels, branch.kernel, stride, padding, branch.dilation, branch.groups, bias=False)
