"""The launched memory-bound kernels move next to nothing twice, and docs/kernels.md says how much."""

from __future__ import annotations

from agreement import needs_compiler

from tools import kernel_counts


@needs_compiler
def test_every_launched_kernel_keeps_to_its_counts_and_the_document_lists_them() -> None:
    counts = kernel_counts.count()
    assert [each for each in counts if not each.is_good and each.kernel not in kernel_counts.EXCUSES] == []
    document = kernel_counts.DOCUMENT.read_text(encoding="utf-8")
    assert kernel_counts.table(counts) in document
