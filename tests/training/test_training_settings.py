"""What the settings of a run mean, what it writes while it runs, and how it stops when a number goes bad."""

import csv
import dataclasses
import json
import re
from argparse import Namespace

import numpy as np
import pytest
from tiny_run import assert_same_bits, config, kept, tiny_net, trained, use_tiny, weights

import minisk as ms
from minisk import ops
from minisk.cli.recipes import PROGRAMS, RECIPES
from minisk.cli.train_settings import config_from, read_config
from minisk.errors import MiniskError
from minisk.evaluation import count_correct
from minisk.nn import Parameter
from minisk.optim import SGD, WeightAverage, clip_gradients, gradient_norm
from minisk.serialization import load_checkpoint
from minisk.training import Config, Trainer
from minisk.training import run_folder as folder
from minisk.training.optimization import make_schedule
from minisk.training.run_folder import RunLog, progress_bar


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# --- Recipes and config.json --------------------------------------------------------------------------------


def test_rates_of_a_recipe_belong_to_its_optimizer():
    of_sgd, of_muon, as_it_is = (
        PROGRAMS["train_cifar"].recipe_for("quick", given)
        for given in ({"optimizer": "sgd"}, {"optimizer": "muon"}, {})
    )
    assert of_muon == as_it_is == RECIPES["quick"]
    assert as_it_is.keys() - of_sgd.keys() == {"lr", "momentum", "weight_decay"}


def test_a_file_that_names_another_optimizer_does_not_take_the_rates_of_the_recipe(tmp_path):
    (tmp_path / "settings.json").write_text('{"optimizer": "adamw"}')
    arguments = Namespace(config=tmp_path / "settings.json", recipe="quick", resume=False, eval=False)
    made = config_from(arguments, PROGRAMS["train_cifar"])
    assert (made.optimizer, made.lr, made.weight_decay, made.epochs) == ("adamw", 1e-3, 1e-2, 20)


def test_the_paper_recipe_is_the_papers():
    paper = Config(**RECIPES["paper"])
    assert (paper.model, paper.epochs, paper.batch_size) == ("sknet29", 300, 128)
    assert (paper.momentum, paper.weight_decay, paper.crop_padding, paper.mirror) == (0.9, 5e-4, 4, True)
    schedule = make_schedule(paper, (sgd := SGD([Parameter(np.zeros(1))], paper.lr)), steps_per_epoch=390)
    rates = []
    for epoch in (0, 149, 150, 224, 225, 299):
        schedule.go_to(epoch * 390)
        rates.append(sgd.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_config_json_gives_the_config_back_and_the_run_to_the_bit(tmp_path):
    first = trained(tmp_path / "first", ema=0.5, seed=3, mirror=False)
    again = Trainer(Config(**read_config(first.out / "config.json")), tmp_path / "again")
    list(again.run(progress=False))
    assert again.config == first.config
    assert_same_bits(weights(first), weights(again))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "are not JSON"),
        ("[1]", "are a JSON list, expected an object"),
        ('{"lr": 0.1, "learning_rate": 1, "depth": 3}', "name unknown settings: depth, learning_rate"),
        (None, "can't be read: No such file"),
        (b"\xff\xfe", "are not JSON"),
    ],
)
def test_a_file_that_is_not_a_config_is_reported(tmp_path, content, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MiniskError, match=rf"settings .*config\.json {message}"):
        read_config(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"save_every": -1}, "save_every -1"), ({"log_every": 0}, "log_every 0"), ({"workers": -1}, "workers -1")],
)
def test_options_that_cannot_work_are_refused(tmp_path, settings, message):
    with pytest.raises(MiniskError, match=message):
        Trainer(config(), tmp_path, **settings)


# --- Gradients and weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_norm", "scale"), [(0.0, 1.0), (14.0, 1.0), (6.5, 0.5)], ids=["off", "not exceeded", "exceeded"]
)
def test_clipping_shortens_all_gradients_alike(max_norm, scale):
    three, four, none = (Parameter(np.zeros(n)) for n in (3, 1, 2))
    three.grad, four.grad = ms.tensor(np.array([3.0, 4.0, 0.0])), ms.tensor(np.array([12.0]))
    norm = gradient_norm([three, four, none]).item()
    assert norm == 13  # √(3² + 4² + 12²)
    clip_gradients([three, four, none], norm, max_norm)
    assert (three.grad.numpy().tolist(), four.grad.numpy().tolist()) == ([3 * scale, 4 * scale, 0], [12 * scale])


def test_a_norm_that_is_not_finite_clips_nothing():
    weight = Parameter(np.zeros(2))
    weight.grad = ms.tensor(np.array([np.inf, 1.0]))
    assert gradient_norm([weight]).item() == np.inf
    clip_gradients([weight], np.inf, 1.0)
    assert weight.grad.numpy().tolist() == [np.inf, 1.0]


def test_clipping_reaches_the_step(tmp_path):
    settings = {"batch_size": 64, "weight_decay": 0.0, "schedule": "cosine", "momentum": 0.0}
    trainer = Trainer(config(clip_norm=0.01, **settings), tmp_path)
    before = {name: parameter.numpy().copy() for name, parameter in trainer.model.named_parameters()}
    list(trainer.run(progress=False))
    moved = [parameter.numpy() - before[name] for name, parameter in trainer.model.named_parameters()]
    assert np.sqrt(sum((change**2).sum() for change in moved)) == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_a_batch_in_parts_adds_up_to_the_mean_gradient_of_its_parts(tmp_path):
    trainer = Trainer(config(batch_size=63, accumulate=2, label_smoothing=0.1), tmp_path)  # parts of 32 and 31
    images, labels = next(trainer.train_loader.epoch(1))
    loss = sum(
        ops.cross_entropy(trainer.model(ms.tensor(images[part])), ms.tensor(labels[part]), 0.1) * (share / 63)
        for part, share in ((slice(0, 32), 32), (slice(32, 63), 31))
    )
    loss.backward()
    expected = {name: parameter.grad.numpy().copy() for name, parameter in trainer.model.named_parameters()}
    found, _ = trainer.train_step((images, labels))
    assert found == pytest.approx(loss.item(), rel=1e-6)
    for name, parameter in trainer.model.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_average_follows_its_formula_also_for_running_statistics():
    model = tiny_net("sknet_small", 10)
    average = WeightAverage(model, 0.3)
    expected = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    for kept_share in (0.1, 2 / 11, 3 / 12, 0.3, 0.3):  # (1 + n) / (10 + n), at most 0.3
        for value in model.state_dict().values():
            value.data += 1
        average.update()
        for name, value in model.state_dict().items():
            expected[name] = kept_share * expected[name] + (1 - kept_share) * value.numpy()
    assert any("running_mean" in name for name in expected)
    for name, array in average.arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, atol=1e-6)


def test_the_average_takes_the_models_place_for_a_while():
    model = tiny_net("sknet_small", 10)
    average, before = WeightAverage(model, 0.5), model.classifier.bias.numpy().copy()
    average.arrays["classifier.bias"][...] = 7
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert (model.classifier.bias.numpy() == 7).all()
        raise KeyboardInterrupt
    np.testing.assert_array_equal(model.classifier.bias.numpy(), before)


def test_an_average_does_not_change_the_training(tmp_path):
    assert_same_bits(weights(trained(tmp_path / "a", epochs=2)), weights(trained(tmp_path / "b", epochs=2, ema=0.9)))


def test_of_mixed_labels_the_larger_share_counts_as_right():
    logits, shares = np.array([[2.0, 1.0], [2.0, 1.0]]), np.array([[0.7, 0.3], [0.4, 0.6]])
    assert count_correct(ms.tensor(logits), ms.tensor(shares)).item() == 1


# --- Numbers that go bad ------------------------------------------------------------------------------------


def test_an_infinite_gradient_stops_and_leaves_the_batch_and_the_earlier_checkpoint(tmp_path):
    trainer = Trainer(config(epochs=2), tmp_path)
    epochs = trainer.run(progress=False)
    next(epochs)
    before, images = kept(tmp_path), next(trainer.train_loader.epoch(2))[0]
    trainer.model.classifier.bias.register_hook(lambda gradient: gradient * np.inf)
    with pytest.raises(MiniskError, match=r"the gradient norm became (inf|nan) in epoch 2, step 0: .*bad_batch"):
        next(epochs)
    assert {name: kept(tmp_path)[name] for name in before} == before
    arrays, about = load_checkpoint(tmp_path / "bad_batch.safetensors")
    np.testing.assert_array_equal(arrays["images"], images)
    assert arrays["labels"].shape == (16,) and (about["epoch"], about["step"]) == (2, 0)
    assert events(tmp_path)[-1]["event"] == "not finite"


# --- What one sees ------------------------------------------------------------------------------------------


def test_the_log_has_an_event_per_line_and_numbers_its_steps_through(tmp_path):
    trainer = Trainer(config(epochs=2), tmp_path, log_every=3, save_every=2)
    list(trainer.run(progress=False))
    found = events(tmp_path)
    names = [event["event"] for event in found]
    # Four steps an epoch; saves before the first step, after steps 2, 4, 6, 8, and at each epoch's end.
    epochs = "save step save epoch save", "step save save epoch save"
    assert names == ["start", "save", *" ".join(epochs).split(), "stop"]
    assert [event["step"] for event in found if event["event"] == "step"] == [3, 6]
    assert all(0 < event["gradient_norm"] < 1e3 and 0 <= event["lr"] <= 0.1 for event in found if "loss" in event)
    assert found[-1]["finished"] is True


def test_the_log_writes_null_for_what_json_lacks(tmp_path):
    RunLog(tmp_path).event("test", value=float("nan"), other=float("inf"))
    line = (tmp_path / "log.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["value"] is None


def test_the_share_of_waiting_is_a_percentage_of_the_epoch(tmp_path):
    trained(tmp_path, epochs=2)
    with open(tmp_path / "metrics.csv", newline="") as file:
        shares = [float(row["waiting"]) for row in csv.DictReader(file)]
    assert len(shares) == 2 and all(0 <= share <= 100 for share in shares)


def test_the_curves_are_drawn_from_every_epoch_so_far(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        folder, "draw_curves", lambda rows, path, rates: drawn.append(([r["epoch"] for r in rows], path.name))
    )
    trained(tmp_path, epochs=2)
    assert drawn == [([1], "curves.png"), ([1, 2], "curves.png")]


def test_a_log_that_cannot_be_written_is_reported_once_and_again_after_a_success(tmp_path, caplog):
    (tmp_path / "log.jsonl").mkdir()
    here = RunLog(tmp_path)
    for _ in range(3):
        here.event("test")
    assert caplog.text.count("log.jsonl could not be written: Is a directory; training goes on") == 1
    (tmp_path / "log.jsonl").rmdir()
    here.event("test")
    assert len(events(tmp_path)) == 1


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_without_a_terminal_there_are_lines_instead_of_a_bar(tmp_path, monkeypatch, capsys, seconds):
    monkeypatch.setattr(folder, "SECONDS_BETWEEN_LINES", seconds)
    list(Trainer(config(epochs=2), tmp_path).run(progress=True))
    message = capsys.readouterr().err
    last = r"epoch 2/2  step 8/8, loss [\d.]+, accuracy [\d.]+ %, \d+ images/s, 00:00 left in all\n"
    assert bool(re.search(last, message)) == (seconds == 0)
    assert message.count("\n") >= 8 if seconds == 0 else message == ""


def test_the_time_left_counts_the_steps_of_all_epochs(monkeypatch, capsys):
    monkeypatch.setattr(folder, "SECONDS_BETWEEN_LINES", 0.0)
    bar = progress_bar("epoch 1/2", done=1, total=4, show=True)
    bar.start_t -= 60  # one step of this run took a minute; 2 more are left
    bar.update()
    bar.close()
    assert "step 2/4, 02:00 left in all\n" in capsys.readouterr().err


def test_every_setting_explains_itself():
    for field in dataclasses.fields(Config):
        assert len(field.metadata["help"]) > 3, field.name
