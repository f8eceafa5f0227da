"""Exercise 9: a selective kernel with any number of branches."""

from minisk import nn

# Predict: how many weights has fc2 for 64 channels, 3 branches and a squeeze of width 32?
PREDICTION = None


class SelectiveKernel(nn.Module):
    """(N, C, H, W) → (N, C, H, W): one 3 × 3 convolution for each dilation, weighted per image and channel.

    After a forward, `attention` holds the weights, (N, M, C).
    """

    def __init__(self, channels, dilations, width):
        self.convs = nn.ModuleList(
            # The result must have the size of x for every dilation.
            [nn.Conv2d(channels, channels, 3, padding=1, dilation=d, bias=False) for d in dilations]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels, relu=True) for _ in dilations])
        self.fc1 = nn.Linear(channels, width, bias=False)
        self.norm = nn.BatchNorm2d(width, relu=True)  # of the squeeze: (N, width, 1, 1)
        self.fc2 = nn.Linear(width, len(dilations) * channels, bias=False)
        self.attention = None

    def forward(self, x):
        raise NotImplementedError
