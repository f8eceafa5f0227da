"""Forged checkpoints and settings: each is accepted or refused in one sentence, and never a traceback."""

import json
import random

import numpy as np
import pytest
from forged import mutations, text_of
from safetensors.numpy import save
from tiny_run import config, trained, use_tiny

from minisk.cli.train_settings import read_config
from minisk.errors import MiniskError
from minisk.serialization import load_checkpoint
from minisk.training import Config, Trainer

TRIED = 100  # forged descriptions a test, of some two thousand


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def outcome(act):
    """Return the sentence of an error, or None after a success."""
    try:
        act()
    except MiniskError as error:
        text = str(error)
        assert text and len(text) < 10_000
        assert text.isprintable()
        return text
    return None


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_forged_description_is_resumed_from_or_refused(tmp_path, optimizer):
    settings = {"epochs": 2, "ema": 0.5, "optimizer": optimizer, "batch_size": 32}
    trained(tmp_path, stop_after=1, **settings)
    last = tmp_path / "last.safetensors"
    arrays, about = load_checkpoint(last)
    cases = list(mutations(about))
    refused = 0
    for name, forged in random.Random(1).sample(cases, TRIED):
        last.write_bytes(save(arrays, {"minisk": text_of(forged, json.dumps)}))

        def resume():
            trainer = Trainer(config(**settings), tmp_path, resume=True)
            batch = next(trainer.train_loader.epoch(2))
            trainer.train_step(batch)

        try:
            refused += outcome(resume) is not None
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
    assert refused > TRIED // 2


@pytest.mark.parametrize(
    "name",
    [f"optimizer.{end}" for end in ("x.velocity", "-1.velocity", "0.", ".x", "01.velocity", "9999.velocity")],
)
def test_an_array_of_the_optimizer_under_a_forged_name_is_refused(tmp_path, name):
    trained(tmp_path, epochs=2, stop_after=1)
    last = tmp_path / "last.safetensors"
    arrays, about = load_checkpoint(last)
    last.write_bytes(save({**arrays, name: np.ones(3, np.float32)}, {"minisk": json.dumps(about)}))
    assert "checkpoint" in outcome(lambda: Trainer(config(epochs=2), tmp_path, resume=True))


def test_forged_settings_are_taken_or_refused(tmp_path):
    path = tmp_path / "config.json"
    good = config().__dict__
    for name, forged in mutations(good):
        path.write_text(text_of(forged, json.dumps))
        try:
            found = outcome(lambda: Trainer(Config(**read_config(path)), tmp_path / "out"))
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
        if any(word in name for word in ("nan", "inf", "1000000000")):
            assert found is not None, name


def test_a_header_with_changed_bytes_is_taken_or_refused(tmp_path):
    trained(tmp_path, epochs=2, stop_after=1)
    last = tmp_path / "last.safetensors"
    whole = last.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    draw = random.Random(2)
    for _ in range(TRIED):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(length)] = draw.randrange(256)
        last.write_bytes(content)
        outcome(lambda: Trainer(config(epochs=2), tmp_path, resume=True))
