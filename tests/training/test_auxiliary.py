"""Training with an auxiliary classifier: its loss counts, its logits do not."""

import numpy as np
import pytest
from tiny_run import config, tiny_net, use_tiny

from minisk import Tensor, models
from minisk.nn import Linear
from minisk.training import Trainer


class WithAuxiliary(models.Network):
    """The tiny network, with a second classifier on the mean of each plane of the image."""

    def __init__(self, network):
        self.network = network
        self.classifier = network.classifier
        self.auxiliary = Linear(3, network.classifier.weight.shape[0])

    def forward(self, x):
        logits = self.network(x)
        return models.AuxiliaryOutputs(logits, self.auxiliary(x.mean(axis=(2, 3))), 0.4) if self.training else logits


@pytest.fixture
def trainer(monkeypatch, tmp_path):
    use_tiny(monkeypatch)
    monkeypatch.setattr(models, "create", lambda name, classes: WithAuxiliary(tiny_net(name, classes)))
    return Trainer(config(accumulate=2), tmp_path)


def test_a_step_minimises_the_weighted_sum_of_both_losses(trainer):
    images, labels = next(trainer.train_loader.epoch(1))
    before = trainer.model.auxiliary.weight.numpy().copy()
    losses = []
    trainer.model.register_forward_hook(lambda module, inputs, outputs: losses.append(outputs))
    loss, _ = trainer.train_step((images, labels))
    assert len(losses) == 2  # the parts of the batch
    parts = np.array_split(labels, 2)
    expected = [models.classification_loss(o, Tensor(y)).item() for o, y in zip(losses, parts, strict=True)]
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    correct = [(o.logits.numpy().argmax(1) == y).sum() for o, y in zip(losses, parts, strict=True)]
    assert trainer.state.position.correct == sum(correct)
    assert not np.array_equal(trainer.model.auxiliary.weight.numpy(), before)


def test_a_run_evaluates_with_the_main_classifier(trainer):
    (metrics,) = trainer.run(progress=False)
    assert np.isfinite([metrics.train_loss, metrics.test_loss]).all()
