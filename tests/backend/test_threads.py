"""Process-wide settings: made unless the user has set them, all switched off by one variable, and listed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minisk.backend import process_settings

NAMES = ["OPENBLAS_THREAD_TIMEOUT", "GOMP_SPINCOUNT", "M_MMAP_THRESHOLD", "M_TRIM_THRESHOLD", "M_TOP_PAD"]
NAMES += ["M_ARENA_MAX"]
LIST = """
import minisk.backend as backend
from minisk.backend.threads import OPENMP, keep_freed_memory, variable
import os
with variable(OPENMP):
    print("during", os.environ.get("GOMP_SPINCOUNT", "-"))
keep_freed_memory()
for each in backend.process_settings():
    print(each.name, each.value or "-", each.set_by)
print("environment", *(name for name in ("OPENBLAS_THREAD_TIMEOUT", "GOMP_SPINCOUNT") if name in os.environ))
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")


def listed(**variables: str) -> dict[str, str]:
    """Import minisk in a process with these environment variables; return "value set_by" of each setting."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES and not k.startswith(("MALLOC_", "MINISK_P"))}
    done = subprocess.run(
        [sys.executable, "-c", LIST], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    pairs = (line.partition(" ") for line in done.stdout.splitlines())
    return {name: rest for name, _, rest in pairs}


@linux
def test_minisk_makes_every_setting() -> None:
    found = listed()
    assert [name for name in found if name not in ("environment", "during")] == NAMES
    assert found["OPENBLAS_THREAD_TIMEOUT"] == "20 minisk"
    assert found["GOMP_SPINCOUNT"] == "20000 minisk"
    assert found["M_MMAP_THRESHOLD"] == f"{32 << 20} minisk"
    assert found["during"] == "20000"
    assert found["environment"] == ""  # OpenBLAS and libgomp have read them: child processes must not inherit them


@linux
def test_settings_of_the_user_are_kept() -> None:
    found = listed(OPENBLAS_THREAD_TIMEOUT="4", MALLOC_ARENA_MAX="1")
    assert found["OPENBLAS_THREAD_TIMEOUT"] == "4 user"
    assert found["GOMP_SPINCOUNT"] == "20000 minisk"
    assert [found[name] for name in NAMES[2:]] == ["- user"] * 4


def test_one_variable_switches_all_off() -> None:
    found = listed(MINISK_PROCESS_SETTINGS="0", GOMP_SPINCOUNT="7")
    assert found.pop("during") == "7"
    assert found.pop("GOMP_SPINCOUNT") == "7 user"
    assert found.pop("environment") == "GOMP_SPINCOUNT"
    assert set(found.values()) == {"- default"}


def test_every_setting_has_a_purpose() -> None:
    assert all(setting.purpose for setting in process_settings())


@linux
def test_freed_arrays_beyond_the_threshold_return_to_the_system() -> None:
    # 60 arrays of 8 MB: each below the 32 MB that mmap would serve, 480 MB together
    code = """
import numpy as np
from minisk.backend.threads import keep_freed_memory
keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
arrays = [np.ones(1 << 20) for _ in range(60)]
filled = resident()
del arrays
print(filled - before >> 20, resident() - before >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    filled, kept = map(int, done.stdout.split())
    assert filled >= 470
    assert kept <= 330  # 256 MB, and 64 MB of M_TOP_PAD


@linux
def test_memory_that_a_thread_has_freed_serves_the_next_thread() -> None:
    code = """
import threading
import numpy as np
from minisk.backend.threads import keep_freed_memory
keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def work():
    arrays = [np.ones(1 << 20) for _ in range(60)]
before = resident()
for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(resident() - before >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 480 + 64  # what one thread used, and M_TOP_PAD; two heaps would keep 960 MB
