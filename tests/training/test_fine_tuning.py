"""`--init` with weights of others or for other classes, and `--freeze-bn`."""

import numpy as np
import pytest
from foreign_files import pth_of_arrays, write
from tiny_run import assert_same_bits, config, tiny_net, trained, use_tiny, weights

import minisk as ms
from minisk.errors import CheckpointError
from minisk.training import SettingError, Trainer


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def test_a_run_begins_with_the_weights_of_a_checkpoint_and_of_its_converted_names(tmp_path):
    first = trained(tmp_path / "first")
    begun = Trainer(config(init=str(tmp_path / "first" / "last.safetensors")), tmp_path / "second")
    assert_same_bits(weights(begun), weights(first))


def test_other_classes_keep_all_but_the_classifier_and_say_so(tmp_path, caplog):
    network = tiny_net("sknet_small", 3)
    state = {name: value.data for name, value in network.state_dict().items()}
    path = write(tmp_path, "three.pth", pth_of_arrays(state))
    found = ms.models.Pretrained("sknet_small", state, "minisk", 3)
    begun = tiny_net("sknet_small", 10)
    ms.models.initialize(begun, found, path)
    assert "three.pth has 3 classes, not 10: its classifier is left out" in caplog.text
    for name, value in begun.state_dict().items():
        assert name.startswith("classifier.") or (value.numpy() == state[name]).all()


def test_weights_of_another_model_are_an_error(tmp_path):
    write(tmp_path, "x.pth", pth_of_arrays({"conv.weight": np.ones((3, 3), np.float32)}))
    with pytest.raises(CheckpointError, match=r"weights file .*x\.pth: .*sknet_small.*unexpected: conv\.weight"):
        Trainer(config(init=str(tmp_path / "x.pth")), tmp_path / "run")


def test_frozen_batch_norms_stay_bit_for_bit_while_weights_train(tmp_path):
    first = trained(tmp_path / "first")
    init = str(tmp_path / "first" / "last.safetensors")
    before = {name: value.copy() for name, value in weights(first).items()}
    tuned = trained(tmp_path / "second", epochs=2, init=init, freeze_bn=True, ema=0.5)
    after = weights(tuned)
    norms = {name for name in after if after[name].ndim == 1 and not name.startswith("classifier.")}
    assert len(norms) > 10
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert changed == after.keys() - norms


def test_a_run_with_frozen_batch_norms_resumes_bit_for_bit(tmp_path):
    trained(tmp_path / "first")
    settings = {"epochs": 2, "init": str(tmp_path / "first" / "last.safetensors"), "freeze_bn": True}
    whole = trained(tmp_path / "whole", **settings)
    trained(tmp_path / "parts", stop_after=1, **settings)
    resumed = trained(tmp_path / "parts", resume=True, **settings)
    assert_same_bits(weights(resumed), weights(whole))


def test_frozen_batch_norms_need_weights_to_begin_with():
    with pytest.raises(SettingError, match="freeze_bn needs --init"):
        config(freeze_bn=True)
