"""What a run stores about NumPy's BLAS."""

import mmap
import os

from minisk.training.blas import blas_core, blas_threads


def test_a_file_in_memory_may_have_a_path_that_is_not_utf8(tmp_path):
    before = blas_core(), blas_threads()
    path = os.fsencode(tmp_path) + b"/\xff"
    with open(path, "wb+") as file:
        file.write(b"0" * mmap.PAGESIZE)
        file.flush()
        with mmap.mmap(file.fileno(), 0):  # Linux lists it in /proc/self/maps, as it does libraries
            assert (blas_core(), blas_threads()) == before
