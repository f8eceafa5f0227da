"""Rules for the attention networks of two projects in PyTorch: their modules, and minisk's. See sources.py.

A rule whose second part is NOT_USED names arrays that the source stores and never computes with.
"""

from collections.abc import Sequence

Rules = list[tuple[str, str]]

NOT_USED = ""

# CBAM stands in each unit, under the names of the authors' cbam.py.
CBAM_PARTS = (
    ("cbam.ChannelGate.mlp.1", "attention.mlp.0"),
    ("cbam.ChannelGate.mlp.3", "attention.mlp.2"),
    ("cbam.SpatialGate.spatial.conv", "attention.spatial"),
    ("cbam.SpatialGate.spatial.bn", "attention.spatial_norm"),
)
# BAM stands after a stage, under the names of the authors' bam.py.
_BAM_PARTS = (
    ("channel_att.gate_c.gate_c_fc_0", "fc1"),
    ("channel_att.gate_c.gate_c_bn_1", "fc1_norm"),
    ("channel_att.gate_c.gate_c_fc_final", "fc2"),
    ("spatial_att.gate_s.gate_s_conv_reduce0", "spatial.0"),
    ("spatial_att.gate_s.gate_s_bn_reduce0", "spatial.1"),
    ("spatial_att.gate_s.gate_s_conv_di_0", "spatial.2"),
    ("spatial_att.gate_s.gate_s_bn_di_0", "spatial.3"),
    ("spatial_att.gate_s.gate_s_conv_di_1", "spatial.4"),
    ("spatial_att.gate_s.gate_s_bn_di_1", "spatial.5"),
    ("spatial_att.gate_s.gate_s_conv_final", "spatial.6"),
)
_PRE_ACTIVATION_PARTS = (
    ("bn1", "reduce_norm"),
    ("conv1", "reduce"),
    ("bn2", "middle_norm"),
    ("conv2", "middle"),
    ("bn3", "increase_norm"),
    ("conv3", "increase"),
)


def bam_modules(units: Sequence[int]) -> Rules:
    """Return the rules for BAM after stages of so many units. minisk counts it as one more unit of the stage."""
    return [
        (f"bam{stage + 1}.{theirs}", f"stages.{stage}.{count}.{ours}")
        for stage, count in enumerate(units)
        for theirs, ours in _BAM_PARTS
    ]


def residual_attention_modules(modules: Sequence[int]) -> Rules:
    """Return the rules for a residual attention network with so many attention modules in its first three stages."""
    rules = [("conv1.0", "stem.0"), ("conv1.1", "stem.1"), ("mpool2.0", "norm"), ("fc", "classifier")]
    for block, unit in enumerate(("0.0", "1.0", "2.0", "3.0", "3.1", "3.2"), start=1):
        rules += _unit(f"residual_block{block}", f"stages.{unit}", projects=block <= 4)
    for stage, count in enumerate(modules):
        for number in range(count):
            theirs = f"attention_module{stage + 1}" + (f"_{number + 1}" if number else "")
            rules += _attention_module(theirs, f"stages.{stage}.1.{number}", pools=3 - stage)
    return rules


def _attention_module(theirs: str, ours: str, pools: int) -> Rules:
    """Return the rules for a module whose mask branch halves the map so often. The source counts its blocks through."""
    units = [("first_residual_blocks", "first"), ("last_blocks", "last")]
    units += [(f"trunk_branches.{i}", f"trunk.{i}") for i in range(2)]
    units += [(f"softmax{i + 1}_blocks", f"down.{i}") for i in range(pools - 1)]
    units += [(f"softmax{pools}_blocks.0", f"down.{pools - 1}"), (f"softmax{pools}_blocks.1", "lowest")]
    for rise in range(pools - 1):
        units += [(f"skip{pools - 1 - rise}_connection_residual_block", f"rises.{rise}.skip")]
        units += [(f"softmax{pools + 1 + rise}_blocks", f"rises.{rise}.merge")]
    rules = [(f"{theirs}.softmax{2 * pools}_blocks.{i}", f"{ours}.mask.{k}") for k, i in enumerate((0, 2, 3, 5))]
    for their_unit, our_unit in units:
        rules += _unit(f"{theirs}.{their_unit}", f"{ours}.{our_unit}", projects=False)
    return rules


def _unit(theirs: str, ours: str, projects: bool) -> Rules:
    """Return the rules for a unit. The source gives every unit a projection, conv4, and uses it where it is needed."""
    rules = [(f"{theirs}.{part}", f"{ours}.{own}") for part, own in _PRE_ACTIVATION_PARTS]
    return [*rules, (f"{theirs}.conv4", f"{ours}.project" if projects else NOT_USED)]
