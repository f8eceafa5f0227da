"""Networks: every row of the SKNet paper's table of ImageNet models, and the parts they are made of.

Each function such as `sknet50` returns a new network with random weights; `create` finds it by name, and `load` returns
a trained one.
"""

from .attention import Branch, SKConv
from .dpn import DualPathNet, dpn92, dpn98
from .inceptionresnetv2 import InceptionResNetV2, inception_resnet_v2
from .inceptionv3 import InceptionV3, inception_v3
from .inceptionv4 import InceptionV4, inception_v4
from .network import AuxiliaryOutputs, Network, Outputs, classification_loss, logits_of
from .pretrained import TRAINED, load
from .published import TABLE_2, Published
from .registry import NAMES, ModelInfo, create, info, input_size
from .residual import Bottleneck, ResidualNet, Stage
from .resnext import resnext29, resnext50, resnext101
from .sknet import SKUnit, sknet26, sknet29, sknet50, sknet101, sknet_small

__all__ = ["NAMES", "TABLE_2", "TRAINED", "ModelInfo", "Network", "Published", "create", "info", "input_size", "load"]
__all__ += ["Bottleneck", "Branch", "ResidualNet", "SKConv", "SKUnit", "Stage"]
__all__ += ["resnext29", "resnext50", "resnext101", "sknet26", "sknet29", "sknet50", "sknet101", "sknet_small"]
__all__ += ["AuxiliaryOutputs", "DualPathNet", "InceptionResNetV2", "InceptionV3", "InceptionV4", "Outputs"]
__all__ += ["classification_loss", "logits_of"]
__all__ += ["dpn92", "dpn98", "inception_resnet_v2", "inception_v3", "inception_v4"]
