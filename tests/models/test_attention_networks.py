"""SENet, CBAM, BAM and residual attention networks against the numbers of independent implementations.

The numbers were computed in float64 from the authors' model files, and agree with public ports.
"""

import numpy as np
import pytest
from module_parity import assert_parity, randomized, torch_form
from parity import distinct
from reference_numbers import fill, images_and_labels, norm, run_network, run_unit

import minisk as ms
from minisk import models, nn
from minisk.analysis.summary import summarize
from minisk.analysis.table import count
from minisk.errors import ShapeError
from minisk.models import BAM, CBAM, SqueezeExcitation
from minisk.models.residual import grouped_units
from minisk.models.residual_attention import Rise, pre_activation_unit


def test_attention56_has_the_exact_size_of_its_authors_file():
    row = count("attention56")
    assert (row.parameters, row.with_statistics) == (31_810_728, 31_883_432)
    assert row.macs == (6_270_836_736, 11_554_646_784, 12_795_494_400)


@pytest.mark.parametrize(("name", "parameters"), [("resnet50_cbam", 28_089_624), ("resnet50_bam", 25_915_099)])
def test_the_networks_with_published_weights_have_the_size_of_the_cbam_paper(name, parameters):
    # 28.09 M and 25.92 M in its table of ImageNet results. torchvision's ResNet-50 has 25,557,032 of them.
    assert count(name).parameters == parameters


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: models.AttentionModule(512, 2, grouped_units(32), norm=False), 3_068_928),
        (lambda: models.AttentionModule(1024, 1, grouped_units(32), norm=False), 8_857_600),
        (lambda: models.AttentionModule(512, 2, pre_activation_unit, norm=True), 3_046_912),
        (lambda: models.AttentionModule(1024, 1, pre_activation_unit, norm=True), 8_804_352),
        (lambda: BAM(512), 68_513),
        (lambda: BAM(1024), 272_193),
    ],
    ids=["AttentionNeXt B", "AttentionNeXt C", "Attention B", "Attention C", "BAM 512", "BAM 1024"],
)
def test_a_module_has_the_exact_size(make, parameters):
    assert sum(parameter.size for parameter in make().parameters()) == parameters


# The skeleton is that of sknet_small, whose multiply-adds include its select steps.
@pytest.mark.parametrize("name", ["small_plain", "small_se", "small_cbam", "small_bam"])
def test_a_small_network_has_the_multiply_adds_of_sknet_small_to_two_percent(name):
    sknet, other = (summarize(models.create(each), (3, 32, 32)) for each in ("sknet_small", name))
    assert other.macs == pytest.approx(sknet.macs + sknet.select_macs, rel=0.02)
    assert len([row for row in other.rows if row.name.endswith("increase")]) == 5


@pytest.mark.parametrize("name", ["seresnext50", "resnext50_cbam", "resnext50_bam", "attentionnext56", "attention92"])
@pytest.mark.parametrize("size", [225, 331])
def test_odd_sizes_have_maps_of_every_layer(name, size):
    with nn.init.skipped():
        model = models.create(name)
    assert summarize(model, (3, size, size)).rows[-1].shape == (1000,)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("attentionnext56", (2, 3, 30, 64), r"AttentionModule: x \(2, 256, 7, 16\) is too small: .* 3 times"),
        ("attention92", (2, 1, 64, 64), r"conv2d: x has 1 channels, but weight \(64, 3, 7, 7\)"),
        ("resnext50_cbam", (2, 1, 64, 64), r"conv2d: x has 1 channels, but weight \(64, 3, 7, 7\)"),
        ("resnext50_bam", (1, 3, 64, 64), r"BAM: x \(1, 256, 16, 16\) is one image, .* needs a larger batch"),
    ],
)
def test_images_that_do_not_fit_are_an_error_of_one_sentence(name, shape, expected):
    with nn.init.skipped():
        model = models.create(name)
    with pytest.raises(ShapeError, match=expected):
        model(ms.zeros(shape))


def test_bam_takes_one_image_in_evaluation_and_with_a_frozen_norm():
    module, x = BAM(32), ms.tensor(np.ones((1, 32, 5, 5), np.float32))
    assert module.eval()(x).shape == x.shape
    module.train().fc1_norm.freeze()
    assert module(x).shape == x.shape


# Two groups and few channels: gradcheck moves every element of every parameter.
SMALL_UNITS = {
    "SE": lambda: bottleneck(SqueezeExcitation(8, r=4)),
    "CBAM": lambda: bottleneck(CBAM(8, r=4)),
    "BAM": lambda: BAM(8, r=4, dilation=2),
    "pre-activation": lambda: models.PreActivationUnit(4, 8, 2, True),
    "attention module": lambda: models.AttentionModule(4, 1, pre_activation_unit, norm=True),
    "AttentionNeXt module": lambda: models.AttentionModule(4, 1, grouped_units(2), norm=False),
}


def bottleneck(attention):
    middle = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
    return models.Bottleneck(4, 4, 8, middle, project=True, attention=attention)


@pytest.mark.parametrize("name", SMALL_UNITS)
def test_the_gradients_of_a_unit_are_right(name):
    ms.manual_seed(3)
    unit = SMALL_UNITS[name]().to(dtype="float64")
    for parameter in unit.parameters():  # CBAM's scale of 0 would hide the spatial branch
        nn.init.normal_(parameter, 0.5)
    channels = 8 if name == "BAM" else 4
    x = ms.tensor(np.random.default_rng(1).standard_normal((3, channels, 5, 4)), requires_grad=True)
    assert ms.gradcheck(unit, x).ok


# In training, the gradient of BAM's biases before a batch norm is 0 but for rounding.
@pytest.mark.parametrize(
    ("name", "training"), [*[(name, True) for name in SMALL_UNITS if name != "BAM"], *[(n, False) for n in SMALL_UNITS]]
)
def test_a_unit_equals_pytorchs_form_in_output_and_every_gradient(torch, name, training):
    unit = randomized(SMALL_UNITS[name]()).train(training)
    x = distinct([(3, 8 if name == "BAM" else 4, 6, 5)], seed=1)[0]
    form = torch_form(torch, unit).train(training)
    assert_parity(torch, unit, x, form, dict(form.named_parameters()))


def test_the_gradients_of_a_step_up_are_right():
    rise = Rise(lambda: models.PreActivationUnit(4, 4)).to(dtype="float64")
    d, u = (ms.tensor(array, requires_grad=True) for array in distinct([(2, 4, 5, 4), (2, 4, 3, 2)]))
    assert ms.gradcheck(rise, [d, u]).ok


def grouped(in_channels, out_channels, stride=1, project=False, attention=None):
    return grouped_units(32, attention)(in_channels, out_channels // 2, out_channels, stride, project)


# unit: shape of x, parameters, norms of output, dx and the gradients of all parameters
UNITS = {
    "SE": (
        lambda: SqueezeExcitation(256),
        (4, 256, 8, 8),
        (8_464, 128.464477, 0.00114561217, 0.0114648716),
    ),
    "CBAM": (lambda: CBAM(256), (4, 256, 8, 8), (8_564, 70.2084916, 0.000482406424, 0.0312157987)),
    "BAM": (lambda: BAM(256), (4, 256, 12, 12), (17_361, 574.602919, 0.00584604073, 0.0142091535)),
    "SE-ResNeXt unit": (
        lambda: grouped(64, 256, project=True, attention=SqueezeExcitation),
        (4, 64, 8, 8),
        (71_952, 203.042551, 0.00241036834, 0.0496534593),
    ),
    "AttentionNeXt unit": (
        lambda: grouped(256, 512, 2, True),
        (4, 256, 8, 8),
        (349_184, 181.593841, 0.00641165373, 0.100848856),
    ),
    "Attention unit": (
        lambda: models.PreActivationUnit(256, 512, 2, True),
        (4, 256, 8, 8),
        (377_856, 247.535914, 0.0182170739, 0.402680909),
    ),
    "AttentionNeXt module": (
        lambda: models.AttentionModule(256, 3, grouped_units(32), norm=False),
        (4, 256, 16, 16),
        (985_600, 1288.56852, 0.0341829175, 0.640219022),
    ),
    "Attention module": (
        lambda: models.AttentionModule(256, 3, pre_activation_unit, norm=True),
        (4, 256, 16, 16),
        (976_896, 1641.95395, 0.0657441028, 1.67125455),
    ),
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_reference_numbers(name):
    make, shape, (parameters, *norms) = UNITS[name]
    unit = fill(make())
    assert sum(parameter.size for parameter in unit.parameters()) == parameters
    np.testing.assert_allclose(run_unit(unit, shape)[1], norms, rtol=1e-8)


# model: loss, norms of logits, of all gradients and of the stem's; evaluation loss, norm of logits; norms of gradients
NUMBERS = {
    "seresnext50": (
        lambda: models.seresnext50(),
        (7.18773735, 21.3352779, 70.0878767, 45.1380912, 75.4376591, 1245.23072),
        {"stages.0.0.attention.fc1.weight": 0.930902226, "classifier.weight": 17.0986934},
    ),
    "seresnext50, the authors' pool": (
        lambda: models.seresnext50(caffe_pool=True),
        (7.06068546, 21.3564970, 63.4357667, 40.6063125, 81.4307898, 1280.12868),
        {},
    ),
    "seresnext101": (
        lambda: models.seresnext101(),
        (7.01070389, 20.7890015, 255.627994, 169.383943, 2585.66146, 43589.8309),
        {"stages.0.0.attention.fc1.weight": 2.92999630},
    ),
    "seresnext101, the authors' pool": (
        lambda: models.seresnext101(caffe_pool=True),
        (6.88835826, 20.8057556, 275.012048, 181.917360, 2841.98560, 47079.4608),
        {},
    ),
    "resnext50_cbam": (
        lambda: models.resnext50_cbam(),
        (6.89082387, 16.6077007, 18.2281338, 7.55162500, 6.91885932, 123.703119),
        {
            "stages.0.0.attention.mlp.0.weight": 0.189053866,
            "stages.0.0.attention.spatial.weight": 0.494052581,
            "classifier.weight": 13.2677109,
        },
    ),
    "resnext101_cbam": (
        lambda: models.resnext101_cbam(),
        (6.86840695, 16.3871052, 38.7863256, 22.3093710, 12.5905095, 278.768480),
        {"stages.0.0.attention.mlp.0.weight": 0.464860313, "stages.0.0.attention.spatial.weight": 0.936720402},
    ),
    "resnext50_bam": (
        lambda: models.resnext50_bam(),
        (7.25598436, 33.8522531, 349.722992, 246.190165, 2493.71148, 57291.4039),
        {
            "stages.0.3.fc1.weight": 5.72634967,
            "stages.0.3.spatial.2.weight": 0.600601824,
            "stages.0.3.spatial.6.weight": 0.0932618261,
            "classifier.weight": 26.3227714,
        },
    ),
    "resnext101_bam": (
        lambda: models.resnext101_bam(),
        (7.32076840, 33.2439759, 1929.83066, 1355.87984, 1750769.09, 37518027.7),
        {
            "stages.0.3.fc1.weight": 25.9104169,
            "stages.0.3.spatial.2.weight": 3.17187029,
            "stages.0.3.spatial.6.weight": 0.457917153,
        },
    ),
    "attentionnext56": (
        lambda: models.attentionnext56(),
        (7.47469502, 34.3182849, 479.590509, 347.323372, 14693.4301, 206943.028),
        {
            "stages.0.1.0.mask.0.weight": 14.4356995,
            "stages.0.1.0.mask.2.weight": 12.8930570,
            "classifier.weight": 26.5000694,
        },
    ),
    "attention56": (
        lambda: models.attention56(),
        (6.91603954, 13.9075488, 163.974820, 98.9177238, 1983.55747, 38197.1946),
        {"stages.0.1.0.mask.1.weight": 4.80464327, "stages.0.1.0.mask.3.weight": 3.98361867},
    ),
}


def assert_gradients(model, expected):
    parameters = dict(model.named_parameters())
    for name, value in expected.items():
        np.testing.assert_allclose(norm(parameters[name].grad.numpy()), value, rtol=1e-8, err_msg=name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.large) if "101" in name else name for name in NUMBERS]
)
def test_one_training_step_and_one_evaluation_give_the_reference_numbers(name):
    make, expected, of_gradients = NUMBERS[name]
    model = fill(make())
    np.testing.assert_allclose(run_network(model, *images_and_labels(4, 64)), expected, rtol=1e-8)
    assert_gradients(model, of_gradients)


def test_attention92_gives_the_gradients_of_the_reference():
    model = fill(models.attention92())
    run_network(model, *images_and_labels(4, 64))
    assert_gradients(
        model,
        {
            "stages.0.1.0.mask.1.weight": 10.6332365,
            "stages.0.1.0.mask.3.weight": 8.69094979,
            "classifier.weight": 10.8081127,
        },
    )
