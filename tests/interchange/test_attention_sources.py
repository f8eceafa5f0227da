"""Files of CBAM, BAM and residual attention networks: names and shapes are the source's, the logits are its too.

The source's networks are written again, in PyTorch, in tests/support/torch_attention.py.
"""

import numpy as np
import pytest
from foreign_files import pth_of_arrays, write

import minisk as ms
from minisk import models
from minisk.interchange import SOURCES

NETWORKS = {
    "resnet50_cbam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 6, 3), 64, 1, "CBAM", 7)),
    "resnet50_bam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 6, 3), 64, 1, "BAM", 7)),
    "resnext50_cbam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 6, 3), 128, 32, "CBAM", 7)),
    "resnext101_cbam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 23, 3), 128, 32, "CBAM", 7)),
    "resnext50_bam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 6, 3), 128, 32, "BAM", 7)),
    "resnext101_bam": ("attention-module", lambda t: t.AttentionModuleNet((3, 4, 23, 3), 128, 32, "BAM", 7)),
    "attention56": ("ResidualAttentionNetwork-pytorch", lambda t: t.ResidualAttentionNet((1, 1, 1), 7)),
    "attention92": ("ResidualAttentionNetwork-pytorch", lambda t: t.ResidualAttentionNet((1, 2, 3), 7)),
}


@pytest.fixture
def port(torch):
    import torch_attention

    return torch_attention


def file_of(network, folder):
    """Write a checkpoint as the source's training scripts do, from `nn.DataParallel`."""
    state = {f"module.{name}": value.float().numpy() for name, value in network.state_dict().items()}
    return write(folder, "x.pth", pth_of_arrays(state, lambda s: {"epoch": 90, "state_dict": s}))


# ResNeXt-101 takes its time to draw and to store; its rules are also read in the tests of names.
CASES = [pytest.param(name, marks=pytest.mark.large) if "101" in name else name for name in NETWORKS]


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_the_source_gives_its_logits(port, torch, tmp_path, name):
    source, make = NETWORKS[name]
    theirs = port.drawn(make(port))  # with values that the file holds in float32
    found = models.read_pretrained(file_of(theirs, tmp_path))
    assert (found.model, found.source, found.classes) == (name, source, 7)
    assert (found.preprocessing.mean[0], found.preprocessing.interpolation) == (0.485, "bilinear")
    with ms.nn.init.skipped():
        ours = models.create(found.model, 7, **found.options).to(dtype="float64").eval()
    ours.load_state_dict(found.arrays)
    # 65 pixels: maps of odd size, on which the pools of the two residual attention networks differ.
    images = np.random.default_rng(0).standard_normal((2, 3, 65, 65))
    with torch.no_grad(), ms.no_grad():
        expected, seen = theirs(torch.tensor(images)).numpy(), ours(ms.tensor(images)).numpy()
    assert np.abs(seen - expected).max() <= 1e-10 * np.abs(expected).max()
    assert expected.std(axis=0).max() > 0.01  # the two images have different logits


@pytest.mark.parametrize(
    ("model", "theirs", "ours"),
    [
        ("resnet50_cbam", "layer1.0.cbam.ChannelGate.mlp.1.weight", "stages.0.0.attention.mlp.0.weight"),
        ("resnext50_cbam", "layer3.5.cbam.SpatialGate.spatial.bn.bias", "stages.2.5.attention.spatial_norm.bias"),
        ("resnet50_bam", "bam1.channel_att.gate_c.gate_c_fc_0.bias", "stages.0.3.fc1.bias"),
        ("resnext50_bam", "bam3.spatial_att.gate_s.gate_s_conv_di_1.weight", "stages.2.6.spatial.4.weight"),
        ("resnext101_bam", "bam3.channel_att.gate_c.gate_c_bn_1.running_var", "stages.2.23.fc1_norm.running_var"),
        ("attention56", "residual_block2.conv4.weight", "stages.1.0.project.weight"),
        ("attention56", "residual_block5.conv4.weight", ""),
        ("attention56", "attention_module1.softmax3_blocks.1.bn1.bias", "stages.0.1.0.lowest.reduce_norm.bias"),
        ("attention56", "attention_module1.softmax6_blocks.5.weight", "stages.0.1.0.mask.3.weight"),
        (
            "attention92",
            "attention_module2_2.skip1_connection_residual_block.conv2.weight",
            "stages.1.1.1.rises.0.skip.middle.weight",
        ),
        ("attention92", "attention_module3_3.trunk_branches.1.conv3.weight", "stages.2.1.2.trunk.1.increase.weight"),
        ("attention92", "attention_module3_3.last_blocks.conv4.weight", ""),
    ],
)
def test_a_real_name_becomes_minisks_or_is_not_used(model, theirs, ours):
    (source,) = [entry for entry in SOURCES if model in entry.models]
    assert source.new_name(theirs) == ours


def test_the_attention_networks_of_the_ports_differ_from_the_authors_in_options_alone():
    arrays = [models.attention56(2, **o).state_dict() for o in ({}, {"caffe_pool": False, "extra_sums": True})]
    assert [(name, a.shape) for name, a in arrays[0].items()] == [(name, a.shape) for name, a in arrays[1].items()]
