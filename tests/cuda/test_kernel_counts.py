"""The memory-bound kernels in use move hardly any byte twice, and docs/kernels.md lists their counts."""

from __future__ import annotations

import kernel_counts
from agreement import needs_compiler


@needs_compiler
def test_every_kernel_in_use_stays_within_its_limits_and_the_document_lists_its_counts() -> None:
    counts = kernel_counts.count()
    assert [each for each in counts if not each.is_good and each.kernel not in kernel_counts.EXCUSES] == []
    document = kernel_counts.DOCUMENT.read_text(encoding="utf-8")
    assert kernel_counts.table(counts) in document
