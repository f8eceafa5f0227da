"""Variants of sknet_small for ablations: each differs in the one choice that its study is about."""

import numpy as np
import pytest

import minisk as ms
from minisk.cli.ablation import NAMES
from minisk.models.ablations import SKNET_SMALL, STUDIES, BranchMean
from minisk.models.attention import Branch


def size(network):
    return sum(parameter.size for parameter in network.parameters())


def test_the_first_variant_of_each_study_is_sknet_small():
    names = {name: value.shape for name, value in ms.models.sknet_small(10).state_dict().items()}
    assert {name: value.shape for name, value in SKNET_SMALL.network(10).state_dict().items()} == names
    assert all(variants[0] is SKNET_SMALL for variants in STUDIES.values())
    assert tuple(STUDIES) == NAMES


def test_variants_have_different_names_and_settings():
    variants = {variant for study in STUDIES.values() for variant in study}
    assert len({variant.name for variant in variants}) == len(variants)


@pytest.mark.parametrize("study", STUDIES)
def test_every_variant_computes_logits(study):
    for variant in STUDIES[study][1:]:
        with ms.no_grad():
            assert variant.network(4).eval()(ms.zeros(2, 3, 32, 32)).shape == (2, 4)


def test_networks_with_one_kernel_have_the_parameters_of_sknet_small():
    target, *others = [size(variant.network(10)) for variant in STUDIES["one-kernel"]]
    assert others == pytest.approx([target] * 2, rel=0.01)


def test_without_select_the_fuse_step_is_absent():
    with_select, without = (size(variant.network(10)) for variant in STUDIES["select"])
    squeeze = sum(width * 32 * 3 + 2 * 32 for width in (48, 96, 96, 192, 192))  # fc1, fc2 for two branches, batch norm
    assert with_select - without == squeeze


@pytest.mark.parametrize("count", [1, 3])
def test_the_mean_of_branches_is_the_mean_of_their_outputs(count):
    layer = BranchMean(4, [Branch(3, dilation, 2) for dilation in range(1, count + 1)], stride=2).eval()
    x = ms.randn(2, 4, 8, 8)
    parts = [norm(conv(x)).numpy() for conv, norm in zip(layer.convs, layer.norms, strict=True)]
    np.testing.assert_allclose(layer(x).numpy(), np.mean(parts, axis=0), atol=1e-6)
