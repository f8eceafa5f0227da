"""The kept solution of exercise 9."""

from minisk import nn, ops

PREDICTION = 32 * 3 * 64


class SelectiveKernel(nn.Module):
    """(N, C, H, W) → (N, C, H, W): one 3 × 3 convolution for each dilation, weighted per image and channel."""

    def __init__(self, channels, dilations, width):
        self.convs = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=d, dilation=d, bias=False) for d in dilations]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels, relu=True) for _ in dilations])
        self.fc1 = nn.Linear(channels, width, bias=False)
        self.norm = nn.BatchNorm2d(width, relu=True)
        self.fc2 = nn.Linear(width, len(dilations) * channels, bias=False)
        self.attention = None

    def forward(self, x):
        features = [norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True)]
        total = features[0]
        for feature in features[1:]:
            total = total + feature
        squeeze = self.fc1(total.mean((2, 3)))
        n, width = squeeze.shape
        z = self.norm(squeeze.reshape(n, width, 1, 1)).reshape(n, width)
        logits = self.fc2(z).reshape(n, len(features), x.shape[1])
        attention = ops.softmax(logits, axis=1)
        self.attention = attention.detach()
        out = 0
        for m, feature in enumerate(features):
            out = out + attention[:, m].reshape(n, x.shape[1], 1, 1) * feature
        return out
