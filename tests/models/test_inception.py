"""The Inception networks: exact sizes, and the numbers of independent implementations for units and whole networks."""

import numpy as np
import pytest
from module_parity import assert_parity, randomized, torch_form
from reference_numbers import fill, images_and_labels, norm, run_network, run_unit

import minisk as ms
from minisk import models, ops
from minisk.models import inception
from minisk.models import inceptionresnetv2 as resnet_v2
from minisk.models import inceptionv3 as v3
from minisk.models import inceptionv4 as v4

UNITS = {
    "v3 A": lambda: v3.unit_a(192, 32, False),
    "v3 A, padding counted": lambda: v3.unit_a(192, 32, True),
    "v3 B": lambda: v3.unit_b(288),
    "v3 C": lambda: v3.unit_c(128, False),
    "v3 D": lambda: v3.unit_d(768),
    "v3 E": lambda: v3.unit_e(1280, False),
    "v3 auxiliary classifier": lambda: v3.AuxiliaryClassifier(768, 1000),
    "v4 stem 3a": v4.stem_3a,
    "v4 stem 4a": v4.stem_4a,
    "v4 stem 5a": v4.stem_5a,
    "v4 A": v4.unit_a,
    "v4 reduction A": v4.reduction_a,
    "v4 B": v4.unit_b,
    "v4 reduction B": v4.reduction_b,
    "ResNet-v2 5b": resnet_v2.mixed_5b,
    "ResNet-v2 block 35": resnet_v2.block_35,
    "ResNet-v2 6a": resnet_v2.mixed_6a,
    "ResNet-v2 block 17": resnet_v2.block_17,
    "ResNet-v2 block 8": resnet_v2.block_8,
    "ResNet-v2 last block 8": resnet_v2.last_block_8,
}
# Shape of the input and of the output without the batch; parameters; norms of output, input and parameter gradients.
REFERENCE = """
v3 A                    | 4 192 7 7   | 256 7 7  |  255904 | 158.254301 0.00178730258 0.0535096194
v3 A, padding counted   | 4 192 7 7   | 256 7 7  |  255904 | 158.285378 0.00179191991 0.0535079649
v3 B                    | 4 288 7 7   | 768 3 3  | 1153280 | 188.396015 0.00819467212 0.0548299016
v3 C                    | 4 768 7 7   | 768 7 7  | 1297408 | 273.818522 0.00116294245 0.0415062397
v3 D                    | 4 768 7 7   | 1280 3 3 | 1698304 | 283.135187 0.00792291311 0.0463246396
v3 E                    | 4 1280 4 4  | 2048 4 4 | 5044608 | 255.780270 0.00107278121 0.0453981850
v3 auxiliary classifier | 4 768 17 17 | 1000     | 3326696 | 12.5087653 0.00115672331 0.0774896845
v4 stem 3a              | 4 64 15 15  | 160 7 7  |   55488 | 204.394981 0.00844906347 0.0452932343
v4 stem 4a              | 4 160 9 9   | 192 7 7  |  189312 | 136.833018 0.00228610947 0.0653274664
v4 stem 5a              | 4 192 9 9   | 384 4 4  |  332160 | 194.660304 0.0102989356 0.0463435419
v4 A                    | 4 384 7 7   | 384 7 7  |  317632 | 194.095572 0.00147232916 0.0433146990
v4 reduction A          | 4 384 7 7   | 1024 3 3 | 2306112 | 216.896842 0.00709787317 0.0604352000
v4 B                    | 4 1024 7 7  | 1024 7 7 | 2936256 | 316.507436 0.000970952019 0.0409315373
v4 reduction B          | 4 1024 7 7  | 1536 3 3 | 2747392 | 322.050421 0.00759849633 0.0504342458
ResNet-v2 5b            | 4 192 7 7   | 320 7 7  |  268320 | 176.767838 0.00157445051 0.0462965405
ResNet-v2 block 35      | 4 320 7 7   | 320 7 7  |  123168 | 182.450597 0.00295996251 0.0214936552
ResNet-v2 6a            | 4 320 7 7   | 1088 3 3 | 2664960 | 209.116417 0.00618022323 0.0640452418
ResNet-v2 block 17      | 4 1088 7 7  | 1088 7 7 | 1126784 | 328.711369 0.00154959788 0.0110252616
ResNet-v2 block 8       | 4 2080 4 4  | 2080 4 4 | 2035424 | 263.711873 0.00202600916 0.0225105011
ResNet-v2 last block 8  | 4 2080 4 4  | 2080 4 4 | 2035424 | 513.424199 0.00747004180 0.267443001
"""


@pytest.mark.parametrize("line", REFERENCE.strip().splitlines(), ids=list(UNITS))
def test_a_unit_gives_the_reference_numbers(line):
    name, shape, out_shape, parameters, expected = (cell.strip() for cell in line.split("|"))
    unit = fill(UNITS[name]())
    assert sum(parameter.size for parameter in unit.parameters()) == int(parameters)
    found_shape, norms = run_unit(unit, tuple(map(int, shape.split())))
    assert found_shape == (4, *map(int, out_shape.split()))
    np.testing.assert_allclose(norms, [float(number) for number in expected.split()], rtol=1e-8)


# A few channels and branches of each kind: gradcheck moves every element of every parameter.
SMALL_UNITS = {
    "rows and columns": lambda: inception.Branches(
        inception.chain(3, inception.Conv(2, 1), inception.Conv(3, (1, 7)), inception.Conv(2, (7, 1))),
        inception.chain(3, inception.Conv(2, (3, 1)), inception.Conv(2, (1, 3))),
    ),
    "fork": lambda: inception.fork(3, inception.Conv(2, (1, 3)), inception.Conv(2, (3, 1))),
    "average, padding not counted": lambda: inception.pooled(3, 2),
    "average, padding counted": lambda: inception.pooled(3, 2, count_include_pad=True),
    "reduction": lambda: inception.Branches(
        inception.chain(3, inception.Conv(2, 3, 2, valid=True)), inception.halving_pool()
    ),
    "scaled residual": lambda: resnet_v2.ScaledResidual(3, inception.fork(3, inception.Conv(2, 1)), 2, scale=0.2),
    "last scaled residual": lambda: resnet_v2.ScaledResidual(
        3, inception.fork(3, inception.Conv(2, 1)), 2, scale=1.0, relu=False
    ),
}


@pytest.mark.parametrize("name", SMALL_UNITS)
def test_the_gradients_of_a_unit_are_right(name):
    ms.manual_seed(3)
    x = ms.tensor(np.random.default_rng(1).standard_normal((3, 3, 7, 8)))
    assert ms.gradcheck(SMALL_UNITS[name](), x).ok


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: v3.unit_c(16, True), (2, 768, 4, 5)),
        (lambda: v3.unit_a(24, 8, False), (2, 24, 7, 5)),
        (lambda: v3.AuxiliaryClassifier(12, 7), (3, 12, 17, 17)),
        (v4.stem_4a, (2, 160, 6, 5)),
        (resnet_v2.block_35, (2, 320, 4, 3)),
        (lambda: SMALL_UNITS["last scaled residual"](), (3, 3, 4, 5)),
    ],
    ids=["v3 C", "v3 A", "v3 auxiliary classifier", "v4 stem 4a", "ResNet-v2 block 35", "ResNet-v2 last block"],
)
def test_a_unit_agrees_with_its_form_in_pytorch(torch, make, shape):
    unit = randomized(make())
    judge = torch_form(torch, unit)
    x = np.random.default_rng(2).standard_normal(shape)
    assert_parity(torch, unit, x, judge, dict(judge.named_parameters()))


# Without dropout; loss, ‖logits‖, ‖all gradients‖ and ‖gradient of the first weight‖ of a step; loss and ‖logits‖ in
# evaluation.
NETWORKS = {
    "inception_v3": (
        lambda: models.inception_v3(auxiliary=False, dropout=0.0),
        (7.10657732, 14.3489514, 467.741784, 106.064476, 7.22993964, 26.6591193),
    ),
    "inception_v3, padding counted": (
        lambda: models.inception_v3(auxiliary=False, count_include_pad=True, dropout=0.0),
        (7.01183023, 14.3298863, 429.790453, 101.208597, 7.15340664, 18.7805236),
    ),
    "inception_v4": (
        lambda: models.inception_v4(dropout=0.0),
        (6.88377681, 13.3394427, 7576.27826, 1581.87457, 6.88711165, 4.64306247),
    ),
    "inception_resnet_v2": (
        lambda: models.inception_resnet_v2(dropout=0.0),
        (6.90010551, 11.7044620, 58.0914068, 12.9364197, 11.1143912, 158.864406),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_training_step_and_one_evaluation_give_the_reference_numbers(name):
    make, expected = NETWORKS[name]
    np.testing.assert_allclose(run_network(fill(make()), *images_and_labels(4, 107)), expected, rtol=1e-8)


def test_inception_v3_with_its_auxiliary_classifier_gives_the_reference_numbers():
    model = fill(models.inception_v3(dropout=0.0))
    x, y = images_and_labels(4, 299)
    outputs = model(x)
    assert outputs.auxiliary_weight == 0.4
    losses = [ops.cross_entropy(logits, y).item() for logits in outputs[:2]]
    np.testing.assert_allclose(losses, (6.87464816, 6.80133700), rtol=1e-8)
    assert norm(outputs.auxiliary_logits.numpy()) == pytest.approx(12.3427224, rel=1e-8)
    expected = (9.59518296, 11.7334388, 161.424048, 36.5836342, 7.73056017, 77.7109972)
    np.testing.assert_allclose(run_network(model, x, y), expected, rtol=1e-8)
