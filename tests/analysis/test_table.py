"""The table of the paper made anew: exact counts, and what is printed beside them."""

import csv
import io

import pytest

from minisk import models
from minisk.analysis import table
from minisk.analysis.summary import summarize
from minisk.cli import main

# Counted from the authors' model files, which were executed: trained parameters, with running statistics, multiply-adds
# at 224, 299 and 320 pixels. The auxiliary classifier of Inception-v3 exists from 299 pixels on.
COUNTS = {
    "resnext50": (25_028_904, 25_097_128, 4_230_479_872, None, None),
    "attentionnext56": (31_318_824, 31_417_256, 6_419_106_816, 11_814_620_928, 13_098_086_400),
    "inception_v3": (27_161_264, 27_197_488, 2_837_921_120, 5_718_899_296, 6_337_853_792 + 5_683_200),
    "resnext50_bam": (25_386_971, 25_456_091, 4_312_626_944, 8_025_162_064, 8_798_968_832),
    "resnext50_cbam": (27_561_496, 27_629_752, 4_236_868_726, 7_882_813_466, 8_639_304_088),
    "seresnext50": (27_559_896, 27_628_120, 4_232_994_816, 7_877_837_056, 8_634_015_744),
    "sknet50": (27_479_784, 27_564_328, 4_462_710_784, None, None),
    "resnext101": (44_177_704, 44_315_560, 7_969_996_800, None, None),
    "attention92": (52_466_344, 52_599_976, 10_533_789_696, 19_359_935_232, 21_495_398_400),
    "dpn92": (37_668_392, 37_793_608, 6_501_684_224, 12_057_572_960, 13_265_945_600),
    "dpn98": (61_570_728, 61_735_624, 11_671_217_152, 21_618_930_688, 23_816_012_800),
    "inception_v4": (42_679_816, 42_742_984, 6_121_894_752, 12_253_974_624, 13_653_827_424),
    "inception_resnet_v2": (55_843_464, 55_904_008, 6_468_961_120, 13_155_794_016, 14_568_593_248),
    "resnext101_bam": (44_535_771, 44_674_523, 8_052_143_872, 14_912_741_712, 16_430_636_032),
    "resnext101_cbam": (48_958_716, 49_096_638, 7_981_168_638, 14_775_450_988, 16_276_094_136),
    "seresnext101": (48_955_416, 49_093_272, 7_974_739_968, 14_767_644_928, 16_267_911_168),
    "sknet101": (48_736_040, 48_908_712, None, None, None),
}
# Elements that pass a batch norm, at the model's own size.
NORM_ELEMENTS = {
    "resnext50": 14_400_512,
    "resnext101": 21_224_448,
    "dpn92": 20_785_408,
    "dpn98": 28_738_304,
    "attentionnext56": 21_876_736,
    "attention92": 24_423_168,
    "inception_v3": 8_971_456,
    "inception_v4": 15_089_184,
    "inception_resnet_v2": 13_519_136,
}


def test_the_table_has_the_seventeen_rows_of_the_paper_in_its_order():
    assert list(models.TABLE_2) == list(COUNTS)
    assert len(models.TABLE_2) == 17


@pytest.mark.parametrize("name", COUNTS)
def test_a_row_has_the_counts_of_the_authors_files(name):
    row = table.count(name)
    found = (row.parameters, row.with_statistics, *row.macs)
    assert [a for a, b in zip(found, COUNTS[name], strict=True) if b not in (None, a)] == []
    assert row.published is models.TABLE_2[name] is models.info(name).published


@pytest.mark.parametrize("name", NORM_ELEMENTS)
def test_batch_norms_of_a_model_have_the_elements_of_the_authors_files(name):
    size = models.input_size(name)
    rows = summarize(models.create(name), (3, size, size), auxiliary=True).rows
    shapes = [row.shape for row in rows if row.kind == "BatchNorm2d"]
    assert sum(c * h * w for c, h, w in shapes) == NORM_ELEMENTS[name]


# One row with a note, one without; a missing error; a note that two rows share.
ROWS = [table.count(name) for name in ("sknet50", "inception_v3", "resnext101", "sknet101")]


def test_text_has_a_line_for_each_model_and_the_numbered_notes():
    lines = table.as_text(ROWS).splitlines()
    expected = ["sknet50", "27,479,784", "27.5", "4,462,710,784", "8,308,733,696", "9,104,379,904", "4.47", "20.79"]
    assert lines[1].split() == [*expected, "19.32"]
    assert lines[2].split()[-4:] == ["5.73", "–", "21.20", "[1]"]
    assert [line.split()[-1] for line in lines[3:5]] == ["[2]", "[2]"]
    assert lines[-1] == f"[2] {models.TABLE_2['sknet101'].note}"
    assert max(map(len, lines)) <= len(lines[0])
    assert "CVPR 2019, table 2" in "".join(lines[5:])


def test_markdown_has_one_cell_for_each_column():
    lines = table.as_markdown(ROWS).splitlines()
    assert {line.count("|") for line in lines[:6]} == {11}
    assert lines[1] == "| :-- |" + " --: |" * 9
    assert lines[2].startswith("| sknet50 | 27,479,784 | 27.5 | 4,462,710,784 |")


def test_csv_has_exact_counts_and_empty_fields_where_the_paper_has_no_figure():
    rows = list(csv.DictReader(io.StringIO(table.as_csv(ROWS))))
    assert rows[1] == {
        "model": "inception_v3",
        "parameters": "27161264",
        "parameters_with_statistics": "27197488",
        "macs_224": "2837921120",
        "macs_299": "5718899296",
        "macs_320": "6343536992",
        "paper_parameters_millions": "27.1",
        "paper_gmacs": "5.73",
        "error_224": "",
        "error_320": "21.2",
        "note": models.TABLE_2["inception_v3"].note,
    }


@pytest.mark.parametrize("format", ["text", "markdown", "csv"])
def test_the_command_prints_each_format(format, monkeypatch, capsys):
    monkeypatch.setattr(table, "count_table", lambda: ROWS)
    assert main(["table", "--format", format]) == 0
    assert capsys.readouterr().out == getattr(table, f"as_{format}")(ROWS).rstrip("\n") + "\n"
