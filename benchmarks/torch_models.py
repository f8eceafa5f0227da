"""Models of minisk in PyTorch: every module becomes PyTorch's, with the same name and the same weights.

This file does not import minisk when it runs: a process that measures PyTorch alone loads a saved model through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from minisk import models
    from minisk import nn as ms_nn


class BatchNormReLU(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(super().forward(x))


class BatchNorm1dReLU(nn.BatchNorm1d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(super().forward(x))


class SKConv(nn.Module):
    def __init__(self, source: models.SKConv) -> None:
        super().__init__()
        self.convs = nn.ModuleList([torch_model(conv) for conv in source.convs])
        self.norms = nn.ModuleList([torch_model(norm) for norm in source.norms])
        self.fc1, self.fc1_norm, self.fc2 = (
            torch_model(source.fc1),
            torch_model(source.fc1_norm),
            torch_model(source.fc2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = torch.stack([norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True)], 1)
        squeeze = features.sum(1).mean((2, 3), keepdim=True)
        logits = self.fc2(self.fc1_norm(self.fc1(squeeze)))
        n, branches, channels = features.shape[:3]
        weights = logits.reshape(n, branches, channels, 1, 1).softmax(1)
        return (features * weights).sum(1)


class Mirror(nn.Module):
    """A module with the same children as minisk's; `forward` says how they are joined."""

    def __init__(self, source: ms_nn.Module) -> None:
        super().__init__()
        for name, child in source.named_children():
            self.add_module(name, torch_model(child))


class Bottleneck(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.middle(self.reduce_norm(self.reduce(x)))
        out = self.increase_norm(self.increase(out))
        shortcut = self.project_norm(self.project(x)) if hasattr(self, "project") else x
        if hasattr(self, "attention"):
            out = self.attention(out)
        return torch.relu_(out + shortcut)


class Net(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stages(self.stem(x))
        return self.classifier((self.norm(x) if hasattr(self, "norm") else x).mean((2, 3)))


class SqueezeExcitation(Mirror):
    def forward(self, u: torch.Tensor) -> torch.Tensor:
        squeeze = torch.relu_(self.fc1(u.mean((2, 3), keepdim=True)))
        return u * torch.sigmoid(self.fc2(squeeze))


class CBAM(Mirror):
    def forward(self, u: torch.Tensor) -> torch.Tensor:
        weights = torch.sigmoid(self.mlp(u.mean((2, 3))) + self.mlp(u.amax((2, 3))))
        v = u * weights[:, :, None, None]
        planes = torch.cat([v.amax(1, keepdim=True), v.mean(1, keepdim=True)], 1)
        return v * torch.sigmoid(self.spatial_norm(self.spatial(planes)))


class BAM(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channel = self.fc2(self.fc1_norm(self.fc1(x.mean((2, 3)))))
        return x * (1 + torch.sigmoid(channel[:, :, None, None] * self.spatial(x)))


class PreActivationUnit(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.reduce_norm(x)
        out = self.increase(self.increase_norm(self.middle(self.middle_norm(self.reduce(a)))))
        return out + (self.project(a) if hasattr(self, "project") else x)


class Rise(Mirror):
    def forward(self, d: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return self.merge(self.skip(d) + resized(u, d))


class AttentionModule(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.first(x)
        trunk, maps = self.trunk(p), [p]
        for unit in self.down:
            maps.append(unit(self.pool(maps[-1])))
        u = self.lowest(maps[-1])
        for rise, d in zip(self.rises, reversed(maps[1:-1]), strict=True):
            u = rise(d, u)
        return self.last((1 + self.mask(resized(u, trunk))) * trunk)


def resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


class ConvNorm(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


class NormConv(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(x))


class Branches(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


class ScaledResidual(Mirror):
    def __init__(self, source: models.inceptionresnetv2.ScaledResidual) -> None:
        super().__init__(source)
        self.scale, self.relu = source.up.scale, source.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x + self.scale * self.up(self.branches(x))
        return torch.relu_(out) if self.relu else out


class AuxiliaryClassifier(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.gather(self.reduce(self.pool(x))).mean((2, 3)))


class InceptionV3(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        middle = self.units_c(self.unit_b(self.units_a(self.stem(x))))
        logits = self.classifier(self.dropout(self.units_e(self.unit_d(middle)).mean((2, 3))))
        return (logits, self.auxiliary(middle)) if self.training and hasattr(self, "auxiliary") else logits


class InceptionV4(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.reduction_a(self.units_a(self.stem(x)))
        x = self.units_c(self.reduction_b(self.units_b(x)))
        return self.classifier(self.dropout(x.mean((2, 3))))


class InceptionResNetV2(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks_17(self.mixed_6a(self.blocks_35(self.mixed_5b(self.stem(x)))))
        x = self.conv_7b(self.blocks_8(self.mixed_7a(x)))
        return self.classifier(self.dropout(x.mean((2, 3))))


class DualPathUnit(Mirror):
    def __init__(self, source: models.dpn.DualPathUnit) -> None:
        super().__init__(source)
        self.residual = source.residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        paths = self.project(x) if hasattr(self, "project") else x
        new = self.increase(self.spatial(self.reduce(x)))
        bw = self.residual
        return torch.cat([paths[:, :bw] + new[:, :bw], paths[:, bw:], new[:, bw:]], 1)


class DualPathNet(Mirror):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.units(self.stem(x))).mean((2, 3)))


def _conv(source: ms_nn.Conv2d) -> nn.Conv2d:
    out_channels, per_group = source.weight.shape[:2]
    return nn.Conv2d(
        per_group * source.groups,
        out_channels,
        source.kernel_size,
        source.stride,
        source.padding,
        source.dilation,
        source.groups,
        bias=source.bias is not None,
    )


_MODULES = {
    "Conv2d": _conv,
    "ScaledPointwise": _conv,  # ScaledResidual scales its outputs
    "BatchNorm2d": lambda m: (BatchNormReLU if m.relu else nn.BatchNorm2d)(m.weight.size, m.eps, m.momentum),
    "BatchNorm1d": lambda m: (BatchNorm1dReLU if m.relu else nn.BatchNorm1d)(m.weight.size, m.eps, m.momentum),
    "Sigmoid": lambda m: nn.Sigmoid(),
    "ModuleList": lambda m: nn.ModuleList([torch_model(child) for child in m]),
    "Linear": lambda m: nn.Linear(m.weight.shape[1], m.weight.shape[0]),
    "ReLU": lambda m: nn.ReLU(inplace=True),
    "MaxPool2d": lambda m: nn.MaxPool2d(m.kernel_size, m.stride, m.padding, ceil_mode=m.ceil_mode),
    "AvgPool2d": lambda m: nn.AvgPool2d(m.kernel_size, m.stride, m.padding, count_include_pad=m.count_include_pad),
    "Dropout": lambda m: nn.Dropout(m.p),
    "SKConv": SKConv,
    "SKUnit": Bottleneck,
    "Bottleneck": Bottleneck,
    "Sequential": lambda m: nn.Sequential(*[torch_model(child) for child in m]),
    "ResidualNet": Net,
    **{
        mirror.__name__: mirror
        for mirror in (ConvNorm, NormConv, Branches, ScaledResidual, AuxiliaryClassifier, DualPathUnit, DualPathNet)
    },
    **{mirror.__name__: mirror for mirror in (SqueezeExcitation, CBAM, BAM, PreActivationUnit, Rise, AttentionModule)},
    **{mirror.__name__: mirror for mirror in (InceptionV3, InceptionV4, InceptionResNetV2)},
}


def torch_model(module: ms_nn.Module) -> nn.Module:
    """Return the PyTorch module that computes the same as a module of minisk, with its weights and statistics."""
    made = _MODULES[type(module).__name__](module)
    state = {name: torch.from_numpy(value.numpy().copy()) for name, value in module.state_dict().items()}
    made.load_state_dict(state, strict=False)  # PyTorch's batch norm also counts batches
    return made
