"""docs/cuda-words.md is what tools/cuda_words.py makes from the headers."""

from __future__ import annotations

import cuda_words
from host_library import needs_compiler


@needs_compiler
def test_the_page_of_cudas_words_is_up_to_date() -> None:
    assert cuda_words.PAGE.read_text(encoding="utf-8") == cuda_words.page(), "run `python tools/cuda_words.py`"
