"""Fixtures of the tests of launches and of the cache of built kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scale_kernel import SCALE

from minisk.runtime import why_no_kernels
from minisk.runtime.build import _has_openmp, find_compiler


@pytest.fixture
def scale(tmp_path: Path) -> Path:
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    return path


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def new_search() -> Iterator[None]:
    """Search for the compiler again, in this test and after it."""
    for cached in (find_compiler, _has_openmp, why_no_kernels):
        cached.cache_clear()
    yield
    for cached in (find_compiler, _has_openmp, why_no_kernels):
        cached.cache_clear()
