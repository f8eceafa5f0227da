"""The models: exact sizes, and one training step against the numbers of an independent implementation."""

import numpy as np
import pytest

import minisk as ms
from minisk import models, ops
from minisk.analysis.summary import summarize
from minisk.errors import ShapeError
from minisk.models import SKConv

# name: parameters, with running statistics, multiply-adds in billions, with the select steps; counted from the authors'
# model files
SIZES = {
    "sknet26": (16_746_408, 16_793_256, "2.5869", "2.5899"),
    "sknet50": (27_479_784, 27_564_328, "4.4627", "4.4682"),
    "sknet101": (48_736_040, 48_908_712, "8.4487", "8.4577"),
    "resnext50": (25_028_904, 25_097_128, "4.2305", "4.2305"),
    "resnext101": (44_177_704, 44_315_560, "7.9700", "7.9700"),
}


@pytest.mark.parametrize("name", SIZES)
def test_imagenet_models_have_the_published_sizes(name):
    parameters, with_statistics, macs, with_select = SIZES[name]
    summary = summarize(models.create(name), (3, 224, 224))
    assert summary.parameters == parameters
    published = models.info(name).published
    assert published.parameters is None or published.parameters == pytest.approx(parameters / 1e6, rel=0.005)
    assert published.gmacs is None or published.gmacs == pytest.approx(float(with_select), rel=0.005)
    assert summary.parameters + summary.buffers == with_statistics
    assert f"{summary.macs / 1e9:.4f}" == macs
    assert f"{(summary.macs + summary.select_macs) / 1e9:.4f}" == with_select


@pytest.mark.parametrize(
    ("branches", "for_10", "for_100", "gmacs"),
    [([(3, 1, 32), (3, 2, 32)], "28.256", "28.349", "4.031"), ([(3, 1, 64), (5, 1, 64)], "27.740", "27.833", "3.956")],
)
def test_sknet29_has_the_counted_sizes_for_each_choice_of_branches(branches, for_10, for_100, gmacs):
    summary = summarize(models.sknet29(10, branches), (3, 32, 32))
    assert f"{summary.parameters / 1e6:.3f}" == for_10
    assert f"{summary.macs / 1e9:.3f}" == gmacs
    assert f"{sum(p.size for p in models.sknet29(100, branches).parameters()) / 1e6:.3f}" == for_100


@pytest.mark.parametrize(
    ("branches", "parameters", "gmacs"),
    [
        ([(3, 1, 32), (5, 1, 64)], "28.03", "4.553"),
        ([(3, 1, 32), (7, 1, 128)], "27.99", "4.546"),
        ([(3, 1, 32), (3, 2, 32), (3, 3, 32)], "29.25", "4.694"),
    ],
)
def test_sknet50_variants_have_the_counted_sizes(branches, parameters, gmacs):
    summary = summarize(models.sknet50(branches=branches), (3, 224, 224))
    assert f"{summary.parameters / 1e6:.2f}" == parameters
    assert f"{summary.macs / 1e9:.3f}" == gmacs


def test_sknet_small_has_at_most_25_million_multiply_adds_and_a_selective_kernel_in_every_unit():
    model = models.sknet_small()
    summary = summarize(model, (3, 32, 32))
    assert summary.macs >= 15e6 and summary.macs + summary.select_macs <= 25e6
    units = [unit for stage in model.stages for unit in stage]
    assert len(units) == 5
    for unit in units:
        assert isinstance(unit.middle, SKConv)
        assert [(b.kernel, b.dilation) for b in unit.middle.branches] == [(3, 1), (3, 2)]
        assert all(b.groups > 1 for b in unit.middle.branches)


def fill(model):
    """Fill all weights from one RandomState(0), in definition order, in float64, as the reference did."""
    random = np.random.RandomState(0)
    model.to(dtype="float64")
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4:
            std = 0.01 if "fc1." in name or "fc2." in name else np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.data[...] = random.standard_normal(parameter.shape) * std
        elif parameter.ndim == 2:
            parameter.data[...] = random.standard_normal(parameter.shape) * 0.01
        else:
            parameter.data[...] = 1 if name.endswith("weight") else 0


def norm(*arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays))


@pytest.mark.parametrize(
    ("make", "classes", "size", "expected"),
    [
        (models.sknet29, 10, 32, (2.2807153956, 2.63009383, 9.89504553, 1.38536081, 0.408837114)),
        (models.sknet50, 1000, 64, (6.9494233093, 46.96376621, 207.57968217, 142.699536, 15.0865533)),
    ],
)
def test_one_training_step_gives_the_reference_numbers_to_seven_digits(make, classes, size, expected):
    model = make(num_classes=classes)
    fill(model)
    random = np.random.RandomState(1)
    x, y = random.standard_normal((8, 3, size, size)), random.randint(0, classes, 8)
    logits = model(ms.tensor(x))
    loss = ops.cross_entropy(logits, ms.tensor(y))
    loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    seen = (
        loss.item(),
        norm(logits.numpy()),
        norm(*gradients.values()),
        norm(gradients["stem.0.weight"]),
        norm(gradients["stages.0.0.middle.fc2.weight"]),
    )
    np.testing.assert_allclose(seen, expected, rtol=5e-8 * 10)


def test_the_caffe_pool_has_no_padding_and_the_same_output_size_at_224():
    padded, caffe = models.sknet26(), models.sknet26(caffe_pool=True)
    shapes = [
        next(row.shape for row in summarize(m, (3, 224, 224)).rows if row.kind == "MaxPool2d") for m in (padded, caffe)
    ]
    assert shapes == [(64, 56, 56), (64, 56, 56)]
    assert (caffe.stem[2].padding, caffe.stem[2].ceil_mode) == ((0, 0), True)


def test_a_training_step_on_one_image_is_an_error_that_names_the_squeeze_batch_norm():
    with pytest.raises(ShapeError, match=r"SKConv: x \(1, 48, 16, 16\) is one image.*batch_norm.*larger batch"):
        models.sknet_small()(ms.tensor(np.zeros((1, 3, 32, 32), np.float32)))


def test_the_same_seed_makes_the_same_network():
    def first_weights(seed):
        ms.manual_seed(seed)
        return next(models.sknet_small().parameters()).numpy()

    assert np.array_equal(first_weights(3), first_weights(3))
    assert not np.array_equal(first_weights(3), first_weights(4))


def test_a_float32_model_stays_float32_through_forward_and_backward():
    model = models.sknet_small()
    x = ms.tensor(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32))
    loss = ops.cross_entropy(model(x), ms.tensor([0, 1, 2, 3]))
    loss.backward()
    assert loss.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert {b.dtype for b in model.buffers()} == {np.dtype(np.float32)}
