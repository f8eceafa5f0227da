"""Networks: every row of the SKNet paper's table of ImageNet models, and the parts they are made of.

Each function such as `sknet50` returns a new network with random weights; `create` finds it by name, and `load` returns
a trained one.
"""

from .attention import BAM, CBAM, Branch, SKConv, SqueezeExcitation
from .block_attention import (
    resnet50_bam,
    resnet50_cbam,
    resnext29_bam,
    resnext29_cbam,
    resnext50_bam,
    resnext50_cbam,
    resnext101_bam,
    resnext101_cbam,
)
from .dpn import DualPathNet, dpn92, dpn98
from .inceptionresnetv2 import InceptionResNetV2, inception_resnet_v2
from .inceptionv3 import InceptionV3, inception_v3
from .inceptionv4 import InceptionV4, inception_v4
from .network import AuxiliaryOutputs, Network, Outputs, classification_loss, logits_of
from .pretrained import TRAINED, Pretrained, initialize, load, read_pretrained, save_pretrained, with_red_first
from .published import TABLE_2, Published
from .registry import NAMES, ModelInfo, create, info, input_size
from .residual import Bottleneck, ResidualNet, Stage
from .residual_attention import AttentionModule, PreActivationUnit, attention56, attention92, attentionnext56
from .resnext import resnext29, resnext50, resnext101
from .senet import seresnext29, seresnext50, seresnext101
from .sknet import SKUnit, sknet26, sknet29, sknet50, sknet101, sknet_small
from .skresnet import SKBasicUnit, skresnet18, skresnet34
from .small import small_bam, small_cbam, small_plain, small_se

__all__ = ["NAMES", "TABLE_2", "TRAINED", "ModelInfo", "Network", "Published", "create", "info", "input_size", "load"]
__all__ += ["BAM", "CBAM", "Bottleneck", "Branch", "ResidualNet", "SKConv", "SKUnit", "SqueezeExcitation", "Stage"]
__all__ += ["Pretrained", "initialize", "read_pretrained", "save_pretrained", "with_red_first"]
__all__ += ["SKBasicUnit", "skresnet18", "skresnet34"]
__all__ += ["AttentionModule", "PreActivationUnit"]
__all__ += ["resnext29", "resnext50", "resnext101", "sknet26", "sknet29", "sknet50", "sknet101", "sknet_small"]
__all__ += ["AuxiliaryOutputs", "DualPathNet", "InceptionResNetV2", "InceptionV3", "InceptionV4", "Outputs"]
__all__ += ["classification_loss", "logits_of"]
__all__ += ["dpn92", "dpn98", "inception_resnet_v2", "inception_v3", "inception_v4"]
__all__ += ["attention56", "attention92", "attentionnext56", "seresnext29", "seresnext50", "seresnext101"]
__all__ += ["resnet50_bam", "resnet50_cbam"]
__all__ += ["resnext29_bam", "resnext29_cbam", "resnext50_bam", "resnext50_cbam", "resnext101_bam", "resnext101_cbam"]
__all__ += ["small_bam", "small_cbam", "small_plain", "small_se"]
