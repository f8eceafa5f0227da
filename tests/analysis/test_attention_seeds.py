"""The table of several seeds: one row a comparison and unit, and how many seeds agree."""

import attention_seeds
import pytest


def report(*effects):
    rows = [
        {"comparison": "enlarged", "scale": 1.5, "unit": unit, "mean": mean, "low": mean, "high": mean, "found": found}
        for unit, mean, found in effects
    ]
    area = {"unit": "SK_2_1", "correlation": 0.25, "low": 0.125, "high": 0.5, "found": True}
    return {"network": "tiny-0", "images": 1250, "effects": rows, "areas": [area]}


def test_a_row_counts_the_seeds_in_which_the_unit_rises_or_falls():
    one = report(("SK_2_1", 0.5, True), ("SK_3_1", -0.25, True))
    two = report(("SK_2_1", -0.5, True), ("SK_3_1", -0.25, False))
    first, second, area = attention_seeds.table([one, two]).splitlines()[2:]
    assert first.endswith("**+0.500 (+0.500 … +0.500)** | **−0.500 (−0.500 … −0.500)** | 1+, 1− |")
    assert second.endswith("| −0.250 (−0.250 … −0.250) | 1− |")
    assert area.startswith("| rank correlation with the area | SK_2_1 | **+0.250 (+0.125 … +0.500)** |")


def test_reports_of_different_units_are_an_error():
    with pytest.raises(ValueError, match="different units"):
        attention_seeds.table([report(("SK_2_1", 0.5, True)), report(("SK_2_2", 0.5, True))])
