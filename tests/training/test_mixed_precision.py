"""Training in mixed precision: it follows float32, an overflow costs a step, and a run resumes with the same bits."""

import itertools
import json

import numpy as np
import pytest
from cupy_standin import installed
from cupy_standin.modules import Matmul
from tiny_run import assert_same_bits, trained, use_tiny, weights

import minisk as ms
from minisk import models, ops
from minisk.data import make_shapes
from minisk.errors import CheckpointError, MiniskError
from minisk.serialization import load_checkpoint, save_checkpoint
from minisk.training import Config, LossScale, Trainer


@pytest.fixture
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def test_the_scale_halves_at_an_overflow_and_doubles_after_2000_good_steps():
    scale = LossScale()
    assert not scale.update(np.inf) and (scale.scale, scale.good_steps) == (32768.0, 0)
    assert not scale.update(np.nan) and scale.scale == 16384.0
    assert all(scale.update(1.0) for _ in range(1999)) and (scale.scale, scale.good_steps) == (16384.0, 1999)
    assert scale.update(1.0) and (scale.scale, scale.good_steps) == (32768.0, 0)


def test_gradients_that_are_never_finite_end_the_run():
    scale = LossScale(2.0**-22)
    assert not scale.update(np.inf) and not scale.update(np.inf)
    with pytest.raises(MiniskError, match="not finite at any scale"):
        scale.update(np.inf)


def test_losses_follow_those_of_float32(tiny, tmp_path):
    losses = {}
    for precision in ("float32", "mixed"):
        trainer = trained(tmp_path / precision, precision=precision, epochs=2)
        losses[precision] = [epoch.train_loss for epoch in trainer.history]
        assert all(value.dtype != np.float16 for value in trainer.model.state_dict().values())
    np.testing.assert_allclose(losses["mixed"], losses["float32"], rtol=0.01)
    assert losses["mixed"] != losses["float32"]


def test_from_the_same_weights_loss_and_gradient_of_sknet_small_are_those_of_float32():
    """The gradient differs by more than a rounding of float16, 5e-4, because masks of ReLU change with it.

    Measured over 200 steps of training: the loss differs by 5e-4 at most; the gradient by 2 to 9 % of its norm, and
    along float32's direction by 1 % at most. Rounding only the weights and the images to float16, and computing in
    float32, changes the gradient by 2 to 7 %.
    """
    ms.manual_seed(0)
    model = models.create("sknet_small", 10)
    images = make_shapes(16, seed=0)
    x = ms.tensor((images.images / 128.0 - 1).astype(np.float32))
    losses, gradients = [], []
    for mixed in (False, True):
        model.zero_grad()
        with ms.autocast(mixed):
            loss = ops.cross_entropy(model(x), ms.tensor(images.labels))
        (loss * 2.0**14).backward()
        losses.append(loss.item())
        gradients.append(np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]).astype(np.float64))
    exact, seen = gradients
    assert losses[1] == pytest.approx(losses[0], rel=1e-3) and losses[1] != losses[0]
    assert np.linalg.norm(seen - exact) < 0.15 * np.linalg.norm(exact)
    assert seen @ exact == pytest.approx(exact @ exact, rel=0.02)


def learned(trainer):
    """Return copies of all arrays of a checkpoint but the running statistics, which forward updates."""
    arrays, _ = trainer.state.to_checkpoint()
    return {name: array.copy() for name, array in arrays.items() if "running" not in name}


def test_a_step_whose_gradient_overflows_is_left_out(tiny, tmp_path):
    trainer = Trainer(Config(batch_size=8, lr=0.1, device="cpu", precision="mixed", ema=0.8), tmp_path)
    first, second = itertools.islice(trainer.train_loader.epoch(1), 2)
    trainer.model.train()
    trainer.train_step(first)  # momentum and average are not at their beginning
    before, steps = learned(trainer), trainer.schedule.steps
    trainer.state.loss_scale = LossScale(2.0**30)
    trainer.train_step(second)
    assert trainer.schedule.steps == steps and trainer.state.loss_scale == LossScale(2.0**29)
    assert_same_bits(before, learned(trainer))


def test_training_recovers_from_a_scale_of_two_to_the_30(tiny, tmp_path):
    trainer = Trainer(Config(epochs=4, batch_size=8, lr=0.1, device="cpu", precision="mixed"), tmp_path)
    trainer.state.loss_scale = LossScale(2.0**30)
    list(trainer.run(progress=False))
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    overflows = [event["loss_scale"] for event in events if event["event"] == "overflow"]
    # Measured: 13 of 32 steps, and 2¹⁷ afterwards; the same for sknet_small with 16 images.
    assert 8 <= len(overflows) <= 16
    assert overflows == [2.0 ** (30 - i) for i in range(len(overflows))]
    scale = trainer.state.loss_scale
    assert scale.scale == overflows[-1] / 2 and scale.good_steps > 8
    assert trainer.schedule.steps == 4 * 8 - len(overflows)
    assert trainer.history[-1].train_loss < trainer.history[0].train_loss


def test_a_loss_that_is_not_finite_is_still_an_error(tiny, tmp_path):
    trainer = Trainer(Config(epochs=1, batch_size=16, lr=0.1, device="cpu", precision="mixed"), tmp_path)
    images, labels = next(trainer.train_loader.epoch(1))
    with pytest.raises(MiniskError, match="the loss became nan"):
        trainer.train_step((images * np.float32(np.nan), labels))


def test_a_resumed_run_ends_with_the_same_bits(tiny, tmp_path):
    settings = {"precision": "mixed", "epochs": 2, "clip_norm": 0.5, "ema": 0.8, "accumulate": 2}
    whole = trained(tmp_path / "whole", **settings)
    trained(tmp_path / "parts", stop_after=1, **settings)
    resumed = trained(tmp_path / "parts", resume=True, **settings)
    assert_same_bits(weights(whole), weights(resumed))
    assert resumed.state.loss_scale == whole.state.loss_scale == LossScale(65536.0, 8)


def test_a_damaged_loss_scale_is_refused(tiny, tmp_path):
    trained(tmp_path, precision="mixed", stop_after=1, epochs=2)
    arrays, about = load_checkpoint(tmp_path / "last.safetensors")
    for change, message in [
        (None, "loss_scale is None"),
        ({"scale": 0.0, "good_steps": 1}, "not above 0"),
        ({"scale": "big", "good_steps": 1}, "loss_scale.scale"),
        ({"scale": 1.0, "good_steps": 1, "more": 1}, "unknown part 'more'"),
    ]:
        save_checkpoint(tmp_path / "last.safetensors", arrays, {**about, "loss_scale": change})
        with pytest.raises(CheckpointError, match=message):
            trained(tmp_path, resume=True, precision="mixed", epochs=2)


def test_no_product_widens_on_a_gpu(monkeypatch):
    """The stand-in's products of float16 matrices stay float16; CuPy would widen a product of more than two axes."""
    seen = []
    call = Matmul.__call__

    def recorded(self, a, b, **options):
        seen.append((str(a.dtype), str(b.dtype), a.ndim, b.ndim))
        return call(self, a, b, **options)

    monkeypatch.setattr(Matmul, "__call__", recorded)
    images = make_shapes(4, seed=0)
    with installed():
        model = models.create("sknet_small", 10).to("cuda")
        x = ms.tensor((images.images / 255).astype(np.float32), device="cuda")
        with ms.autocast():
            loss = ops.cross_entropy(model(x), ms.tensor(images.labels, device="cuda"))
        (loss * 256).backward()
        dense = [each for each in seen if each[2] == 2]
        assert len(dense) > 20 and {each[:2] for each in dense} == {("float16", "float16")}
        assert {str(p.grad.dtype) for p in model.parameters()} == {"float32"}
        assert [each for each in seen if each[2] > 2 and "float16" in each[:2]] == []
