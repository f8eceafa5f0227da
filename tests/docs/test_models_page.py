"""docs/models.md: its table is the one that `minisk table` prints."""

from pathlib import Path

from minisk import models
from minisk.analysis.table import as_markdown, count_table

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_table_is_as_the_command_prints_it():
    _, _, rest = PAGE.partition("<!-- minisk table: begin -->\n")
    table, end, _ = rest.partition("\n<!-- minisk table: end -->")
    assert end and table == as_markdown(count_table()), "run `python -m minisk table --format markdown`"


def test_every_file_of_models_is_named():
    folder = Path(models.__file__).parent
    shared = {"__init__", "inception", "network", "pretrained", "published", "registry", "residual"}
    files = [path.name for path in folder.glob("*.py") if path.stem not in shared]
    assert [name for name in files if f"`minisk/models/{name}`" not in PAGE] == []
