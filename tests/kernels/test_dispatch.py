"""minisk.kernels: one plain, documented function a name, and a choice between kernel and reference for each call."""

import inspect
import pydoc
import sys
import traceback

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk import kernels
from minisk.errors import MiniskError
from minisk.runtime import launcher

FUNCTIONS = [name for name in kernels.__all__ if not inspect.isclass(getattr(kernels, name))]


@pytest.mark.core
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_name_is_a_documented_function_defined_here(name):
    function = getattr(kernels, name)
    assert inspect.isfunction(function)
    assert (function.__name__, function.__module__.split(".")[:2]) == (name, ["minisk", "kernels"])
    assert function.__doc__ and function.__doc__.strip()
    parameters = inspect.signature(function).parameters.values()
    assert all(parameter.annotation is not parameter.empty for parameter in parameters)


@pytest.mark.core
def test_help_shows_the_signature_and_the_formula():
    text = pydoc.plain(pydoc.render_doc(kernels.axpy))
    assert "axpy(a: " in text and "x: " in text and "y: " in text
    assert "a[n,c] · x[n,c,h,w] + y[n,c,h,w]" in text


@pytest.mark.core
def test_a_traceback_names_the_function_that_failed():
    with pytest.raises((MiniskError, ValueError)) as caught:
        kernels.axpy(np.ones((1, 2)), np.ones((3, 4, 5, 6)), np.ones((3, 4, 5, 6)))
    assert "axpy" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


@needs_compiler
@pytest.mark.core
@pytest.mark.parametrize(
    ("mode", "planes", "launches"),
    [
        ("auto", (8, 32, 32, 32), True),
        ("auto", (1, 1, 2, 2), False),  # the launch alone would take longer than the formula
        ("numpy", (8, 32, 32, 32), False),
        ("cpu", (1, 1, 2, 2), True),
    ],
)
def test_mode_and_size_decide_between_kernel_and_reference(monkeypatch, mode, planes, launches):
    launched = []
    original = launcher.launch

    def launch(kernel, *args, **kwargs):
        launched.append(kernel)
        return original(kernel, *args, **kwargs)

    for module in modules_that_launch(original):
        monkeypatch.setattr(module, "launch", launch)
    x = np.linspace(-1, 1, int(np.prod(planes)), dtype=np.float32).reshape(planes)
    a = np.full(planes[:2], 0.5, np.float32)
    with kernel_mode(mode):
        out = kernels.axpy(a, x, x)
    np.testing.assert_allclose(out, 1.5 * x, rtol=1e-6)
    assert bool(launched) == launches


def modules_that_launch(function):
    """Return the modules that hold the launch function under its name."""
    loaded = [module for name, module in sys.modules.items() if name.startswith("minisk.")]
    return [module for module in loaded if getattr(module, "launch", None) is function]
