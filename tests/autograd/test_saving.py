"""ms.save and ms.load: a state dict as a safetensors file."""

import numpy as np
import pytest

import minisk as ms
from minisk.errors import CheckpointError, DtypeError


def test_a_state_dict_survives_saving_and_loading(tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = (ms.nn.Sequential(ms.nn.Linear(3, 2), ms.nn.BatchNorm2d(2)) for _ in range(2))
    ms.save(model.state_dict(), path)
    state = ms.load(path)
    assert sorted(state) == sorted(model.state_dict())
    other.load_state_dict(state)
    for name, value in model.state_dict().items():
        assert isinstance(state[name], ms.Tensor) and state[name].dtype == value.dtype
        assert np.array_equal(other.state_dict()[name].numpy(), value.numpy())


def test_arrays_of_any_memory_order_are_saved_by_value(tmp_path):
    path = str(tmp_path / "x.safetensors")
    x = ms.arange(6).reshape(2, 3)
    ms.save({"transposed": x.T, "array": np.full((), 2.5), "bool": x > 2}, path)
    state = ms.load(path)
    assert state["transposed"].numpy().tolist() == x.numpy().T.tolist()
    assert (state["array"].item(), state["bool"].dtype) == (2.5, np.bool_)


def test_other_libraries_read_the_file(tmp_path, torch):
    pytest.importorskip("safetensors.torch")
    from safetensors.torch import load_file

    ms.save({"weight": ms.ones(2, 2)}, tmp_path / "x.safetensors")
    assert torch.equal(load_file(tmp_path / "x.safetensors")["weight"], torch.ones(2, 2))


def test_a_missing_or_damaged_file_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        ms.load(tmp_path / "missing.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(CheckpointError, match="damaged"):
        ms.load(tmp_path / "damaged.safetensors")
    with pytest.raises(CheckpointError, match="could not be written"):
        ms.save({}, tmp_path / "no_such_folder" / "x.safetensors")


@pytest.mark.parametrize("value", [None, 1.0, "text", [1.0]], ids=repr)
def test_what_is_no_array_is_refused_by_its_name(tmp_path, value):
    with pytest.raises(DtypeError, match=r"save: weight: expected a Tensor or an array, got a"):
        ms.save({"weight": value}, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
