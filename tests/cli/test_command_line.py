"""The two commands, train_cifar.py and `python -m minisk`: every error is one sentence on stderr and an exit status.

Most run in this process on a tiny network; a few as a user would start them.
"""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minisk as ms
import minisk.__main__
from minisk import models, nn
from minisk.analysis.summary import summarize
from minisk.cli import train as train_cifar
from minisk.cli.recipes import RECIPES
from minisk.data import make_shapes
from minisk.models.sknet import ResidualNet, Stage, cifar_stem
from minisk.serialization import load_checkpoint
from minisk.training import Config, Trainer, images

REPOSITORY = Path(__file__).parents[2]
SPLITS = {"train": make_shapes(16, seed=1), "test": make_shapes(8, seed=2)}


def in_subprocess(*arguments):
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


@pytest.fixture
def tiny(monkeypatch):
    """A network that trains in no time, and few images for `shapes`; image trees are still read from disk."""

    def unit(inputs, width, outputs, stride, project):
        return models.SKUnit(inputs, width, outputs, stride, project, [(3, 1, 4)], L=4)

    def create(name, num_classes):
        return ResidualNet(nn.Sequential(cifar_stem(8), nn.AvgPool2d(8)), 8, [Stage(8, 8, 1, 1)], unit, num_classes)

    def load_dataset(name, data_dir, split, real=images.load_dataset, **options):
        return SPLITS[split] if name == "shapes" else real(name, data_dir, split, **options)

    monkeypatch.setattr(models, "create", create)
    monkeypatch.setattr(images, "load_dataset", load_dataset)


@pytest.fixture
def run(tmp_path, capsys):
    """Run train_cifar in this process, writing to `tmp_path / "run"`; returns exit status, stdout and stderr."""

    def call(*arguments):
        defaults = ["--out", tmp_path / "run", "--epochs", 2, "--batch-size", 8, "--lr", 0.1, "--device", "cpu"]
        status = train_cifar.main([*map(str, defaults), *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def image_tree(root, splits=("train", "train", "test"), classes=("cat", "dog")):
    """A tree of random 32×32 images, one per class for each time a split is named."""
    rng = np.random.default_rng(0)
    for number, split in enumerate(splits):
        for name in classes:
            (root / split / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(256, size=(32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def assert_error(result, command, message):
    """The command failed, and said why in one line."""
    status, _, err = result
    assert (status, err.count("\n")) == (1, 1)
    assert re.search(rf"^{command}: .*{message}", err), err


# --- Training --------------------------------------------------------------------------------------------


def test_training_reports_the_numbers_of_the_run(tiny, run, tmp_path):
    status, out, err = run()
    first, _, *epochs, last = out.splitlines()
    assert (status, err) == (0, "")
    assert re.fullmatch(r"sknet_small: [\d,]+ parameters, on cpu; shapes: 10 classes", first)
    assert [line[:11] for line in epochs] == ["epoch   1/2", "epoch   2/2"]
    history = load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["history"]
    assert last.startswith(f"best test accuracy {max(m['test_accuracy'] for m in history):.2f} %; ")


def test_every_setting_reaches_the_config(tiny, run, tmp_path):
    given = {
        "dataset": "cifar10",
        "data_dir": str(image_tree(tmp_path / "data")),
        "train_images": 4,
        "test_images": 2,
        "model": "sknet29",
        "epochs": 1,
        "batch_size": 4,
        "accumulate": 2,
        "optimizer": "adamw",
        "lr": 0.01,
        "beta1": 0.8,
        "beta2": 0.99,
        "weight_decay": 0.25,
        "label_smoothing": 0.125,
        "schedule": "step",
        "step_epochs": 1,
        "warmup_epochs": 0.5,
        "clip_norm": 2.0,
        "ema": 0.5,
        "crop_padding": 1,
        "small_epochs": 1,
        "cutout": 3,
        "jitter": 0.25,
        "mixup": 0.5,
        "cutmix": 1.0,
        "seed": 3,
        "precision": "float32",
        "device": "cpu",
    }
    of_photographs = {"image_size": None, "least_area": 0.08, "lighting": 0.0, "max_broken": 0}
    others = {"mirror", "init", "freeze_bn", "momentum", "sync_bn"}
    assert given.keys() | others | of_photographs.keys() == {field.name for field in dataclasses.fields(Config)}
    flags = (part for k, v in given.items() for part in (f"--{k.replace('_', '-')}", v))
    assert run(*flags, "--no-mirror", "--no-sync-bn")[0] == 0
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["config"] == {
        **given,
        **of_photographs,
        "mirror": False,
        "sync_bn": False,
        "init": None,
        "freeze_bn": False,
        "momentum": 0.9,  # the default: adamw refuses a momentum
    }


def test_help_describes_every_setting_and_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        train_cifar.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for field in dataclasses.fields(Config):
        option = f"--{field.name.replace('_', '-')}"
        assert re.search(rf"{option}(, --no-[a-z-]+| [^ ]+) [^-].*", text), f"{option} has no description"
        assert field.default is None or f"(default: {field.default})" in text, f"{option} has no default"
    assert {name for name in models.NAMES if name not in text} == set()


def test_an_interrupted_run_exits_with_130_names_resume_and_can_be_resumed(tiny, run, tmp_path, monkeypatch):
    real, calls = Trainer._evaluate, []

    def interrupted_in_the_second_epoch(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Trainer, "_evaluate", interrupted_in_the_second_epoch)
    status, out, err = run()
    assert status == 130 and out.count("epoch   1/2") == 1 and "epoch   2/2" not in out
    assert "--resume" in err and str(tmp_path / "run") in err and "Traceback" not in err
    status, out, err = run("--resume")
    assert (status, err) == (0, "") and "epoch   1/2" not in out and out.count("epoch   2/2") == 1


def signal_in_step(monkeypatch, number, which):
    """Have the process signal itself in its so-many-th step. Returns a list that grows by an element a step."""
    steps, real = [], Trainer.train_step

    def step(self, batch):
        steps.append(self)
        if len(steps) == which:
            os.kill(os.getpid(), number)
        return real(self, batch)

    monkeypatch.setattr(Trainer, "train_step", step)
    return steps


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_the_step_and_the_printed_command_continues(
    tiny, run, monkeypatch, capsys, number, status
):
    steps = signal_in_step(monkeypatch, number, which=3)  # two a epoch
    found, out, err = run()
    assert (found, len(steps), out.count("epoch ")) == (status, 3, 1)
    assert err.startswith("stopped; a checkpoint is written, go on from this step with\n")
    python, _, *arguments = shlex.split(err.splitlines()[-1])
    assert python == sys.executable and arguments[-1] == "--resume"
    assert train_cifar.main(arguments) == 0
    assert len(steps) == 4 and "epoch   2/2" in capsys.readouterr().out


def test_a_second_ctrl_c_stops_at_once_and_reports_whether_there_is_a_checkpoint(tiny, run, monkeypatch):
    with monkeypatch.context() as patch:
        signal_in_step(patch, signal.SIGINT, which=1)
        signal_in_step(patch, signal.SIGINT, which=1)
        assert run()[0] == 130
    with monkeypatch.context() as patch:
        signal_in_step(patch, signal.SIGINT, which=3)
        signal_in_step(patch, signal.SIGINT, which=3)
        status, _, err = run()
    assert status == 130 and "the last checkpoint is whole; go on from there with" in err and "--resume" in err


def test_settings_come_from_flags_then_file_then_recipe(tiny, run, tmp_path):
    (tmp_path / "settings.json").write_text('{"lr": 0.25, "seed": 5, "epochs": 9}')
    flags = ["--recipe", "paper", "--config", tmp_path / "settings.json", "--seed", 7, "--train-images", 8]
    assert run(*flags)[0] == 0
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    # `run` gives epochs, batch size and lr as flags; weight decay and model are the recipe's.
    assert (saved["epochs"], saved["lr"], saved["seed"], saved["model"]) == (2, 0.1, 7, "sknet29")
    assert saved["schedule"] == RECIPES["paper"]["schedule"] != Config().schedule
    other = ["--out", str(tmp_path / "other"), "--config", str(tmp_path / "run" / "config.json")]
    assert train_cifar.main(other) == 0
    assert json.loads((tmp_path / "other" / "config.json").read_text()) == saved


def test_download_fetches_the_named_data_set_before_training(tiny, run, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(train_cifar, "download_cifar", lambda name, folder: fetched.append((name, folder)))
    tree = str(image_tree(tmp_path / "data"))
    assert run("--dataset", "cifar10", "--data-dir", tree, "--batch-size", 4, "--download")[0] == 0
    assert fetched == [("cifar10", tree)]


def test_the_end_of_a_run_is_reported_in_pictures_of_its_best_weights(tiny, run, tmp_path):
    assert run("--ema", 0.5)[0] == 0
    folder = tmp_path / "run"
    found = json.loads((folder / "evaluation.json").read_text())
    best = load_checkpoint(folder / "best.safetensors")[1]["history"][-1]
    assert found["accuracy"] == pytest.approx(best["test_accuracy"])
    assert found["loss"] == pytest.approx(best["test_loss"], rel=1e-5)
    for name in ("curves.png", "confusion.png", "mistakes.png"):
        Image.open(folder / name).verify()


def test_resuming_needs_no_settings_but_those_given_must_be_the_runs(tiny, run, monkeypatch, tmp_path, capsys):
    with monkeypatch.context() as patch:
        signal_in_step(patch, signal.SIGTERM, which=1)
        assert run("--seed", 3)[0] == 143
    short = ["--out", str(tmp_path / "run"), "--resume"]
    assert train_cifar.main([*short, "--recipe", "paper"]) == 1
    message = capsys.readouterr().err
    assert (
        "other settings: --model 'sknet_small' is now 'sknet29'; --epochs 2 is now 300; --batch-size 8 is now 128"
        in message
    )
    assert train_cifar.main(short) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 3


# --- Mishaps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "cifar10"], "no folder was given: --data-dir"),
        (["--dataset", "cifar10", "--data-dir", "{tmp}/nowhere"], "cifar10: '.*nowhere' is not a folder; looked for"),
        (["--out", ""], "--out is empty, expected a folder"),
        (["--config", ""], "--config is empty, expected a file"),
        (["--eval", ""], "--eval is empty, expected a checkpoint"),
        (["--init", "{tmp}/none.safetensors"], r"weights file .*none\.safetensors does not exist"),
        (["--save-minutes", "nan"], "--save-minutes nan must be at least 0"),
        (["--cutout", "33"], "--cutout 33 must be at most 32"),
        (["--crop-padding", "32"], "--crop-padding 32 must be at most 31"),
        (["--small-epochs", "3"], "--small-epochs 3 must be at most the epochs, 2"),
        (["--config", "{tmp}"], "settings .* can't be read: not a file"),
        (["--out", "{tmp}/notes.txt"], r"output folder .*notes\.txt can't be written to: File exists"),
        (["--out", "{tmp}/notes.txt/run"], r"output folder .*notes\.txt/run can't be written to: Not a directory"),
        (["--epochs", "0"], "--epochs 0 must be above 0"),
        (["--lr", "nan"], "--lr nan must be above 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--device", "tpu"], "device 'tpu' is not known"),
        (["--batch-size", "17"], "--batch-size 17 is more than the 16 training images"),
        (["--batch-size", "1"], "training needs a larger batch"),
        (["--config", "{tmp}/notes.txt"], r"settings .*notes\.txt are not JSON"),
        (["--download"], "--download needs --data-dir"),
        (["--save-every", "-1"], "--save-every -1"),
        (["--warmup-epochs", "nan"], "--warmup-epochs nan must be at least 0"),
        (["--model", "vgg"], "--model 'vgg' must be one of .*sknet_small"),
    ],
)
def test_an_error_is_one_sentence(tiny, run, tmp_path, arguments, message):
    (tmp_path / "notes.txt").write_text("buy milk")
    assert_error(run(*(argument.format(tmp=tmp_path) for argument in arguments)), "train_cifar", message)


def test_an_image_that_cannot_be_read_is_named(tiny, run, tmp_path):
    tree = image_tree(tmp_path / "data")
    (tree / "train" / "dog" / "9.png").write_bytes(b"not an image")
    result = run("--dataset", "cifar10", "--data-dir", tree)
    assert_error(result, "train_cifar", r"train/dog/9\.png can't be read as an image")


def test_resume_where_nothing_is_saved_starts_and_says_so(tiny, run):
    status, out, err = run("--resume")
    assert (status, err) == (0, "") and out.startswith("nothing is saved in ") and "epoch   2/2" in out


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_settings_come_from_the_checkpoint_if_config_json_is_missing_or_damaged(tiny, run, tmp_path, content):
    assert run("--seed", 3)[0] == 0
    path = tmp_path / "run" / "config.json"
    path.unlink() if content is None else path.write_text(content)
    assert train_cifar.main(["--out", str(tmp_path / "run"), "--resume"]) == 0


def test_a_pipe_given_for_settings_is_refused_at_once(tiny, run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert_error(run("--config", tmp_path / "pipe"), "train_cifar", "can't be read: not a file")


def test_control_characters_in_an_error_are_escaped(tiny, run, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"\x1b[2J": 1}))
    assert_error(run("--config", tmp_path / "settings.json"), "train_cifar", r"unknown settings: \\x1b\[2J")


@pytest.mark.parametrize("arguments", [["info"], ["summary", "sknet_small"], ["--help"]])
def test_a_reader_that_has_ended_is_silence(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "minisk", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.returncode in (0, 141) and done.stderr == ""  # argparse itself ignores it for --help


def test_a_closed_stdout_is_silence():
    command = [sys.executable, "-m", "minisk", "table"]
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(command)} >&-"], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_starting_over_a_run_is_refused_and_resume_is_named(tiny, run):
    assert run("--epochs", 1)[0] == 0
    assert_error(run("--epochs", 1), "train_cifar", "holds a run already: go on with --resume, or choose another --out")
    assert_error(run("--resume"), "train_cifar", "can't be resumed with other settings: --epochs 1 is now 2; leave")


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--epochs", "many"], "'many'"), (["--dataset", "mnist"], "'mnist'")]
)
def test_an_invalid_choice_shows_the_usage_and_exits_with_2(run, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert re.search(rf"error: argument {arguments[0]}: .*{message}", capsys.readouterr().err)


# --- minisk summary -----------------------------------------------------------------------------------------


def test_sknet50_has_the_counted_parameters_and_multiply_adds(capsys):
    assert minisk.__main__.main(["summary", "sknet50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "parameters     27,479,784 (with running statistics 27,564,328)" in lines
    assert lines[-1].startswith("multiply-adds  4,462,710,784 in convolutions and linear layers, 4,468,230,144 with")


def test_a_summary_shows_each_layer_in_order_with_its_shape_at_the_given_size(capsys):
    assert minisk.__main__.main(["summary", "sknet26", "--size", "64", "--num-classes", "7"]) == 0
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in table[1:]}
    assert list(rows)[:5] == ["stem.0", "stem.1", "stem.2", "stages.0.0.reduce", "stages.0.0.reduce_norm"]
    assert rows["stem.0"] == ["Conv2d", "64×32×32", f"{64 * 3 * 49:,}", f"{64 * 3 * 49 * 32 * 32:,}"]
    assert rows["stem.2"] == ["MaxPool2d", "64×16×16", "0", "0"]
    assert rows["stages.0.0.middle"] == ["select", "128×16×16", "0", f"{2 * 128 * 16 * 16:,}"]
    assert rows["stages.3.0.middle.convs.1"][1] == "1024×2×2"
    assert rows["classifier"] == ["Linear", "7", f"{2048 * 7 + 7:,}", f"{2048 * 7:,}"]


def test_a_summary_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.Sequential(nn.ReLU()))
    rows = summarize(model, (3, 5, 5)).rows
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    model(ms.tensor(np.ones((2, 3, 5, 5), np.float32)))
    assert [row.name for row in rows] == ["0", "1", "2.0"], "a hook is still there"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg"], "model 'vgg' is not known: expected one of attention56, .*sknet_small"),
        (["sknet_small", "--size", "-5"], "--size -5 must be at least 1"),
        (["sknet_small", "--size", "0"], "--size 0 must be at least 1"),
        (["sknet_small", "--num-classes", "-1"], "--num-classes -1 must be at least 1"),
        (["sknet_small", "--num-classes", "0"], "--num-classes 0 must be at least 1"),
        (["sknet_small", "--num-classes", "9" * 30], "--num-classes 9{30} must be at most 10,000,000"),
        (["sknet_small", "--size", "2147483648"], "--size 2147483648 must be at most 10,000,000"),
    ],
)
def test_a_summary_that_cannot_be_made_is_one_sentence(capsys, arguments, message):
    status = minisk.__main__.main(["summary", *arguments])
    assert_error((status, *capsys.readouterr()), "minisk summary", message)


def test_a_summary_as_csv_has_a_line_per_layer(capsys):
    assert minisk.__main__.main(["summary", "sknet_small", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name,kind,shape,parameters,macs,is_composite"
    assert lines[-1].startswith("classifier,Linear,10,")


def test_eval_measures_a_checkpoint_and_ends(tiny, run, tmp_path):
    run()
    status, out, err = run("--eval", tmp_path / "run" / "best.safetensors")
    best = load_checkpoint(tmp_path / "run" / "best.safetensors")[1]["history"][-1]
    assert (status, err) == (0, "")
    assert f"accuracy {best['test_accuracy']:.2f} % of 8 images" in out


# --- As a user would start them -----------------------------------------------------------------------------


def test_the_script_trains_on_an_image_tree_without_a_warning(tmp_path):
    tree = image_tree(tmp_path / "data")
    options = ["--data-dir", tree, "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 2, "--device", "cpu"]
    done = in_subprocess("train_cifar.py", "--dataset", "cifar10", *options)
    assert (done.returncode, done.stderr) == (
        0,
        "cifar10 has 10 classes, but --data-dir has 2; for your own images use --dataset folder\n",
    )
    assert "cifar10: 2 classes" in done.stdout and "epoch   1/1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train_cifar.py", "--eval", "none"], "train_cifar: checkpoint none does not exist"),
        (["-m", "minisk", "summary", "vgg"], "minisk summary: model 'vgg' is not known: expected one of "),
    ],
    ids=["train_cifar", "minisk"],
)
def test_an_error_of_the_real_command_is_one_sentence_and_exit_status_1(arguments, message):
    done = in_subprocess(*arguments)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_importing_minisk_imports_no_optional_or_heavy_package():
    heavy = {"cupy", "torch", "matplotlib", "PIL", "tqdm", "safetensors"}
    code = "import sys, minisk; print(*{name.split('.')[0] for name in sys.modules})"
    done = in_subprocess("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    found = set(done.stdout.split())
    assert found & heavy == set() and "minisk" in found
