"""Process-wide settings: made unless the user has set them, all switched off by one variable, and listed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minisk.backend import process_settings

NAMES = ["OPENBLAS_THREAD_TIMEOUT", "GOMP_SPINCOUNT", "M_MMAP_MAX", "M_TRIM_THRESHOLD", "M_TOP_PAD"]
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
    assert found["M_MMAP_MAX"] == "0 minisk"
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


# Prints the MB that the process holds beyond those at the start.
RESIDENT = """
import numpy as np
import minisk as ms
from minisk.backend.threads import freed_memory_kept, keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
keep_freed_memory()
start = resident()
"""


def printed(code: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", RESIDENT + code], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@linux
def test_a_freed_array_of_any_size_stays_until_the_cache_is_emptied() -> None:
    filled, kept, emptied = printed(
        """
array = np.ones(100 << 17)
print(resident() - start)
del array
print(resident() - start)
ms.empty_cache()
print(resident() - start)
"""
    )
    assert filled >= 98
    assert kept >= 98
    assert emptied <= 10


@linux
def test_a_training_returns_its_memory_at_its_end() -> None:
    inside, after = printed(
        """
with freed_memory_kept():
    array = np.ones(100 << 17)
    del array
    print(resident() - start)
print(resident() - start)
"""
    )
    assert inside >= 98
    assert after <= 10


@linux
def test_memory_beyond_the_limit_returns_at_once_but_in_a_training() -> None:
    limited, trained = printed(
        """
import minisk.backend.threads as threads
threads._mallopt()(threads._TRIM, 50 << 20)
array = np.ones(200 << 17)
del array
print(resident() - start)
with freed_memory_kept():
    array = np.ones(200 << 17)
    del array
    print(resident() - start)
"""
    )
    assert limited <= 80  # 64 MB of M_TOP_PAD
    assert trained >= 198


@linux
def test_settings_of_the_user_hold_in_a_training() -> None:
    code = "with freed_memory_kept():\n    array = np.ones(100 << 17)\n    del array\n    print(resident() - start)"
    environment = {**os.environ, "MALLOC_TOP_PAD_": "0"}  # one of the user's is enough
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT + code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= 10


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
