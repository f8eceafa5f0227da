"""The model of a step, where its formulas are simple enough to compute by hand."""

import pytest

from minisk.cli import main
from minisk.cli.scaling import layers_of
from minisk.distributed.scaling import Layer, Machine, predict_step

MACHINE = Machine(images_per_second=10, bandwidth=4e6, latency=0.01)
# 3 images: 0.3 s, of which backward is 0.2 s; the second layer has a quarter of it.
LAYERS = [Layer(3, 1_000_000, 0), Layer(1, 1_000_000, 64)]


def test_one_rank_only_computes():
    found = predict_step(LAYERS, 3, 1, MACHINE, 1, sync_bn=True)
    assert (found.seconds, found.efficiency) == pytest.approx((0.3, 1))
    assert found.images_per_second == pytest.approx(10)


def test_a_bucket_starts_when_its_last_layer_is_done_and_the_one_before_it_is_sent():
    found = predict_step(LAYERS, 3, 2, MACHINE, 4e6, sync_bn=False)
    # A bucket is 4 MB: 2 messages of 10 ms, and 2 · 1/2 · 4 MB at 4 MB/s. The first starts at 0.05 s of backward.
    assert found.sums == pytest.approx(2 * 1.02)
    assert found.exposed == pytest.approx(0.05 + 2 * 1.02 - 0.2)


def test_one_bucket_is_sent_after_backward():
    found = predict_step(LAYERS, 3, 4, MACHINE, 1e9, sync_bn=False)
    assert found.exposed == found.sums == pytest.approx(6 * 0.01 + 6 / 4 * 8e6 / 4e6)


def test_synchronised_batch_norm_costs_two_exchanges_a_layer():
    found = predict_step(LAYERS, 3, 4, MACHINE, 1e9, sync_bn=True)
    assert found.batch_norm == pytest.approx(2 * 2 * 0.01 + 3 * 8 * 5 * 64 / 4e6)


def test_layers_of_a_model_have_all_its_parameters_and_batch_norms():
    layers = layers_of("sknet50")
    assert sum(layer.parameters for layer in layers) == 27_479_784
    assert sum(layer.channels > 0 for layer in layers) == 85


MEASURED = ["--images-per-second", "400", "--bandwidth", "12.5", "--latency", "10"]


def test_command_prints_a_row_for_each_number_of_ranks(capsys):
    assert main(["scaling", "sknet_small", "--batch-size", "32", *MEASURED]) == 0
    about, assumed, _, header, *rows = capsys.readouterr().out.splitlines()
    assert "batch norms, synchronised" in about and "assumed: 32 images a rank, 400 images/s" in assumed
    assert header.split()[0] == "ranks"
    assert [int(row.split()[0]) for row in rows] == [2**power for power in range(11)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "0"], "--batch-size 0 must be at least 1"),
        (["--batch-size", "1", "--bandwidth", "0"], "--bandwidth 0.0 must be above 0"),
        (["--batch-size", "1", "--ranks", "0"], "--ranks must be from 1 to 10,000,000"),
        (["--batch-size", "1", "--ranks", "9" * 400], "--ranks must be from 1 to 10,000,000"),
        (["--batch-size", "9" * 400], "must be at most 10,000,000"),
        (["--batch-size", "1", "--images-per-second", "1e400"], "--images-per-second inf must be above 0, and finite"),
        (["--batch-size", "1", "--latency", "nan"], "--latency nan must be at least 0, and finite"),
    ],
)
def test_command_refuses_numbers_out_of_range(flags, message, capsys):
    assert main(["scaling", "sknet_small", *MEASURED, *flags]) == 1
    assert message in capsys.readouterr().err
