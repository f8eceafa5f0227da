"""A study trains every variant from every seed once, goes on where it was stopped, and writes a table."""

import itertools

import pytest
from tiny_run import SPLITS

from minisk.__main__ import main
from minisk.errors import MiniskError
from minisk.models.ablations import STUDIES, Variant
from minisk.training import Config, images, run_folder
from minisk.training.ablation import AblationResult, run_study, table

# Two networks of a few thousand values, four steps each.
VARIANTS = (
    Variant("two", channels_per_group=8, L=4, width=8),
    Variant("one branch", kernels=((3, 1),), channels_per_group=8, select=False, width=8),
)
CONFIG = Config(epochs=1, batch_size=16, train_images=64, test_images=32, crop_padding=0, lr=0.1, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def few_images():
    """Draw the images once, and no curves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "load_dataset", lambda name, data_dir, split, size_limit, view: SPLITS[split])
        patch.setattr(run_folder, "draw_curves", lambda *arguments: None)
        yield


def study(out, seeds=(0, 1), **options):
    return list(run_study(VARIANTS, CONFIG, seeds, out, progress=False, **options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return out, study(out)


def test_every_variant_is_trained_from_every_seed(finished):
    out, results = finished
    assert [(r.variant, r.seed) for r in results] == [("two", 0), ("one branch", 0), ("two", 1), ("one branch", 1)]
    assert results[0].parameters > results[1].parameters == results[3].parameters
    assert (out / "one-branch" / "seed-1" / "result.json").exists()
    assert len((out / "ablation.csv").read_text(encoding="utf-8").splitlines()) == 5


def test_a_finished_study_is_read_not_repeated(finished, monkeypatch):
    out, results = finished

    def fail(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr("minisk.training.ablation._train", fail)
    assert study(out) == results


def test_a_study_that_was_stopped_goes_on_to_the_same_numbers(finished, tmp_path):
    steps = itertools.count()
    # Within the second run: `stop` is called about six times in each.
    begun = study(tmp_path, [0], stop=lambda: next(steps) > 8)
    assert len(begun) == 1
    again = study(tmp_path, [0])
    expected = finished[1][:2]
    assert [(r.accuracy, r.loss) for r in again] == [(r.accuracy, r.loss) for r in expected]


def test_other_settings_or_a_damaged_result_are_errors(finished):
    out, _ = finished
    with pytest.raises(MiniskError, match=r"result.json is of other settings: lr 0.1 is now 0.2"):
        list(run_study(VARIANTS, Config(**{**CONFIG.__dict__, "lr": 0.2}), [0], out, progress=False))
    wider = Variant("two", channels_per_group=8, L=8, width=8)
    with pytest.raises(MiniskError, match="L 4 is now 8"):
        list(run_study([wider], CONFIG, [0], out, progress=False))
    path = out / "two" / "seed-0" / "result.json"
    content = path.read_bytes()
    path.write_text("{")
    with pytest.raises(MiniskError, match="is damaged"):
        study(out)
    path.write_bytes(content)


def test_the_table_has_the_mean_the_spread_and_each_seed():
    results = [
        AblationResult("two", seed, 1234, 5678, accuracy, 1.0, 30.0) for seed, accuracy in ((0, 80.0), (1, 82.0))
    ]
    last = table(results, VARIANTS).splitlines()[-1]
    assert last == "| two | 1,234 | 5,678 | 81.00 ± 1.41 | 80.00 (0), 82.00 (1) | 1.0 |"


def test_the_command_prints_a_line_for_each_run_and_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(STUDIES, "select", VARIANTS[:1])
    command = ["ablation", "select", "--out", str(tmp_path), "--seeds", "0", "--epochs", "1", "--batch-size", "16"]
    assert main([*command, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("two, seed 0: ")
    assert printed[-1].startswith("| two | ")
