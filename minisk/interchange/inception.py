"""Rules for the Inception networks of timm and torchvision: their modules, and minisk's. See sources.py.

A convolution with batch norm is NAME.conv and NAME.bn in both, NAME.conv and NAME.norm in minisk.
"""

from collections.abc import Iterable

Rules = list[tuple[str, str]]

# Branches of a unit: the first is one convolution, the others are chains of them.
_BRANCHES = [("branch{branch}", "{branch}"), ("branch{branch}.{position}", "{branch}.{position}")]


def inception_v3_modules() -> Rules:
    """Return the rules for Inception-v3, with or without its auxiliary classifier. Positions count from 1."""
    rules = [("Conv2d_1a_3x3", "stem.0.0"), ("Conv2d_2a_3x3", "stem.0.1"), ("Conv2d_2b_3x3", "stem.0.2")]
    rules += [("Conv2d_3b_1x1", "stem.2.0"), ("Conv2d_4a_3x3", "stem.2.1")]
    ends = [("branch1x1", "0"), ("branch_pool", "3.1")]
    five = [("branch5x5_{position}", "1.{position}"), ("branch3x3dbl_{position}", "2.{position}")]
    seven = [("branch7x7_{position}", "1.{position}"), ("branch7x7dbl_{position}", "2.{position}")]
    forks = [("branch3x3_1", "1.0"), ("branch3x3_2a", "1.1.0"), ("branch3x3_2b", "1.1.1")]
    forks += [("branch3x3dbl_1", "2.0.0"), ("branch3x3dbl_2", "2.0.1")]
    forks += [("branch3x3dbl_3a", "2.1.0"), ("branch3x3dbl_3b", "2.1.1")]
    for i, letter in enumerate("bcd"):
        rules += _inside(f"Mixed_5{letter}", f"units_a.{i}", [*ends, *five])
    rules += _inside("Mixed_6a", "unit_b", [("branch3x3", "0"), ("branch3x3dbl_{position}", "1.{position}")])
    for i, letter in enumerate("bcde"):
        rules += _inside(f"Mixed_6{letter}", f"units_c.{i}", [*ends, *seven])
    halving = [("branch3x3_{position}", "0.{position}"), ("branch7x7x3_{position}", "1.{position}")]
    rules += _inside("Mixed_7a", "unit_d", halving)
    for i, letter in enumerate("bc"):
        rules += _inside(f"Mixed_7{letter}", f"units_e.{i}", [*ends, *forks])
    rules += [("AuxLogits.conv0", "auxiliary.reduce"), ("AuxLogits.conv1", "auxiliary.gather")]
    return [*_with_norms(rules), ("AuxLogits.fc", "auxiliary.classifier"), ("fc", "classifier")]


def inception_v4_modules() -> Rules:
    """Return the rules for Inception-v4. timm counts stem and units through; minisk groups them by kind."""
    rules = [(f"features.{i}", f"stem.0.{i}") for i in range(3)]
    rules += [("features.3.conv", "stem.1.1"), ("features.5.conv", "stem.3.0")]
    rules += _inside("features.4", "stem.2", _BRANCHES)
    for i in range(4):
        rules += _inside(f"features.{6 + i}", f"units_a.{i}", _BRANCHES)
    rules += _inside("features.10", "reduction_a", _BRANCHES)
    for i in range(7):
        rules += _inside(f"features.{11 + i}", f"units_b.{i}", _BRANCHES)
    rules += _inside("features.18", "reduction_b", _BRANCHES)
    forks = [("branch1_0", "1.0"), ("branch1_1a", "1.1.0"), ("branch1_1b", "1.1.1")]
    forks += [(f"branch2_{i}", f"2.0.{i}") for i in range(3)]
    forks += [("branch2_3a", "2.1.0"), ("branch2_3b", "2.1.1")]
    for i in range(3):
        rules += _inside(f"features.{19 + i}", f"units_c.{i}", [*_BRANCHES, *forks])
    return [*_with_norms(rules), ("last_linear", "classifier")]


def inception_resnet_v2_modules() -> Rules:
    """Return the rules for Inception-ResNet-v2. The last block of 8×8 pixels has a name of its own in timm."""
    rules = [("conv2d_1a", "stem.0.0"), ("conv2d_2a", "stem.0.1"), ("conv2d_2b", "stem.0.2")]
    rules += [("conv2d_3b", "stem.2.0"), ("conv2d_4a", "stem.2.1"), ("conv2d_7b", "conv_7b")]
    for unit in ("mixed_5b", "mixed_6a", "mixed_7a"):
        rules += _inside(unit, unit, _BRANCHES)
    blocks = [("repeat.{block}", "blocks_35.{block}"), ("repeat_1.{block}", "blocks_17.{block}")]
    blocks += [("repeat_2.{block}", "blocks_8.{block}"), ("block8", "blocks_8.9")]
    for theirs, ours in blocks:
        rules += _inside(theirs, f"{ours}.branches", _BRANCHES)
    without_norms = [(f"{theirs}.conv2d", f"{ours}.up") for theirs, ours in blocks]
    return [*_with_norms(rules), *without_norms, ("classif", "classifier")]


def _inside(theirs: str, ours: str, parts: Iterable[tuple[str, str]]) -> Rules:
    """Return the rules for the parts of one unit."""
    return [(f"{theirs}.{their_part}", f"{ours}.{our_part}") for their_part, our_part in parts]


def _with_norms(rules: Rules) -> Rules:
    """Return two rules for each convolution with batch norm."""
    both = [("conv", "conv"), ("bn", "norm")]
    return [rule for theirs, ours in rules for rule in _inside(theirs, ours, both)]
