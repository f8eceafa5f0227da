"""SENet, CBAM, BAM and residual attention networks against the numbers of independent implementations.

The numbers were computed in float64 from the authors' model files, and agree with public ports.
"""

import numpy as np
import pytest
from reference_numbers import norm, run_model, run_unit

from minisk import models
from minisk.analysis.summary import summarize
from minisk.models.attention import BAM, CBAM, SqueezeExcitation
from minisk.models.residual import grouped_units
from minisk.models.residual_attention import AttentionModule, PreActivationUnit, pre_activation_unit

# name: parameters, with running statistics, multiply-adds at 224, 299 and 320 pixels
SIZES = {
    "seresnext50": (27_559_896, 27_628_120, 4_232_994_816, 7_877_837_056, 8_634_015_744),
    "seresnext101": (48_955_416, 49_093_272, 7_974_739_968, 14_767_644_928, 16_267_911_168),
    "resnext50_cbam": (27_561_496, 27_629_752, 4_236_868_726, 7_882_813_466, 8_639_304_088),
    "resnext101_cbam": (48_958_716, 49_096_638, 7_981_168_638, 14_775_450_988, 16_276_094_136),
    "resnext50_bam": (25_386_971, 25_456_091, 4_312_626_944, 8_025_162_064, 8_798_968_832),
    "resnext101_bam": (44_535_771, 44_674_523, 8_052_143_872, 14_912_741_712, 16_430_636_032),
    "attentionnext56": (31_318_824, 31_417_256, 6_419_106_816, 11_814_620_928, 13_098_086_400),
    "attention56": (31_810_728, 31_883_432, 6_270_836_736, 11_554_646_784, 12_795_494_400),
    "attention92": (52_466_344, 52_599_976, 10_533_789_696, 19_359_935_232, 21_495_398_400),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_model_has_the_exact_size_of_its_authors_file(name):
    parameters, with_statistics, *macs = SIZES[name]
    model = models.create(name)
    summaries = [summarize(model, (3, size, size)) for size in (224, 299, 320)]
    assert summaries[0].parameters == parameters
    assert summaries[0].parameters + summaries[0].buffers == with_statistics
    assert [summary.macs for summary in summaries] == macs


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
        lambda: PreActivationUnit(256, 512, 2, True),
        (4, 256, 8, 8),
        (377_856, 247.535914, 0.0182170739, 0.402680909),
    ),
    "AttentionNeXt module": (
        lambda: AttentionModule(256, 3, grouped_units(32), norm=False),
        (4, 256, 16, 16),
        (985_600, 1288.56852, 0.0341829175, 0.640219022),
    ),
    "Attention module": (
        lambda: AttentionModule(256, 3, pre_activation_unit, norm=True),
        (4, 256, 16, 16),
        (976_896, 1641.95395, 0.0657441028, 1.67125455),
    ),
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_the_reference_numbers_to_seven_digits(name):
    make, shape, expected = UNITS[name]
    np.testing.assert_allclose(run_unit(make(), shape), expected, rtol=5e-9 * 10)


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


@pytest.mark.parametrize("name", NUMBERS)
def test_a_step_gives_the_reference_numbers_to_seven_digits(name):
    make, expected, of_gradients = NUMBERS[name]
    step = run_model(make(), size=64)
    seen = (
        step.loss,
        step.logits,
        norm(*step.gradients.values()),
        norm(step.gradients["stem.0.weight"]),
        step.evaluation_loss,
        step.evaluation_logits,
    )
    np.testing.assert_allclose(seen, expected, rtol=5e-9 * 10)
    for parameter, value in of_gradients.items():
        np.testing.assert_allclose(norm(step.gradients[parameter]), value, rtol=5e-9 * 10, err_msg=parameter)


def test_attention92_gives_the_gradients_of_the_reference():
    step = run_model(models.attention92(), size=64)
    expected = {"stages.0.1.0.mask.1.weight": 10.6332365, "stages.0.1.0.mask.3.weight": 8.69094979}
    expected["classifier.weight"] = 10.8081127
    for parameter, value in expected.items():
        np.testing.assert_allclose(norm(step.gradients[parameter]), value, rtol=5e-9 * 10, err_msg=parameter)
