"""Check that an sdist and a wheel hold every file they need: `python .ci/packaged.py SDIST.tar.gz WHEEL.whl`.

Both need every file of minisk/ that git tracks. The sdist also needs the files that build, run and test it.
"""

import subprocess
import sys
import tarfile
import zipfile

SOURCES = ["README.md", "LICENSE", "CHANGELOG.md", "setup.py", "pyproject.toml", "train_cifar.py"]
SOURCES += ["tests", "tools", "book"]


def tracked(*paths: str) -> set[str]:
    """List the files that git tracks under paths; fail if a path has none."""
    listed = subprocess.run(["git", "ls-files", "--error-unmatch", *paths], check=True, capture_output=True, text=True)
    return set(listed.stdout.splitlines())


def main(sdist: str, wheel: str) -> int:
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    missing = [f"{sdist}: {name} is missing" for name in sorted(tracked("minisk", *SOURCES) - in_sdist)]
    missing += [f"{wheel}: {name} is missing" for name in sorted(tracked("minisk") - in_wheel)]
    print(
        "\n".join(missing) or f"{len(in_sdist)} entries in the sdist, {len(in_wheel)} in the wheel: nothing is missing"
    )
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
