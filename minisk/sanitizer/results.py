"""The results of `minisk check` for programs: JSON, and SARIF 2.1.0 for the code scanning of GitHub and others."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..runtime.findings import Finding
from .check import KernelCheck
from .gpu import GpuReport

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class FileResult(NamedTuple):
    """What was found in one file.

    error: why it could not be checked, or ""; left_out: the host code that was not compiled, such as "main (line 12)".
    """

    file: str
    checks: list[KernelCheck]
    gpu: GpuReport | None
    error: str
    left_out: Sequence[str] = ()

    @property
    def findings(self) -> list[Finding]:
        """The mistakes, of all launches and of the compiler for a GPU."""
        found = [finding for check in self.checks for report in check.reports for finding in report.findings]
        return found + (self.gpu.findings if self.gpu else [])

    @property
    def hints(self) -> list[Finding]:
        """What a GPU executes as meant, but which deserves a look."""
        return [hint for check in self.checks for report in check.reports for hint in report.hints]

    @property
    def not_tried(self) -> list[KernelCheck]:
        """The kernels that were not tried."""
        return [check for check in self.checks if check.not_tried]

    @property
    def launches(self) -> int:
        """How many launches were checked."""
        return sum(len(check.reports) for check in self.checks)


def exit_status(results: list[FileResult]) -> int:
    """Return 1 for findings, else 2 for a file that could not be checked, else 3 for a kernel not tried, else 0."""
    if any(result.findings for result in results):
        return 1
    if any(result.error for result in results):
        return 2
    return 3 if any(result.not_tried for result in results) else 0


def as_json(results: list[FileResult]) -> str:
    """Return the results as JSON; docs/check-files.md describes the fields."""
    return json.dumps(
        {"version": 1, "status": exit_status(results), "files": [_file(each) for each in results]}, indent=1
    )


def _file(result: FileResult) -> dict[str, Any]:
    launches = [
        {
            "kernel": check.kernel,
            "launch": report.launch,
            "findings": [_finding(finding, result.file) for finding in [*report.findings, *report.hints]],
        }
        for check in result.checks
        for report in check.reports
    ]
    not_tried = [
        {"kernel": check.kernel, "place": check.place, "reason": check.not_tried, "suggestion": check.suggestion}
        for check in result.not_tried
    ]
    fields: dict[str, Any] = {"file": result.file, "launches": launches, "not_tried": not_tried}
    fields["left_out"] = list(result.left_out)
    if result.gpu:
        usages = [
            {"kernel": each.kernel, "block": each.block, "occupancy": each.occupancy, **each.usage._asdict()}
            for each in result.gpu.usages
        ]
        found = [_finding(finding, result.file) for finding in result.gpu.findings]
        fields["gpu"] = {"architecture": f"sm_{result.gpu.architecture}", "findings": found, "kernels": usages}
    return fields | ({"error": result.error} if result.error else {})


def _finding(finding: Finding, file: str) -> dict[str, Any]:
    path, line = _location(finding, file)
    severity = "hint" if finding.is_hint else "error"
    fields = {"kind": finding.kind, "severity": severity, "message": finding.sentence, "times": finding.times}
    return fields | {"file": path, "line": line}


def _location(finding: Finding, file: str) -> tuple[str, int]:
    """Return the file and the line of a finding; line 1 of the kernel file if it has none.

    In a function called at another line, it is the line within the function.
    """
    place, _, _ = finding.place.partition(" called at ")
    name, _, line = place.partition(":")
    if not line.isdigit():
        return file, 1
    if name == Path(file).name:
        return file, int(line)
    return next((str(path) for path in sorted(Path(file).parent.rglob(name))), file), int(line)


def as_sarif(results: list[FileResult], version: str) -> str:
    """Return the results as SARIF: findings are errors, hints are notes, kernels that were not tried are warnings.

    version: of minisk.
    """
    entries = []
    for result in results:
        for finding in [*result.findings, *result.hints]:
            level, (path, line) = "note" if finding.is_hint else "error", _location(finding, result.file)
            entries.append(_entry(finding.kind, level, finding.sentence, path, line))
        for check in result.not_tried:
            line = int(check.place.rpartition(":")[2] or 1)
            entries.append(_entry("not tried", "warning", f"{check.kernel}: {check.not_tried}", result.file, line))
        if result.error:
            entries.append(_entry("not checked", "error", result.error, result.file, 1))
    rules = [{"id": kind, "name": kind} for kind in dict.fromkeys(entry["ruleId"] for entry in entries)]
    driver = {"name": "minisk check", "version": version, "rules": rules}
    run = {"tool": {"driver": driver}, "results": entries, "columnKind": "utf16CodeUnits"}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _entry(kind: str, level: str, message: str, path: str, line: int) -> dict[str, Any]:
    region = {"artifactLocation": {"uri": Path(path).as_posix()}, "region": {"startLine": line}}
    rule = kind.replace(" ", "-")
    return {"ruleId": rule, "level": level, "message": {"text": message}, "locations": [{"physicalLocation": region}]}
