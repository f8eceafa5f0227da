"""minisk.train: a run writes what it says, repeats and resumes bit for bit, and stops with a sentence.

Everything runs in this process, on 64 drawn images and a network of 8 channels.
"""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from tiny_run import SPLITS, assert_same_bits, config, contents, kept, tiny_net, trained, use_tiny, weights

import minisk as ms
from minisk import models, nn
from minisk.data import Loader
from minisk.errors import CheckpointError, DeviceError, MiniskError
from minisk.evaluation import load_classifier
from minisk.evaluation.metrics import evaluate
from minisk.serialization import load_checkpoint, save_checkpoint, weights_of
from minisk.training import SCHEDULES, Config, Metrics, Trainer, images
from minisk.training.images import check_classes

FILES = ["best.safetensors", "config.json", "last.safetensors", "lock", "log.jsonl", "metrics.csv"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def without_time(history):
    return [dataclasses.replace(metrics, images_per_second=0, seconds=0, waiting=0) for metrics in history]


# --- What a run writes --------------------------------------------------------------------------------------


def test_a_run_leaves_its_config_its_metrics_and_two_checkpoints(tmp_path):
    trainer = trained(tmp_path / "new" / "run", epochs=2)
    assert sorted(contents(trainer.out).keys() - {"curves.png"}) == FILES
    assert Config(**json.loads((trainer.out / "config.json").read_text())) == trainer.config
    arrays, about = load_checkpoint(trainer.out / "last.safetensors")
    assert Config(**about["config"]) == trainer.config and tuple(about["classes"]) == SPLITS["train"].classes
    assert_same_bits(weights_of(arrays), weights(trainer))


def test_every_row_of_the_metrics_parses_and_equals_what_the_run_yielded(tmp_path):
    trainer = Trainer(config(epochs=3), tmp_path)
    yielded = list(trainer.run(progress=False))
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [field.name for field in dataclasses.fields(Metrics)]
    assert [Metrics(int(row.pop("epoch")), **{k: float(v) for k, v in row.items()}) for row in rows] == yielded
    assert [metrics.epoch for metrics in yielded] == [1, 2, 3]
    assert all(0 <= m.test_accuracy <= 100 and math.isfinite(m.train_loss + m.test_loss) for m in yielded)


def test_an_epoch_is_saved_before_it_is_yielded(tmp_path):
    trainer = Trainer(config(epochs=2), tmp_path)
    for metrics in trainer.run(progress=False):
        arrays, about = load_checkpoint(tmp_path / "last.safetensors")
        assert about["history"][-1] == dataclasses.asdict(metrics)
        assert_same_bits(weights_of(arrays), weights(trainer))


def test_best_holds_the_weights_of_the_epoch_with_the_highest_test_accuracy(tmp_path, monkeypatch):
    accuracies, kept = iter([30.0, 50.0, 40.0]), []
    monkeypatch.setattr(Trainer, "_evaluate", lambda self: (1.0, next(accuracies)))
    trainer = Trainer(config(epochs=3), tmp_path)
    for _ in trainer.run(progress=False):
        kept.append(weights(trainer))
    arrays, about = load_checkpoint(tmp_path / "best.safetensors")
    assert_same_bits(weights_of(arrays), kept[1])
    assert about["history"][-1]["epoch"] == 2


def test_the_training_loss_goes_down_on_few_images(tmp_path, monkeypatch):
    few = SPLITS["train"].subset(range(16))
    monkeypatch.setattr(images, "load_dataset", lambda *args, **limit: few)
    history = trained(tmp_path, epochs=40, lr=0.3, weight_decay=0.0, crop_padding=0, mirror=False).history
    assert history[-1].train_loss < history[0].train_loss / 2


def test_a_step_is_nesterovs_on_smoothed_labels_with_decay_on_weights_alone(tmp_path):
    settings = {"schedule": "cosine", "momentum": 0.5, "weight_decay": 0.25, "label_smoothing": 0.2, "mirror": False}
    trainer = Trainer(config(batch_size=64, **settings), tmp_path)
    before, (images, labels) = weights(trainer), next(trainer.train_loader.epoch(1))
    ms.ops.cross_entropy(trainer.model(ms.tensor(images)), ms.tensor(labels), 0.2).backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in trainer.model.named_parameters()}
    list(trainer.run(progress=False))
    for name, parameter in trainer.model.named_parameters():
        decay = 0 if name.endswith("bias") or parameter.ndim == 1 else 0.25
        expected = before[name] - 0.1 * 1.5 * (gradients[name] + decay * before[name])
        np.testing.assert_allclose(parameter.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_small_epochs_begin_the_run_with_windows_of_the_images(tmp_path, monkeypatch):
    seen, step = [], Trainer.train_step
    monkeypatch.setattr(
        Trainer, "train_step", lambda self, batch: (seen.append(batch[0].shape[2:]), step(self, batch))[1]
    )
    trainer = trained(tmp_path / "whole", epochs=3, small_epochs=2)
    steps, side = len(trainer.train_loader), SPLITS["train"].images.shape[2]
    small = (side * 3 // 4, side * 3 // 4)
    assert seen == [small] * 2 * steps + [(side, side)] * steps
    halted = Trainer(config(epochs=3, small_epochs=2), tmp_path / "halted")
    list(halted.run(progress=False, stop=lambda: halted.state.position.epoch == 2 and halted.state.position.step == 1))
    resumed = Trainer(config(epochs=3, small_epochs=2), tmp_path / "halted", resume=True)
    list(resumed.run(progress=False))
    assert_same_bits(weights(trainer), weights(resumed))


# --- Determinism and resuming -------------------------------------------------------------------------------


def test_one_seed_gives_one_run_to_the_bit_and_another_seed_another(tmp_path):
    one, same, other = (trained(tmp_path / name, seed=seed) for name, seed in [("a", 3), ("b", 3), ("c", 4)])
    assert_same_bits(weights(one), weights(same))
    assert without_time(one.history) == without_time(same.history)
    assert not np.array_equal(one.model.classifier.weight.numpy(), other.model.classifier.weight.numpy())


def test_the_seed_decides_the_initial_weights(tmp_path):
    one, same, other = (weights(Trainer(config(seed=seed), tmp_path)) for seed in (3, 3, 4))
    assert_same_bits(one, same)
    assert [name for name in one if one[name].ndim > 1 and (one[name] == other[name]).any()] == []


def test_every_epoch_has_its_own_order_also_after_resuming(tmp_path, monkeypatch):
    epochs, real = [], Loader.epoch

    def noted(self, *which):
        epochs.append((which[0], self.shuffle))
        return real(self, *which)

    monkeypatch.setattr(Loader, "epoch", noted)
    trained(tmp_path, epochs=3, stop_after=2)
    trained(tmp_path, epochs=3, resume=True)
    assert [epoch for epoch, shuffled in epochs if shuffled] == [1, 2, 3]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_stopped_and_resumed_equals_one_in_one_go_to_the_bit(tmp_path, schedule):
    settings = {"epochs": 3, "schedule": schedule, "warmup_epochs": 0.5, "label_smoothing": 0.1}
    straight = trained(tmp_path / "straight", **settings)
    stopped = trained(tmp_path / "stopped", stop_after=1, **settings)
    assert len(stopped.history) == 1
    resumed = trained(tmp_path / "stopped", resume=True, **settings)
    assert without_time(resumed.history) == without_time(straight.history)
    arrays = [load_checkpoint(run.out / "last.safetensors")[0] for run in (straight, resumed)]
    assert_same_bits(*arrays)
    assert_same_bits(weights(straight), weights(resumed))


def test_a_run_may_be_resumed_on_another_device(tmp_path):
    trained(tmp_path, epochs=2, stop_after=1)
    assert len(trained(tmp_path, resume=True, epochs=2, device="auto").history) == 2


def test_resuming_a_finished_run_trains_no_more_and_changes_no_file(tmp_path):
    trained(tmp_path)
    before = contents(tmp_path)
    assert list(Trainer(config(), tmp_path, resume=True).run(progress=False)) == []
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.2}, r"--lr 0\.1 is now 0\.2; "),
        ({"seed": 1, "epochs": 5}, r"--epochs 1 is now 5; --seed 0 is now 1; "),
        (
            {"model": "sknet29"},
            r"--model 'sknet_small' is now 'sknet29'; leave these flags out, or choose another --out$",
        ),
    ],
)
def test_resuming_with_other_settings_names_them_and_changes_no_file(tmp_path, settings, message):
    trained(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=rf"can't be resumed with other settings: {message}"):
        Trainer(config(**settings), tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_a_folder_that_holds_a_run_is_not_started_in_again(tmp_path):
    trained(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a run already: go on with --resume"):
        Trainer(config(), tmp_path)
    assert contents(tmp_path) == before


def test_resuming_where_nothing_is_saved_starts_a_run_with_the_same_bits(tmp_path):
    started = trained(tmp_path / "started")
    resumed = trained(tmp_path / "resumed", resume=True)
    assert not resumed.resumed
    assert_same_bits(weights(started), weights(resumed))


def test_a_run_is_saved_before_its_first_step_and_such_a_run_may_be_started_again(tmp_path):
    trainer = Trainer(config(), tmp_path)
    list(trainer.run(progress=False, stop=lambda: True))
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["state"]["step"] == 0
    assert Trainer(config(), tmp_path, resume=True).resumed
    assert len(trained(tmp_path, epochs=1, lr=0.2).history) == 1


def test_the_clock_decides_when_to_save_and_no_bit(tmp_path):
    plain = trained(tmp_path / "plain")
    often = Trainer(config(), tmp_path / "often", save_every=0, save_minutes=1e-9)
    list(often.run(progress=False))
    assert (often.out / "log.jsonl").read_text().count('"save"') == 6  # before, after each of 4 steps, at the end
    assert_same_bits(weights(plain), weights(often))


def test_data_dir_may_change_when_resuming_and_other_images_may_not(tmp_path, monkeypatch):
    trained(tmp_path, epochs=2, stop_after=1, data_dir="here")
    assert len(trained(tmp_path, epochs=2, data_dir="there", resume=True).history) == 2
    other = {name: dataclasses.replace(split, images=split.images[::-1]) for name, split in SPLITS.items()}
    monkeypatch.setattr(images, "load_dataset", lambda name, data_dir, split, **limit: other[split])
    with pytest.raises(CheckpointError, match="the run was trained on other images: give its own --data-dir"):
        Trainer(config(epochs=2, data_dir="there"), tmp_path, resume=True)


def test_a_checkpoint_without_checksum_is_compared_by_its_normalization(tmp_path):
    trained(tmp_path, epochs=2, stop_after=1)
    arrays, about = load_checkpoint(tmp_path / "last.safetensors")
    del about["data_checksum"], about["software"]
    save_checkpoint(tmp_path / "last.safetensors", arrays, about)
    assert len(trained(tmp_path, epochs=2, resume=True).history) == 2


def test_resuming_on_other_software_is_reported(tmp_path, caplog):
    trained(tmp_path, epochs=2, stop_after=1)
    arrays, about = load_checkpoint(tmp_path / "last.safetensors")
    about["software"]["blas"] = "abacus 1.0"
    save_checkpoint(tmp_path / "last.safetensors", arrays, about)
    assert len(trained(tmp_path, epochs=2, resume=True).history) == 2
    assert "blas 'abacus 1.0' is now " in caplog.text and "bits will differ" in caplog.text


def test_an_epoch_whose_test_loss_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    results = iter([(1.0, 20.0), (float("nan"), 99.0), (2.0, 10.0)])
    monkeypatch.setattr(Trainer, "_evaluate", lambda self: next(results))
    trained(tmp_path, epochs=3)
    assert load_checkpoint(tmp_path / "best.safetensors")[1]["history"][-1]["epoch"] == 1


def test_a_run_without_any_finite_test_loss_ends_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_evaluate", lambda self: (float("nan"), 10.0))
    with pytest.raises(MiniskError, match=r"the test loss was never finite: try a smaller learning rate than 0\.1"):
        trained(tmp_path)
    assert not (tmp_path / "best.safetensors").exists()


def test_a_run_begins_with_the_weights_of_init_and_needs_the_file_only_once(tmp_path):
    first = trained(tmp_path / "first")
    init = tmp_path / "first" / "last.safetensors"
    second = Trainer(config(epochs=2, init=str(init)), tmp_path / "second")
    assert_same_bits(weights(first), weights(second))
    next(second.run(progress=False))
    init.unlink()
    assert len(trained(tmp_path / "second", epochs=2, init=str(init), resume=True).history) == 2


def test_a_data_set_with_the_name_but_not_the_classes_of_cifar_is_reported(caplog):
    few = dataclasses.replace(SPLITS["train"], name="cifar100")
    try:
        check_classes(few)
    except MiniskError as error:
        problem = str(error)
    else:
        problem = caplog.text
    assert "cifar100 has 100 classes, but --data-dir has 10" in problem


def test_resuming_with_other_classes_is_refused(tmp_path, monkeypatch):
    trained(tmp_path)
    few = {name: split.subset(np.flatnonzero(split.labels < 3)) for name, split in SPLITS.items()}
    three = {name: dataclasses.replace(split, classes=split.classes[:3]) for name, split in few.items()}
    monkeypatch.setattr(images, "load_dataset", lambda name, data_dir, split, **limit: three[split])
    with pytest.raises(CheckpointError, match="trained on other images"):
        Trainer(config(), tmp_path, resume=True)


def test_resuming_from_weights_alone_is_a_checkpoint_error(tmp_path):
    trained(tmp_path)
    (tmp_path / "best.safetensors").replace(tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="lacks a part that resuming needs: 'optimizer'"):
        Trainer(config(), tmp_path, resume=True)


# --- What stops a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bias", "loss"), [(np.nan, "nan"), ([-np.inf] + [0] * 9, "inf")], ids=["nan", "infinity"])
def test_a_loss_that_is_not_finite_stops_with_a_sentence_and_keeps_the_last_whole_epoch(tmp_path, bias, loss):
    trainer = Trainer(config(epochs=2), tmp_path)
    epochs = trainer.run(progress=False)
    next(epochs)
    before = kept(tmp_path)
    trainer.model.classifier.bias.data[...] = bias
    with pytest.raises(MiniskError, match=rf"the loss became {loss} in epoch 2, step 0: .* learning rate than 0\.1"):
        next(epochs)
    assert kept(tmp_path).keys() - before.keys() == {"bad_batch.safetensors"}
    assert {name: kept(tmp_path)[name] for name in before} == before


def test_a_huge_learning_rate_stops_with_a_sentence(tmp_path):
    trainer = Trainer(config(lr=1e14), tmp_path)
    message = r"the (loss|gradient norm) became .* in epoch 1, step [1-3]: "
    with np.errstate(all="ignore"), pytest.raises(MiniskError, match=message):
        list(trainer.run(progress=False))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, MiniskError, "epochs 0 must be above 0"),
        ({"batch_size": -1}, MiniskError, "batch_size -1 must be above 0"),
        ({"lr": float("nan")}, MiniskError, "lr nan must be above 0"),
        ({"schedule": "linear"}, MiniskError, "schedule 'linear' must be one of onecycle, cosine, step"),
        ({"batch_size": 65}, MiniskError, "batch_size 65 is more than the 64 training images"),
        ({"device": "tpu"}, DeviceError, "device 'tpu' is not known"),
        ({"warmup_epochs": -1.0}, MiniskError, "warmup_epochs -1.0 must be at least 0"),
        ({"warmup_epochs": float("nan")}, MiniskError, "warmup_epochs nan must be at least 0"),
        ({"lr": float("inf")}, MiniskError, "lr inf must be finite"),
        ({"momentum": float("nan")}, MiniskError, "momentum nan must be at least 0"),
        ({"momentum": 1.0}, MiniskError, "momentum 1.0 must be below 1"),
        ({"weight_decay": -1.0}, MiniskError, "weight_decay -1.0 must be at least 0"),
        ({"label_smoothing": 2.0}, MiniskError, "label_smoothing 2.0 must be below 1"),
        ({"epochs": 1.5}, MiniskError, "epochs 1.5 must be of type int"),
        ({"seed": True}, MiniskError, "seed True must be of type int"),
        ({"model": None}, MiniskError, "model None must be of type str"),
        ({"train_images": 0}, MiniskError, "train_images 0 must be at least 1"),
        ({"train_images": 65}, MiniskError, "train_images 65 is more than the 64 images of shapes"),
        ({"test_images": 6000}, MiniskError, r"test_images 6000 is more than the \d+ images of shapes"),
        ({"beta1": 0.5}, MiniskError, "beta1 0.5 has no effect: --optimizer sgd ignores it"),
        ({"optimizer": "adamw", "momentum": 0.5}, MiniskError, "momentum 0.5 has no effect: --optimizer adamw"),
        ({"accumulate": 17}, MiniskError, "accumulate 17 must be at most the batch size, 16"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_written(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        Trainer(config(**settings), tmp_path / "run")
    assert contents(tmp_path) == {}


# --- Evaluating ---------------------------------------------------------------------------------------------


def test_evaluating_equals_the_definition_whatever_the_batch_size():
    ms.manual_seed(0)
    model = tiny_net("sknet_small", 10).eval()
    images, labels = next(iter(Loader(SPLITS["test"], 32)))
    logits = model(ms.tensor(images)).numpy().astype("float64")
    chosen = logits[np.arange(32), labels]
    loss = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
    accuracy = 100 * np.mean(chosen == logits.max(1))
    for batch_size in (32, 7):
        assert evaluate(model, Loader(SPLITS["test"], batch_size)) == pytest.approx((loss, accuracy), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_mode_and_running_statistics_as_they_were(training):
    model = tiny_net("sknet_small", 10).train(training)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    evaluate(model, Loader(SPLITS["test"], 16))
    assert {module.training for module in model.modules()} == {training}
    assert_same_bits(before, {name: value.numpy() for name, value in model.state_dict().items()})
    assert all(parameter.grad is None for parameter in model.parameters())


def test_evaluating_leaves_a_part_that_was_in_evaluation_there():
    model = tiny_net("sknet_small", 10)
    model.stem.eval()
    evaluate(model, Loader(SPLITS["test"], 32))
    assert model.training and not model.stem.training


def test_a_checkpoint_gives_back_the_model_in_evaluation_mode(tmp_path):
    trainer = trained(tmp_path, epochs=2)
    found = load_classifier(tmp_path / "last.safetensors", "cpu")
    model = found.model
    assert not any(module.training for module in model.modules())
    assert_same_bits({name: value.numpy() for name, value in model.state_dict().items()}, weights(trainer))
    assert found.normalization == trainer.normalization


def test_evaluating_a_checkpoint_gives_the_numbers_of_its_epoch(tmp_path):
    trainer = trained(tmp_path, epochs=2)
    last, found = trainer.history[-1], load_classifier(tmp_path / "last.safetensors", "cpu")
    assert evaluate(found.model, trainer.test_loader) == (last.test_loss, last.test_accuracy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.pop("classes"), r"damaged description: KeyError\('classes'\)"),
        (lambda about: about.pop("config"), r"damaged description: KeyError\('config'\)"),
        (lambda about: about["classes"].pop(), r"classifier\.weight \(10, 8\) instead of \(9, 8\)"),
        (lambda about: about.pop("normalization"), r"damaged description: KeyError\('normalization'\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_reported(tmp_path, change, message):
    path = tmp_path / "last.safetensors"
    trained(tmp_path)
    arrays, about = load_checkpoint(path)
    change(about)
    save_checkpoint(path, arrays, about)
    with pytest.raises(CheckpointError, match=message):
        load_classifier(path, "cpu")


def test_the_checkpoint_of_another_model_names_the_weights_that_do_not_fit(tmp_path, monkeypatch):
    features = trained(tmp_path).model.classifier.weight.shape[1]

    class OtherModel(nn.Module):
        def __init__(self, classes):
            self.first, self.classifier = nn.Linear(3, 3), nn.Linear(features, classes)

    monkeypatch.setattr(models, "create", lambda name, classes: OtherModel(classes))
    with pytest.raises(CheckpointError, match=r"2 missing: first\.weight, first\.bias; 36 unexpected: "):
        load_classifier(tmp_path / "best.safetensors")
