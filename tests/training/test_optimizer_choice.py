"""The Trainer with any optimizer, its TensorBoard log, and checkpoints written before the optimizer was a setting."""

import sys

import pytest
from tiny_run import assert_same_bits, config, trained, use_tiny, weights

from minisk import models, nn
from minisk.errors import CheckpointError, MiniskError
from minisk.evaluation import load_classifier
from minisk.optim import AdamW, Muon
from minisk.serialization import load_checkpoint, save_checkpoint
from minisk.training import Config, Trainer
from minisk.training.optimization import make_optimizer

ADAMW = {"optimizer": "adamw", "lr": 0.01, "beta1": 0.8, "beta2": 0.99, "epochs": 2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def test_a_run_with_adamw_trains_and_resumes_bit_for_bit(tmp_path):
    straight = trained(tmp_path / "straight", **ADAMW)
    assert isinstance(straight.optimizer, AdamW)
    assert [group["betas"] for group in straight.optimizer.param_groups] == [(0.8, 0.99)] * 2
    trained(tmp_path / "stopped", stop_after=1, **ADAMW)
    resumed = trained(tmp_path / "stopped", resume=True, **ADAMW)
    assert_same_bits(weights(straight), weights(resumed))
    files = [load_checkpoint(run.out / "last.safetensors")[0] for run in (straight, resumed)]
    assert_same_bits(*files)


def test_a_run_with_muon_trains_and_resumes_bit_for_bit(tmp_path):
    muon = {"optimizer": "muon", "epochs": 2}
    straight = trained(tmp_path / "straight", **muon)
    assert isinstance(straight.optimizer, Muon)
    trained(tmp_path / "stopped", stop_after=1, **muon)
    assert_same_bits(weights(straight), weights(trained(tmp_path / "stopped", resume=True, **muon)))


def test_muon_steps_along_the_matrices_of_each_group_of_a_convolution_and_faster_along_vectors():
    model = models.sknet_small(10)
    optimizer = make_optimizer(Config(optimizer="muon"), model)
    grouped = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    found = {group["groups"]: {id(p) for p in group["params"]} for group in optimizer.param_groups[:-1]}
    assert len(grouped) > 4
    assert all(id(module.weight) in found[module.groups] for module in grouped)
    assert id(model.classifier.weight) in found[1]
    vectors = optimizer.param_groups[-1]
    assert (vectors["lr"], vectors["weight_decay"]) == (pytest.approx(0.42), 0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_resuming_with_another_optimizer_is_refused(tmp_path):
    trained(tmp_path, epochs=2, stop_after=1)
    with pytest.raises(CheckpointError, match="optimizer 'sgd' is now 'adamw'"):
        Trainer(config(**ADAMW | {"lr": 0.1, "weight_decay": 5e-4}), tmp_path, resume=True)


def test_learning_rate_and_weight_decay_default_to_the_optimizers_own():
    sgd, adamw, muon = Config(), Config(optimizer="adamw"), Config(optimizer="muon")
    assert (sgd.lr, sgd.weight_decay, adamw.lr, adamw.weight_decay) == (0.2, 5e-4, 1e-3, 1e-2)
    assert (muon.lr, muon.weight_decay) == (0.06, 0.03)


def test_a_checkpoint_from_before_the_optimizer_was_a_setting_still_resumes_and_predicts(tmp_path):
    trained(tmp_path, epochs=2, stop_after=1)
    path = tmp_path / "last.safetensors"
    arrays, about = load_checkpoint(path)
    for name in ("optimizer", "beta1", "beta2"):
        del about["config"][name]
    save_checkpoint(path, arrays, about)
    assert load_classifier(path, "cpu").classes == tuple(about["classes"])
    assert len(trained(tmp_path, resume=True, epochs=2).history) == 2


def test_tensorboard_gets_scalars_and_its_absence_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    list(Trainer(config(), tmp_path / "run", log_every=1, tensorboard=True).run(progress=False))
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    content = file.read_bytes()
    assert b"step/loss" in content and b"epoch/test_accuracy" in content
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MiniskError, match=r'--tensorboard needs tensorboardX: pip install "minisk\[tensorboard\]"'):
        Trainer(config(), tmp_path / "other", tensorboard=True)
