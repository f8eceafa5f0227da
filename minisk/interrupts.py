"""Ctrl-C while a command of minisk starts or ends: the process ends without a traceback.

NumPy and minisk take half a second to import, where Python's own handler would raise KeyboardInterrupt. Programs that
import minisk keep that handler.
"""

import os
import signal
import sys
import threading

_PROGRAMS = ("minisk", "train_cifar.py", "train_imagenet.py")


def end_at_interrupt() -> None:
    """Let Ctrl-C end this process, if it is a command of minisk. An ignored or replaced signal stays as it is."""
    if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_at_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, which a command catches, after `end_at_interrupt`."""
    if _is_command and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _runs_command() -> bool:
    """Return whether this process is one of _PROGRAMS or `python -m minisk`, and may set handlers here."""
    arguments = getattr(sys, "argv", None) or [""]
    if threading.current_thread() is not threading.main_thread():
        return False
    # Python writes the path of minisk/__main__.py in place of "-m" only after the import of the package.
    is_module = arguments[0] == "-m" and sys.orig_argv[-len(arguments)] in ("minisk", "-mminisk")
    return is_module or os.path.basename(arguments[0]) in _PROGRAMS


_is_command = _runs_command()
end_at_interrupt()
