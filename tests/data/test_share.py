"""The shares of all processes together are the batch that one process would get."""

import numpy as np
import pytest
from photographs import make_tree

from minisk.data import Augment, ImageFolder, Loader, Mix, RandomResizedView, Share, make_shapes

AUGMENT = Augment(crop_padding=2, cutout=3, jitter=0.3, lighting=0.1)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "cache"))
    return make_tree(tmp_path / "tree")


def batches(dataset, size, parts=1, workers=0, mix=None):
    """Return the batches of an epoch, put together from the shares of all ranks."""
    settings = {"shuffle": True, "augment": AUGMENT, "mean": 0.5, "std": 0.25, "seed": 3, "mix": mix}
    loaders = [Loader(dataset, 7, share=Share(rank, size, parts), workers=workers, **settings) for rank in range(size)]
    whole = []
    for number, shares in enumerate(zip(*(loader.epoch(1) for loader in loaders), strict=True)):
        count = min(7, len(dataset) - 7 * number)
        images = np.empty((count, *shares[0][0].shape[1:]), np.float32)
        labels = np.empty((count, *shares[0][1].shape[1:]), shares[0][1].dtype)
        for rank, (own_images, own_labels) in enumerate(shares):
            rows = Share(rank, size, parts).positions(count)
            images[rows], labels[rows] = own_images, own_labels
        whole.append((images, labels))
    return whole


def assert_same(found, expected):
    for (images, labels), (others, theirs) in zip(found, expected, strict=True):
        assert images.tobytes() == others.tobytes() and labels.tobytes() == theirs.tobytes()


# 20 images are batches of 7, 7 and 6; 4 ranks share 7 images unevenly, in 2 parts of 4 and 3.
@pytest.mark.parametrize(("size", "parts"), [(2, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("mix", [None, Mix(10, mixup=0.4)], ids=["", "mixup"])
def test_shares_of_images_in_memory_make_up_the_batch(size, parts, mix):
    dataset = make_shapes(20, seed=1)
    assert_same(batches(dataset, size, parts, mix=mix), batches(dataset, 1, mix=mix))


@pytest.mark.parametrize("workers", [0, 1])
def test_shares_of_photographs_make_up_the_batch(tree, workers):
    dataset = ImageFolder(tree, "train", RandomResizedView(16))
    assert_same(batches(dataset, 2, workers=workers), batches(dataset, 1))


def test_a_process_reads_its_own_photographs_only(tree, monkeypatch):
    dataset = ImageFolder(tree, "train", RandomResizedView(16))
    read, real = [], ImageFolder.content

    def content(self, index):
        read.append(index)
        return real(self, index)

    monkeypatch.setattr(ImageFolder, "content", content)
    loader = Loader(dataset, 6, mean=0.5, std=0.25, share=Share(1, 3), prefetch=0)
    assert [len(images) for images, _ in loader.epoch(0)] == [2, 2]
    assert read == [2, 3, 8, 9]


def test_a_photograph_that_cannot_be_read_is_missing_in_the_share_of_its_process(tree):
    dataset = ImageFolder(tree, "train", RandomResizedView(16))
    (dataset.folder / dataset.files[1]).write_bytes(b"no image")
    sizes = []
    for rank in range(2):
        loader = Loader(dataset, 6, mean=0.5, std=0.25, share=Share(rank, 2), max_broken=1)
        sizes.append([len(images) for images, _ in loader.epoch(0)])
    assert sizes == [[2, 3], [3, 3]]


def test_sizes_count_the_images_of_each_part():
    assert [Share(rank, 3, parts=2).sizes(11) for rank in range(3)] == [[2, 2], [2, 2], [2, 1]]
    assert sorted(np.concatenate([Share(rank, 3, 2).positions(11) for rank in range(3)])) == list(range(11))


def test_every_second_batch():
    loader = Loader(make_shapes(20, seed=1), 4, mean=0.5, std=0.25)
    all_batches = list(loader.epoch(0))
    assert_same(list(loader.epoch(0, 1, 2)), all_batches[1::2])
