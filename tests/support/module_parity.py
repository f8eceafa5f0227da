"""A module beside PyTorch's: it judges in float64, from the same weights."""

import importlib.util
from pathlib import Path

import numpy as np
from parity import assert_close, distinct, weights_like

import minisk as ms


def randomized(module, seed=0):
    """Give every parameter and buffer of a module its own random float64 values; variances stay positive."""
    tensors = {**dict(module.to(dtype="float64").named_parameters()), **dict(module.named_buffers())}
    arrays = distinct([tensor.shape for tensor in tensors.values()], seed)
    for (name, tensor), values in zip(tensors.items(), arrays, strict=True):
        tensor.data[...] = np.abs(values) if name.endswith("running_var") else values
        tensor.mark_written()
    return module


def values_of(state):
    return {name: tensor.numpy().copy() for name, tensor in state.items()}


def assert_equal_states(actual, expected):
    assert actual.keys() == expected.keys()
    assert [name for name in expected if not np.array_equal(actual[name], expected[name])] == []


def torch_state(torch, module):
    return {name: torch.tensor(values) for name, values in values_of(module.state_dict()).items()}


def assert_parity(torch, module, x, judge, judges_parameters):
    """Compare output, input gradient and parameter gradients of a module with those of PyTorch's judge."""
    our_x, their_x = ms.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    our_out, their_out = module(our_x), judge(their_x)
    (incoming,) = weights_like([their_out], 0)
    our_out.backward(ms.tensor(incoming))
    their_out.backward(torch.tensor(incoming))
    assert_close(our_out, their_out.numpy(force=True), "float64")
    assert_close(our_x.grad, their_x.grad.numpy(), "float64", "gradient of x")
    assert [name for name, _ in module.named_parameters()] == list(judges_parameters)
    for name, parameter in module.named_parameters():
        assert_close(parameter.grad, judges_parameters[name].grad.numpy(), "float64", f"gradient of {name}")


def torch_form(torch, module):
    """Return the PyTorch module that computes the same in float64, with the same weights; the benchmarks measure it."""
    path = Path(__file__).parents[2] / "benchmarks" / "torch_models.py"
    specification = importlib.util.spec_from_file_location("torch_models", path)
    forms = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(forms)
    judge = forms.torch_model(module).double()
    judge.load_state_dict(torch_state(torch, module), strict=False)  # PyTorch's batch norm also counts batches
    return judge
