"""The registry: every model by name, and its entry against the network that it makes."""

import pytest

from minisk import models
from minisk.errors import MiniskError


def test_the_names_are_sorted_and_each_is_a_function_of_the_package():
    assert list(models.NAMES) == sorted(models.NAMES)
    for name in models.NAMES:
        assert models.info(name).make is getattr(models, name)


@pytest.mark.parametrize("name", models.NAMES)
def test_an_entry_has_the_image_size_and_classes_of_its_data_set(name):
    entry = models.info(name)
    assert entry.name == name
    assert (entry.num_classes, entry.input_size) in {(1000, 224), (1000, 299), (10, 32)}
    assert models.input_size(name) == entry.input_size


def test_the_published_errors_are_those_of_the_paper():
    assert models.info("sknet50").published == models.Published(
        27.5, 4.47, {"ImageNet 224": 20.79, "ImageNet 320": 19.32}
    )
    assert models.info("sknet29").published.errors == {"CIFAR-10": 3.47, "CIFAR-100": 17.33}
    assert models.info("sknet_small").published == models.Published()


def test_a_network_has_the_entrys_number_of_classes_by_default():
    assert models.create("sknet_small").classifier.weight.shape[0] == models.info("sknet_small").num_classes
    assert models.create("sknet_small", 7).classifier.weight.shape[0] == 7


@pytest.mark.parametrize("function", [models.create, models.info, models.input_size])
def test_an_unknown_model_is_an_error_that_lists_the_names(function):
    with pytest.raises(MiniskError, match=r"'sknet51' is not known.*sknet50"):
        function("sknet51")


def test_an_entry_says_which_pixels_published_weights_expect():
    dpn, se = models.info("dpn92"), models.info("seresnext50")
    red = (124 / 255 - dpn.normalization["mean"][0]) / dpn.normalization["std"][0]
    assert red == 0 and dpn.normalization["std"][0] == pytest.approx(1 / (255 * 0.0167))
    assert (dpn.channel_order, se.channel_order) == ("RGB", "BGR")
    assert models.info("inception_v4").normalization == {"mean": (0.5,) * 3, "std": (0.5,) * 3}
