"""Networks: SKNet, ResNeXt, and the parts they are made of.

Each function such as `sknet50` returns a new network with random weights; `create` finds it by name, and `load` returns
a trained one.
"""

from .attention import Branch, SKConv
from .network import Network
from .pretrained import TRAINED, load
from .published import TABLE_2, Published
from .registry import NAMES, ModelInfo, create, info, input_size
from .residual import Bottleneck, ResidualNet, Stage
from .resnext import resnext29, resnext50, resnext101
from .sknet import SKUnit, sknet26, sknet29, sknet50, sknet101, sknet_small

__all__ = ["NAMES", "TABLE_2", "TRAINED", "ModelInfo", "Network", "Published", "create", "info", "input_size", "load"]
__all__ += ["Bottleneck", "Branch", "ResidualNet", "SKConv", "SKUnit", "Stage"]
__all__ += ["resnext29", "resnext50", "resnext101", "sknet26", "sknet29", "sknet50", "sknet101", "sknet_small"]
