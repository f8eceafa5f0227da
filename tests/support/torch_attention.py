"""PyTorch's form of the attention networks that others publish, under the names of their files."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A unit of the attention-module project, with CBAM if it is given."""

    def __init__(self, inputs, width, outputs, stride, groups, gate=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.cbam = gate
        self.downsample = None
        if inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        out = out if self.cbam is None else self.cbam(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ChannelGate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        squeezed = channels // 16
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels))

    def forward(self, x):
        return x * torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[:, :, None, None]


class SpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.spatial = nn.Sequential()
        self.spatial.add_module("conv", nn.Conv2d(2, 1, 7, padding=3, bias=False))
        self.spatial.add_module("bn", nn.BatchNorm2d(1, momentum=0.01))

    def forward(self, x):
        return x * torch.sigmoid(self.spatial(torch.stack([x.amax(1), x.mean(1)], 1)))


def cbam(channels):
    gates = nn.Sequential()
    gates.add_module("ChannelGate", ChannelGate(channels))
    gates.add_module("SpatialGate", SpatialGate())
    return gates


class Bam(nn.Module):
    def __init__(self, channels):
        super().__init__()
        squeezed = channels // 16
        fc = [("fc_0", nn.Linear(channels, squeezed)), ("bn_1", nn.BatchNorm1d(squeezed)), ("relu_1", nn.ReLU())]
        fc += [("fc_final", nn.Linear(squeezed, channels))]
        pixels = [("conv_reduce0", nn.Conv2d(channels, squeezed, 1)), ("bn_reduce0", nn.BatchNorm2d(squeezed))]
        pixels += [("relu_reduce0", nn.ReLU())]
        for i in range(2):
            pixels += [(f"conv_di_{i}", nn.Conv2d(squeezed, squeezed, 3, padding=4, dilation=4))]
            pixels += [(f"bn_di_{i}", nn.BatchNorm2d(squeezed)), (f"relu_di_{i}", nn.ReLU())]
        pixels += [("conv_final", nn.Conv2d(squeezed, 1, 1))]
        self.channel_att, self.spatial_att = nn.Module(), nn.Module()
        self.channel_att.gate_c = named("gate_c_", fc)
        self.spatial_att.gate_s = named("gate_s_", pixels)

    def forward(self, x):
        of_channels = self.channel_att.gate_c(x.mean((2, 3)))[:, :, None, None]
        return x * (1 + torch.sigmoid(of_channels * self.spatial_att.gate_s(x)))


def named(prefix, modules):
    sequence = nn.Sequential()
    for name, module in modules:
        sequence.add_module(prefix + name, module)
    return sequence


class AttentionModuleNet(nn.Module):
    """A residual network of the attention-module project.

    Args:
        units: their number in each stage.
        width: of the first stage, inside a unit; 256 channels leave it.
        groups: of the 3×3 convolutions.
        attention: "CBAM" or "BAM".
        classes: number of logits.
    """

    def __init__(self, units, width, groups, attention, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(units):
            layer, outputs = nn.Sequential(), 256 << stage
            for i in range(count):
                gate = cbam(outputs) if attention == "CBAM" else None
                stride = 2 if stage and not i else 1
                layer.append(Residual(channels, width << stage, outputs, stride, groups, gate))
                channels = outputs
            setattr(self, f"layer{stage + 1}", layer)
            if attention == "BAM" and stage < 3:
                setattr(self, f"bam{stage + 1}", Bam(outputs))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            x = getattr(self, f"bam{stage}")(x) if hasattr(self, f"bam{stage}") else x
        return self.fc(x.mean((2, 3)))


class PreActivation(nn.Module):
    """A unit of ResidualAttentionNetwork-pytorch: each has conv4, and uses it if the shape changes."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        width = outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, outputs, 1, bias=False)
        self.conv4 = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.projects = inputs != outputs or stride != 1

    def forward(self, x):
        a = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return self.conv3(F.relu(self.bn3(out))) + (self.conv4(a) if self.projects else x)


class AttentionBlock(nn.Module):
    """An attention module of ResidualAttentionNetwork-pytorch, whose mask branch halves the map `pools` times."""

    def __init__(self, channels, pools):
        super().__init__()

        def unit():
            return PreActivation(channels, channels)

        def units():
            return nn.Sequential(unit(), unit())

        self.pools = pools
        self.first_residual_blocks, self.last_blocks, self.trunk_branches = unit(), unit(), units()
        for i in range(1, 2 * pools):
            setattr(self, f"softmax{i}_blocks", units() if i == pools else unit())
        for i in range(1, pools):
            setattr(self, f"skip{i}_connection_residual_block", unit())
        layers = [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)] * 2
        layers = [type(layer)(channels) if isinstance(layer, nn.BatchNorm2d) else layer for layer in layers]
        layers[5] = nn.Conv2d(channels, channels, 1, bias=False)
        setattr(self, f"softmax{2 * pools}_blocks", nn.Sequential(*layers, nn.Sigmoid()))

    def forward(self, x):
        x = self.first_residual_blocks(x)
        trunk, maps = self.trunk_branches(x), []
        for i in range(1, self.pools + 1):
            x = getattr(self, f"softmax{i}_blocks")(F.max_pool2d(x, 3, 2, 1))
            maps.append(x)
        maps.pop()
        for i in range(self.pools + 1, 2 * self.pools):
            skip, d = getattr(self, f"skip{len(maps)}_connection_residual_block"), maps.pop()
            x = getattr(self, f"softmax{i}_blocks")(enlarged(x, d) + d + skip(d))
        mask = getattr(self, f"softmax{2 * self.pools}_blocks")(enlarged(x, trunk) + trunk)
        return self.last_blocks((1 + mask) * trunk)


def enlarged(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


class ResidualAttentionNet(nn.Module):
    """A network of ResidualAttentionNetwork-pytorch with so many attention modules in its first three stages."""

    def __init__(self, modules, classes):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.order = []
        channels = 64
        for stage, count in enumerate((*modules, 0)):
            outputs = 256 << stage
            self.add(f"residual_block{stage + 1}", PreActivation(channels, outputs, 2 if stage else 1))
            for i in range(count):
                end = f"_{i + 1}" if i else ""
                self.add(f"attention_module{stage + 1}{end}", AttentionBlock(outputs, 3 - stage))
            channels = outputs
        for block in (5, 6):
            self.add(f"residual_block{block}", PreActivation(2048, 2048))
        self.mpool2 = nn.Sequential(nn.BatchNorm2d(2048), nn.ReLU())
        self.fc = nn.Linear(2048, classes)

    def add(self, name, module):
        setattr(self, name, module)
        self.order.append(name)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        for name in self.order:
            x = getattr(self, name)(x)
        return self.fc(self.mpool2(x).mean((2, 3)))


def drawn(network):
    """Return the network in float64 and evaluation mode, with every array drawn, as numbers of float32."""
    torch.manual_seed(3)
    for name, value in network.state_dict().items():
        if value.ndim == 1 and not name.endswith(("bias", "mean")):
            value.copy_(torch.empty_like(value).uniform_(0.5, 1.5))
        elif value.ndim == 1:
            value.copy_(0.2 * torch.randn_like(value))
        elif value.ndim > 1:  # of the size that keeps the variance through ReLU
            value.copy_(torch.randn_like(value) * (1 / value[0].numel()) ** 0.5)
    return network.double().eval()
