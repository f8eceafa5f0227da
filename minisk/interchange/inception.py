"""Rules for the Inception networks of timm: their modules, and minisk's. See sources.py.

A convolution with batch norm is NAME.conv and NAME.bn in timm, NAME.conv and NAME.norm in minisk.
"""

from collections.abc import Iterable

Rules = list[tuple[str, str]]

# Branches of a unit: the first is one convolution, the others are chains of them.
_BRANCHES = [("branch{branch}", "{branch}"), ("branch{branch}.{position}", "{branch}.{position}")]


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
