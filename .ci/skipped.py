"""Print the tests that a run skipped, one node id a line: `python .ci/skipped.py REPORT.xml > ids; pytest @ids`.

REPORT.xml is what `pytest --junitxml` writes. Tests that need a GPU are left out.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

NEEDS_GPU = "no CUDA driver"


def node_id(class_name: str, test: str) -> str:
    """Return file::Class::test for JUnit's class name, such as tests.gpu.test_gpu.TestGpu."""
    parts = class_name.split(".")
    for count in range(len(parts), 0, -1):
        file = Path(*parts[:count]).with_suffix(".py")
        if file.exists():
            return "::".join([str(file), *parts[count:], test])
    raise FileNotFoundError(f"no file for {class_name}")


def main(report: str) -> None:
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if skipped is not None and NEEDS_GPU not in skipped.get("message", ""):
            print(node_id(case.get("classname", ""), case.get("name", "")))


if __name__ == "__main__":
    main(sys.argv[1])
