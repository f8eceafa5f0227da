"""Files: atomic writes, safetensors, checkpoints, CSV.

A checkpoint is one safetensors file: its arrays, and everything else as JSON in the file's header. So arrays and
numbers always come from the same moment. Reading a file never executes anything in it.
"""

import contextlib
import csv
import errno
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .backend import Array, to_device
from .backend.dtypes import REAL_DTYPES
from .errors import CheckpointError, escaped

FORMAT = 2  # of checkpoints. 2: also holds the position within an epoch, random states and the weights' average


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file in one step: at any time it has the old content or the new. Raises OSError with the file's name.

    A link stays, and the file it leads to is written. A device or a pipe is refused: it would become a regular file,
    for root even /dev/null.
    """
    target = Path(os.path.realpath(path))
    if not str(path) or not target.name:  # "" or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, "is a device or a pipe, expected a regular file", str(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(
            error, OSError
        ):  # of a full disk, it names no file; of a folder that is missing, the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    if os.name == "posix":  # only there can a folder be opened, to write its new entry to the disk
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_arrays(
    path: str | Path, arrays: Mapping[str, Array], label: str, metadata: dict[str, str] | None = None
) -> None:
    """Write arrays to a safetensors file, in one step.

    Args:
        path: the file.
        arrays: by name, of any shape and a real dtype, on any device.
        label: the words before the path in an error, such as "checkpoint".
        metadata: texts for the file's header.

    Raises:
        CheckpointError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    try:
        # order="C": safetensors writes the memory in the order it lies in.
        host = {name: np.asarray(to_device(array, "cpu"), order="C") for name, array in arrays.items()}
        atomic_write(path, save(host, metadata=metadata))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{label} {path} could not be written: {reason}") from error


def read_arrays(path: str | Path, label: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file.

    Args:
        path: the file.
        label: the words before the path in an error, such as "checkpoint".

    Raises:
        CheckpointError: the file is missing or damaged, or an array has no real dtype.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise CheckpointError(f"{label} {path} {'is not a regular file' if os.path.exists(path) else 'does not exist'}")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        # TypeError and AttributeError: a dtype that NumPy lacks.
        raise damaged(path, label, error) from error
    except MemoryError as error:
        raise CheckpointError(f"{label} {path} has {os.path.getsize(path):,} bytes: not enough memory") from error
    for name, array in arrays.items():
        if array.dtype not in REAL_DTYPES:  # other packages teach NumPy further dtypes, such as bfloat16
            raise CheckpointError(
                f"{label} {path} has {escaped(name)} in {array.dtype}, expected a dtype of NumPy's own"
            )
    return arrays, metadata


def damaged(path: str | Path, label: str, error: Exception) -> CheckpointError:
    """Return the error for a file that cannot be read as safetensors."""
    return CheckpointError(f"{label} {path} is damaged or not a safetensors file: {error}")


def save_checkpoint(path: str | Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write arrays and a JSON-able description to one safetensors file, in one step. Raises CheckpointError."""
    write_arrays(path, arrays, "checkpoint", {"minisk": json.dumps({**about, "format": FORMAT})})


def load_checkpoint(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return arrays and description as saved. Raises CheckpointError if missing, damaged, or of a newer format."""
    arrays, metadata = read_arrays(path, "checkpoint")
    try:
        about = json.loads(metadata.get("minisk", "{}"))
    except (ValueError, RecursionError, MemoryError) as error:  # RecursionError: JSON nested without end
        raise damaged(path, "checkpoint", error) from error
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise CheckpointError(f"checkpoint {path} was not written by minisk")
    if about["format"] > FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {about['format']}; this minisk reads up to {FORMAT}")
    return arrays, about


def weights_of(arrays: Mapping[str, Array], kind: str = "model") -> dict[str, Array]:
    """Return the arrays of one kind ("model": weights, "average": their moving average) under the model's own names."""
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], line_end: str = "\n") -> str:
    """Return rows as CSV with a header line; None becomes an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
