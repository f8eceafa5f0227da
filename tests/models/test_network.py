"""What every network shares: auxiliary logits in training, and the check of its images."""

import numpy as np
import pytest

import minisk as ms
from minisk import models, ops
from minisk.errors import ShapeError
from minisk.evaluation.classifier import _model

LABELS = ms.tensor([2, 0, 1])


def some_logits(seed):
    return ms.tensor(np.random.default_rng(seed).standard_normal((3, 4)), requires_grad=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_plain_logits_is_the_cross_entropy(smoothing):
    logits = some_logits(0)
    loss = models.classification_loss(logits, LABELS, smoothing)
    assert loss.item() == ops.cross_entropy(logits, LABELS, smoothing).item()
    assert models.logits_of(logits) is logits


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_with_auxiliary_logits_is_the_weighted_sum(smoothing):
    main, auxiliary = some_logits(0), some_logits(1)
    outputs = models.AuxiliaryOutputs(main, auxiliary, 0.25)
    loss = models.classification_loss(outputs, LABELS, smoothing)
    parts = [ops.cross_entropy(logits, LABELS, smoothing) for logits in (main, auxiliary)]
    assert loss.item() == pytest.approx(parts[0].item() + 0.25 * parts[1].item(), rel=1e-12)
    found = ms.grad(loss, [main, auxiliary])
    expected = ms.grad(parts[0], [main])[0], 0.25 * ms.grad(parts[1], [auxiliary])[0]
    for gradient, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), other.numpy(), rtol=1e-12)
    assert models.logits_of(outputs) is main


def test_inception_v3_has_auxiliary_logits_only_in_training_and_only_from_299_pixels_on():
    model = models.inception_v3(3)
    small = ms.zeros((2, 3, 75, 75))
    assert model.eval()(small).shape == (2, 3)
    message = r"InceptionV3 with its auxiliary classifier: the images are \(2, 3, 75, 75\), expected .* at least 299"
    with pytest.raises(ShapeError, match=message):
        model.train()(small)
    assert models.inception_v3(3, auxiliary=False)(small).shape == (2, 3)


def test_a_checkpoint_of_a_network_with_an_auxiliary_classifier_is_restored_for_its_classes():
    ms.manual_seed(1)
    trained = models.inception_v3(5)
    weights = {name: value.numpy() for name, value in trained.state_dict().items()}
    restored = _model("inception_v3", 5, weights, {})
    assert not restored.training
    for name, value in restored.state_dict().items():
        assert np.array_equal(value.numpy(), weights[name])
