"""`import minisk as ms` offers every public name, and imports packages only on first use."""

import importlib.util
import subprocess
import sys

import pytest

import minisk as ms

# Names whose module is another part of this tree.
NAMES = [name for name in ms.__all__ if name != "draw_graph" or importlib.util.find_spec("minisk.analysis.graph")]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(ms, name).__doc__ and name in dir(ms)


def test_public_names_are_listed_once():
    for module in (ms, ms.ops, sys.modules["minisk.autograd"], sys.modules["minisk.backend"]):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(name in NAMES or hasattr(module, name) for name in module.__all__ if name != "draw_graph")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = ms.nothing


def test_packages_are_imported_on_first_use():
    code = (
        "import sys, minisk as ms\n"
        "lazy = [f'minisk.{name}' for name in ('nn', 'optim', 'models', 'data', 'gradient_check', 'analysis')]\n"
        "assert not [name for name in lazy if name in sys.modules]\n"
        "ms.nn.Linear, ms.optim.SGD, ms.models.create, ms.data.Loader, ms.kernels.axpy, ms.cuda.launch, ms.gradcheck\n"
        "from minisk import nn, profile\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ms.__path__[0] + "/..")


def test_every_operation_is_documented():
    assert [name for name in ms.ops.__all__ if not getattr(ms.ops, name).__doc__] == []
