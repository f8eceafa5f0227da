"""The cache of built kernels: what is trusted, what is built again, and compilers that fail or are interrupted."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from scale_kernel import SCALE, X, fake_compiler, run, separate_process

from minisk import kernels
from minisk.cuda import elementwise
from minisk.errors import KernelError
from minisk.runtime import BuildError, Kernel, why_no_kernels
from minisk.runtime.build import _has_openmp, find_compiler
from minisk.runtime.cache import is_intact

# --- The cache of built kernels ----------------------------------------------------------------------------


@needs_compiler
def test_a_built_library_is_private_and_used_again(scale: Path, fresh_cache: Path) -> None:
    run(Kernel(scale, "scale"))
    (library,) = fresh_cache.glob("scale-*.so")
    assert stat.S_IMODE(fresh_cache.stat().st_mode) == 0o700
    made = library.stat().st_mtime_ns
    run(Kernel(scale, "scale"))
    assert library.stat().st_mtime_ns == made


@needs_compiler
def test_cxxflags_are_passed_to_the_compiler_and_are_part_of_the_cache_key(
    scale: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale.write_text(SCALE.replace("factor * x[i]", "FACTOR * x[i]"))
    for factor in (3, 4):
        monkeypatch.setenv("CXXFLAGS", f"-O0 -DFACTOR={factor} -D'UNUSED=a b'")
        np.testing.assert_array_equal(run(Kernel(scale, "scale")), factor * X)
    assert len(list(fresh_cache.glob("scale-*.so"))) == 2


@needs_compiler
@pytest.mark.parametrize("damage", ["cut short", "emptied", "one byte changed"])
def test_a_damaged_library_is_built_again(scale: Path, fresh_cache: Path, damage: str) -> None:
    subprocess.run(separate_process(scale), check=True, capture_output=True)
    (library,) = fresh_cache.glob("scale-*.so")
    whole = library.read_bytes()
    damaged = {
        "cut short": whole[: len(whole) // 2],
        "emptied": b"",
        "one byte changed": whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
    }
    library.write_bytes(damaged[damage])
    done = subprocess.run(separate_process(scale), check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str((2 * X).tolist())
    assert library.read_bytes() != damaged[damage]


@needs_compiler
def test_two_processes_that_build_at_once_both_succeed(scale: Path, fresh_cache: Path) -> None:
    both = [subprocess.Popen(separate_process(scale), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [str((2 * X).tolist())] * 2
    assert len(list(fresh_cache.glob("scale-*.so"))) == 1


@needs_compiler
def test_kernels_run_even_if_the_cache_folder_cannot_be_used(
    scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert "for this process only" in caplog.text


# --- No compiler, or one that fails ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no C\\+\\+ compiler found"),
        ("exit 3", "does not run"),
        ("case $1 in --version) echo toy 1;; *) echo broken >&2; exit 1;; esac", "does not compile:\nbroken"),
    ],
)
def test_without_a_compiler_the_formulas_run_and_one_log_line_says_so(
    script: str | None,
    reason: str,
    tmp_path: Path,
    fresh_cache: Path,
    new_search: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, script) if script else str(tmp_path / "none"))
    with caplog.at_level(logging.WARNING), kernel_mode("auto"):
        x = np.ones((2, 64, 16, 16), np.float32)
        for _ in range(2):
            np.testing.assert_array_equal(kernels.plane_mean(x), np.ones((2, 64)))
    assert caplog.text.count("NumPy formulas in use") == 1
    with kernel_mode("cpu"), pytest.raises(KernelError, match=f"MINISK_KERNELS=cpu, but .*{reason}"):
        kernels.plane_mean(x)


@needs_compiler
def test_flags_with_an_open_quotation_mark_are_named(
    scale: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXXFLAGS", "'")
    with pytest.raises(BuildError, match='CXXFLAGS is "\'": No closing quotation'):
        run(Kernel(scale, "scale"))


@needs_compiler
def test_without_openmp_kernels_run_on_one_processor(
    scale: Path,
    tmp_path: Path,
    fresh_cache: Path,
    new_search: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = find_compiler()[0]
    find_compiler.cache_clear()
    refuse = f'for a in "$@"; do [ "$a" = -fopenmp ] && {{ echo no OpenMP >&2; exit 1; }}; done; exec {real} "$@"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, refuse))
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert "has no OpenMP: kernels run on one processor" in caplog.text
    assert os.listdir(fresh_cache)


# --- What another user could have written -------------------------------------------------------------------


def as_other_user(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


def behind_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def with_a_second_name(path: Path) -> None:
    os.link(path, path.with_name("second name"))


def as_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def writable_by_all(path: Path) -> None:
    path.chmod(0o777)


def writable_by_the_group(path: Path) -> None:
    path.chmod(0o720)


@needs_compiler
@pytest.mark.parametrize("prepare", [as_other_user, behind_a_link, writable_by_all, writable_by_the_group])
def test_a_folder_that_others_could_write_is_neither_trusted_nor_changed(
    scale: Path, fresh_cache: Path, prepare: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    fresh_cache.mkdir(parents=True, mode=0o755)
    prepare(fresh_cache)
    before = fresh_cache.stat()
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert "for this process only" in caplog.text
    assert fresh_cache.stat().st_mode == before.st_mode and not os.listdir(fresh_cache)


@needs_compiler
@pytest.mark.parametrize(
    "prepare", [as_other_user, behind_a_link, with_a_second_name, as_a_fifo, writable_by_all, writable_by_the_group]
)
def test_a_library_that_others_could_write_is_built_again(
    scale: Path, fresh_cache: Path, prepare: Callable[[Path], None]
) -> None:
    run(Kernel(scale, "scale"))
    (library,) = fresh_cache.glob("scale-*.so")
    prepare(library)
    assert not is_intact(library)
    before = library.lstat().st_ino
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert is_intact(library) and library.lstat().st_ino != before


@needs_compiler
def test_a_folder_in_the_place_of_a_library_is_named(scale: Path, fresh_cache: Path) -> None:
    run(Kernel(scale, "scale"))
    (library,) = fresh_cache.glob("scale-*.so")
    library.unlink()
    library.mkdir()
    with pytest.raises(BuildError, match=rf"scale\.cu cannot be built in .*Is a directory.*{library.name}"):
        run(Kernel(scale, "scale"))


@needs_compiler
def test_the_folder_and_its_libraries_are_private_whatever_the_umask(scale: Path, fresh_cache: Path) -> None:
    before = os.umask(0)
    try:
        run(Kernel(scale, "scale"))
    finally:
        os.umask(before)
    (library,) = fresh_cache.glob("scale-*.so")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (fresh_cache, library)] == [0o700, 0o600]


@needs_compiler
def test_a_temporary_folder_is_removed_at_the_end_of_the_process(scale: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "MINISK_CACHE": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(separate_process(scale), env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str((2 * X).tolist()) and "for this process only" in done.stderr
    assert not os.listdir(tmp_path / "temporary")


# --- Builds that are interrupted, and compilers that fail ----------------------------------------------------


def uses_openmp(library: Path) -> bool:
    """Return whether a library imports the function that starts threads: GNU's or LLVM's."""
    content = library.read_bytes()
    return b"GOMP_parallel" in content or b"__kmpc_fork_call" in content


def wrapped_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Set CXX to a script that ends with a call of the real compiler."""
    real = shlex.join(shlex.split(find_compiler()[0]))
    find_compiler.cache_clear()
    monkeypatch.setenv("CXX", fake_compiler(folder, f'{script}\nexec {real} "$@"'))


@needs_compiler
@pytest.mark.parametrize(
    "failure",
    ["kill -9 $$", "kill -TERM $$", "echo Killed signal terminated program cc1plus >&2; exit 1", "exit 4"],
)
def test_a_compiler_that_fails_once_leaves_no_library_without_openmp(
    failure: str, scale: Path, tmp_path: Path, fresh_cache: Path, new_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = f"case $1 in --version) ;; *) [ -e {tmp_path}/failed ] || {{ touch {tmp_path}/failed; {failure}; }};; esac"
    wrapped_compiler(tmp_path, monkeypatch, once)
    kernel = Kernel(scale, "scale")
    np.testing.assert_array_equal(run(kernel), 2 * X)  # the small program that asks for OpenMP failed
    (library,) = fresh_cache.glob("scale-*.so")
    assert (tmp_path / "failed").exists() and uses_openmp(library)
    (tmp_path / "failed").unlink()
    library.unlink()
    with pytest.raises(BuildError, match=r"scale\.cu does not compile"):
        run(Kernel(scale, "scale"))
    assert not os.listdir(fresh_cache)
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    assert uses_openmp(library)


@needs_compiler
def test_libraries_with_and_without_openmp_have_two_keys(
    scale: Path, tmp_path: Path, fresh_cache: Path, new_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = f'[ ! -e {tmp_path}/refuse ] || for a in "$@"; do [ "$a" != -fopenmp ] || exit 1; done'
    wrapped_compiler(tmp_path, monkeypatch, refuse)
    (tmp_path / "refuse").touch()
    run(Kernel(scale, "scale"))
    (without,) = fresh_cache.glob("scale-*.so")
    assert not uses_openmp(without)
    (tmp_path / "refuse").unlink()
    _has_openmp.cache_clear()
    run(Kernel(scale, "scale"))
    (with_openmp,) = set(fresh_cache.glob("scale-*.so")) - {without}
    assert uses_openmp(with_openmp)


@needs_compiler
def test_ctrl_c_at_a_terminal_does_not_reach_the_compiler(
    scale: Path, tmp_path: Path, fresh_cache: Path, new_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may go on after SIGINT, as training does to finish its step."""
    wrapped_compiler(tmp_path, monkeypatch, f"case $1 in --version) ;; *) touch {tmp_path}/started; sleep 1;; esac")
    command = separate_process(scale)
    command[2] = "import signal; signal.signal(signal.SIGINT, lambda *_: None)\n" + command[2]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(tmp_path / "started")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate()[0].strip() == str((2 * X).tolist())
    (library,) = fresh_cache.glob("scale-*.so")
    assert uses_openmp(library)


@needs_compiler
def test_a_process_killed_while_it_builds_costs_nothing_but_time(
    scale: Path, tmp_path: Path, fresh_cache: Path, new_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = f"echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/started; sleep 60"
    wrapped_compiler(tmp_path, monkeypatch, f"case $1 in --version) ;; *) {started};; esac")
    process = subprocess.Popen(separate_process(scale), stdout=subprocess.PIPE, start_new_session=True)
    wait_for(tmp_path / "started")
    process.kill()
    process.communicate()
    # The compiler has a session of its own and would go on: it may write to its folder at any time.
    os.kill(int((tmp_path / "started").read_text()), signal.SIGKILL)
    monkeypatch.delenv("CXX")
    find_compiler.cache_clear()
    (leftover,) = fresh_cache.iterdir()
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)
    (library,) = fresh_cache.glob("scale-*.so")
    assert leftover.is_dir()  # another process could still build in it
    library.unlink()
    os.utime(leftover, (0, 0))
    run(Kernel(scale, "scale"))
    assert list(fresh_cache.iterdir()) == [library]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_compiler
@pytest.mark.parametrize("arguments", ["", " -DUNUSED", " -D'UNUSED=a b'"])
def test_cxx_may_be_a_wrapper_with_arguments(
    arguments: str, scale: Path, tmp_path: Path, fresh_cache: Path, new_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_compiler()[0]
    find_compiler.cache_clear()
    wrapper = fake_compiler(tmp_path, 'exec "$@"')
    monkeypatch.setenv("CXX", f"{wrapper} {real}{arguments}")
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)


@needs_compiler
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (': > "$a"; exit 0', "the compiler wrote no library"),
        ("printf '\\377 no' >&2; exit 1", "does not compile:\n\ufffd no"),
    ],
)
def test_a_compiler_that_writes_nothing_or_no_text_is_refused(
    script: str,
    reason: str,
    scale: Path,
    tmp_path: Path,
    fresh_cache: Path,
    new_search: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapped_compiler(tmp_path, monkeypatch, f'for a in "$@"; do case $a in *.o|*.so) {script};; esac; done')
    with pytest.raises(BuildError, match=reason):
        run(Kernel(scale, "scale"))
    assert not os.listdir(fresh_cache)


@needs_compiler
def test_a_library_that_cannot_be_loaded_is_built_again(scale: Path, fresh_cache: Path) -> None:
    subprocess.run(separate_process(scale), check=True, capture_output=True)
    (library,) = fresh_cache.glob("scale-*.so")
    foreign = b"\x7fELF of another machine"
    library.write_bytes(foreign + hashlib.sha256(foreign).digest())
    assert is_intact(library)
    np.testing.assert_array_equal(run(Kernel(scale, "scale")), 2 * X)


@needs_compiler
def test_a_kernel_that_cannot_be_built_is_replaced_by_its_formula_in_mode_auto_only(
    tmp_path: Path,
    fresh_cache: Path,
    new_search: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The compiler builds axpy.cu, which is tried first, and no other file."""
    log = tmp_path / "calls"
    refuse = (
        f'for a in "$@"; do case $a in *.cpp) ! grep -q elementwise $a || {{ echo >> {log}; exit 1; }};; esac; done'
    )
    wrapped_compiler(tmp_path, monkeypatch, refuse)
    monkeypatch.setattr(elementwise.RELU, "_compiled", {})
    monkeypatch.setattr(elementwise.RELU, "_errors", {})
    x = np.linspace(-1, 1, 70_000, dtype=np.float32)
    with kernel_mode("auto"):
        for _ in range(3):
            np.testing.assert_array_equal(kernels.relu(x), np.maximum(x, 0))
        assert why_no_kernels() is None
    assert caplog.text.count("NumPy formula of relu in use instead of its kernel: elementwise.cu does not compile") == 1
    assert len(log.read_text().splitlines()) == 1  # the compiler is not tried again
    for mode in ("cpu", "threads", "check"):
        with kernel_mode(mode), pytest.raises(KernelError, match=r"elementwise\.cu does not compile"):
            kernels.relu(x[:100])
