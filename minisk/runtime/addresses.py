"""Source lines of addresses in a built library, by addr2line."""

import subprocess
from collections.abc import Collection
from pathlib import Path


class Addresses:
    """The source lines of a library's code.

    Args:
        library: its path.
    """

    def __init__(self, library: Path) -> None:
        self.library = library
        self._frames: dict[int, list[str]] = {0: []}

    def look_up(self, addresses: Collection[int]) -> None:
        """Find the places of many addresses at once: one run of addr2line takes 10 ms."""
        wanted = sorted(set(addresses) - self._frames.keys())
        if not wanted:
            return
        command = ["addr2line", "-a", "-i", "-e", str(self.library), *map(hex, wanted)]
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=True)
        for line in done.stdout.splitlines():
            if line.startswith("0x"):  # an address; its frames follow, a line each
                frames = self._frames[int(line, 16)] = []
            else:
                frames.append(line.partition(" (discriminator")[0])

    def place(self, address: int, caller: int = 0) -> str:
        """Return "file:line": the innermost frame in the kernel file, then the one that called it.

        Frames of the executor's own headers are left out. "" if the address is in none of the kernel's lines.

        Args:
            address: in the library.
            caller: where the function at `address` was called, if it was not inlined; 0 if that is not known.
        """
        self.look_up([address, caller])
        return _place([*self._frames[address], *self._frames[caller]])


def _place(frames: list[str]) -> str:
    names: list[str] = []
    for frame in frames:
        name = Path(frame).name
        if ":" in frame and "/runtime/include/" not in frame and not name.startswith("?") and name not in names:
            names.append(name)
    return " called at ".join(names[:2])
