"""The Loader: which batches it gives, that no bit depends on timing, and that its thread ends."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from data_samples import assert_same_batches, dataset_with, numbered_dataset

from minisk.data import Loader, standard_augment
from minisk.errors import DataError

REPOSITORY = Path(__file__).parents[2]


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minisk-loader")]


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test():
    yield
    assert loader_threads() == []


def random_loader(prefetch=2, seed=1, **options):
    return Loader(
        numbered_dataset(25), 4, shuffle=True, augment=standard_augment, seed=seed, prefetch=prefetch, **options
    )


@pytest.mark.parametrize("prefetch", [1, 4, 100])
def test_prefetching_changes_no_bit(prefetch):
    assert_same_batches(random_loader(prefetch).epoch(3), random_loader(prefetch=0).epoch(3))


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7])  # … the last batch, and none
@pytest.mark.parametrize("prefetch", [0, 2])
def test_starting_in_the_middle_changes_no_bit(start, prefetch):
    whole = list(random_loader(prefetch).epoch(2))
    assert_same_batches(random_loader(prefetch).epoch(2, start), whole[start:])


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    def order(loader, epoch):
        return np.concatenate([labels for _, labels in loader.epoch(epoch)]).tolist()

    orders = [order(random_loader(), 0), order(random_loader(), 1), order(random_loader(seed=2), 0)]
    assert all(sorted(one) == list(range(25)) for one in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert order(Loader(numbered_dataset(), 4), 1) == list(range(10))


def test_augmentation_differs_between_epochs_and_batches():
    one_image = np.repeat(numbered_dataset(1).images, 128, axis=0)
    loader = Loader(dataset_with(images=one_image, labels=np.zeros(128, np.int64)), 64, augment=standard_augment)
    first, second = (images for images, _ in loader.epoch(0))
    other_epoch = next(loader.epoch(1))[0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other_epoch)


def test_the_first_batch_is_not_augmented_by_the_stream_that_orders_the_epoch():
    drawn = []

    def augment(images, rng):
        drawn.append(rng.permutation(25).tolist())
        return images

    loader = Loader(numbered_dataset(25), 25, shuffle=True, augment=augment, prefetch=0)
    (_, labels), *_ = loader.epoch(0)
    assert drawn[0] != labels.tolist()


def test_a_batch_is_its_images_normalised_and_their_labels():
    dataset = numbered_dataset()
    batches = list(Loader(dataset, 4, mean=0.5, std=(0.5, 0.25, 1.0)))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    images, labels = batches[2]
    assert (images.dtype, images.shape, labels.dtype) == (np.float32, (2, 3, 8, 8), np.int64)
    expected = (dataset.images[8:] / 255 - 0.5) / np.array([0.5, 0.25, 1.0]).reshape(3, 1, 1)
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)


def test_batches_have_zero_mean_and_unit_deviation_by_default():
    ((images, _),) = Loader(numbered_dataset(), 10)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "drop_last", "lengths"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, False, [4, 4]), (8, True, [4, 4]), (3, True, [])],
)
def test_drop_last_leaves_out_a_batch_that_is_not_full(count, drop_last, lengths):
    loader = Loader(numbered_dataset(count), 4, drop_last=drop_last)
    assert [len(labels) for _, labels in loader] == lengths
    assert len(loader) == len(lengths)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"seed": -1}, {"prefetch": -1}, {"workers": -1}, {"max_broken": -1}]
)
def test_a_loader_refuses_numbers_out_of_range(options):
    with pytest.raises(DataError, match=r"Loader: .*expected at least 1, 0, 0, 0 and 0"):
        Loader(numbered_dataset(), **{"batch_size": 4, **options})


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 4)])
def test_an_epoch_refuses_numbers_out_of_range_at_once(epoch, start):
    with pytest.raises(DataError, match="expected"):
        Loader(numbered_dataset(), 4).epoch(epoch, start)


# --- the Loader's thread --------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefetch", "expected"), [(0, threading.main_thread().name), (2, "minisk-loader_0")])
def test_batches_are_made_in_a_thread_only_when_prefetching(prefetch, expected):
    makers = set()

    def augment(images, rng):
        makers.add(threading.current_thread().name)
        return images

    list(Loader(numbered_dataset(), 4, augment=augment, prefetch=prefetch))
    assert makers == {expected}


def test_the_thread_makes_no_more_than_prefetch_batches_ahead():
    made = []

    def augment(images, rng):
        made.append(len(images))
        return images

    batches = Loader(numbered_dataset(40), 1, augment=augment, prefetch=3).epoch(0)
    for _ in range(5):
        next(batches)
    batches.close()  # waits for the thread, so the count is final
    assert 5 <= len(made) <= 5 + 3


def test_closing_an_iterator_ends_its_thread_and_the_iteration():
    batches = random_loader().epoch(0)
    next(batches)
    assert len(loader_threads()) == 1
    batches.close()
    assert loader_threads() == []
    assert list(batches) == []
    batches.close()


def test_dropping_an_iterator_ends_its_thread():
    for _ in random_loader(prefetch=3):
        break
    gc.collect()
    assert loader_threads() == []


def test_an_iterator_never_started_starts_no_thread():
    batches = random_loader().epoch(0)
    assert loader_threads() == []
    del batches


def test_two_epochs_may_run_side_by_side():
    loader = random_loader()
    pairs = list(zip(loader.epoch(0), loader.epoch(1), strict=True))
    assert_same_batches([pair[0] for pair in pairs], loader.epoch(0))
    assert_same_batches([pair[1] for pair in pairs], loader.epoch(1))


class Unlucky(Exception):
    """An exception that minisk cannot know."""


@pytest.mark.parametrize("error", [Unlucky, DataError, SystemExit])
@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_an_exception_arrives_with_its_type_when_its_batch_is_due(prefetch, error):
    made = []

    def augment(images, rng):
        made.append(1)
        if len(made) == 3:
            raise error("third batch")
        return images

    batches = Loader(numbered_dataset(), 2, augment=augment, prefetch=prefetch).epoch(0)
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(error, match="third batch"):
        next(batches)
    assert loader_threads() == []
    assert list(batches) == []


def test_an_iterator_may_be_collected_in_its_own_thread():
    # In a reference cycle, it is whichever thread happens to collect garbage that closes it.
    dropped = threading.Event()
    made = []

    def augment(images, rng):
        made.append(1)
        if len(made) == 2:
            assert dropped.wait(timeout=60)
            gc.collect()
        return images

    gc.collect()
    gc.disable()
    try:
        cycle = [Loader(numbered_dataset(), 2, augment=augment, prefetch=2).epoch(0)]
        cycle.append(cycle)
        assert next(cycle[0])[1].tolist() == [0, 1]
        (thread,) = loader_threads()
        del cycle
        dropped.set()
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert len(made) == 2
    finally:
        gc.enable()


def test_an_iterator_still_open_is_stopped_before_the_interpreter_exits():
    script = (
        "import atexit, threading\n"
        "from minisk.data import Loader, make_shapes\n"
        "atexit.register(lambda: print(threading.active_count(), 'thread'))\n"  # first registered, last run
        "batches = Loader(make_shapes(64, 0), 4, prefetch=2).epoch(0)\n"
        "print(next(batches)[1].shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(4,)\n1 thread\n", "")
