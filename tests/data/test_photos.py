"""Trees and shards of photographs: the same images in the same classes, found once, resumed at any batch."""

import io
import json
import logging
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from photographs import CLASSES, jpeg, make_tree, photograph

from minisk.data import Loader
from minisk.data.image_folder import ImageFolder
from minisk.data.shards import ImageShards, write_shards
from minisk.data.views import CenterView, RandomResizedView
from minisk.errors import DataError

VIEW = CenterView(16)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


@pytest.fixture
def shards(tree, tmp_path):
    for split in ("train", "test"):
        write_shards(ImageFolder(tree, split, VIEW), split, tmp_path / "shards", photographs=3)
    return tmp_path / "shards"


def contents(dataset):
    """Return the photographs and their labels, in an order that both kinds of storage share."""
    images, labels = dataset.fetch(range(len(dataset)))
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("split", ["train", "test"])
def test_tree_and_shards_hold_the_same_photographs(tree, shards, split):
    folder, tars = ImageFolder(tree, split, VIEW), ImageShards(shards, split, VIEW)
    assert len(folder) == {"train": 12, "test": 6}[split]
    assert folder.classes == tars.classes == CLASSES
    assert contents(folder) == contents(tars)


def epochs(dataset, workers, start=0):
    loader = Loader(dataset, 4, shuffle=True, mean=0.5, std=0.25, workers=workers, seed=5)
    return [batch for epoch in (0, 1) for batch in list(loader.epoch(epoch, start if epoch == 0 else 0))]


@pytest.mark.parametrize("kind", [ImageFolder, ImageShards])
def test_batches_have_the_same_bits_with_workers_and_after_a_restart(tree, shards, kind):
    dataset = kind(tree if kind is ImageFolder else shards, "train", RandomResizedView(16))
    alone = epochs(dataset, workers=0)
    assert len({images.tobytes() for images, _ in alone}) == 6
    for other, offset in ((epochs(dataset, workers=2), 0), (epochs(dataset, workers=0, start=2), 2)):
        for (x, labels), (y, others) in zip(alone[offset:], other, strict=True):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(labels, others)


def test_up_to_four_shards_give_the_batches_of_their_tree(tree, shards):
    view = RandomResizedView(16)
    of_tree, of_shards = (
        Loader(dataset, 2, shuffle=True, mean=0.5, std=0.25, seed=3)
        for dataset in (ImageFolder(tree, "train", view), ImageShards(shards, "train", view))
    )
    for epoch in (0, 1):
        for expected, found in zip(of_tree.epoch(epoch), of_shards.epoch(epoch), strict=True):
            assert np.array_equal(expected[0], found[0]) and np.array_equal(expected[1], found[1])


def test_epoch_of_shards_reads_few_shards_at_a_time(tree, tmp_path):
    write_shards(ImageFolder(tree, "train", VIEW), "train", tmp_path / "one", photographs=1)
    dataset = ImageShards(tmp_path / "one", "train", VIEW)
    order = dataset.order(np.random.default_rng(0))
    assert sorted(order) == list(range(12))
    groups = [set(dataset.shard_of[order[i : i + 4]]) for i in (0, 4, 8)]
    assert all(len(group) == 4 for group in groups)
    assert not np.array_equal(order, dataset.order(np.random.default_rng(1)))


def test_photographs_in_folders_below_a_class_belong_to_it(tree):
    below = tree / "train" / "n02" / "more" / "deep"
    below.mkdir(parents=True)
    (below / "ü ß.png").write_bytes(jpeg(photograph(9)))
    assert (ImageFolder(tree, "train", VIEW).labels == 1).sum() == 5


def test_unchanged_tree_is_not_listed_again_and_a_changed_one_is(tree, monkeypatch):
    before = ImageFolder(tree, "train", VIEW).files
    scans, scandir = [], os.scandir

    def noted(folder):
        if "train" in str(folder):
            scans.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", noted)
    assert ImageFolder(tree, "train", VIEW).files == before
    assert scans == []
    (tree / "train" / "n01" / "new.jpg").write_bytes(jpeg(photograph(8)))
    assert len(ImageFolder(tree, "train", VIEW)) == len(before) + 1
    assert scans != []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1}', b"[" * 100_000])
def test_damaged_list_in_the_cache_is_made_anew(tree, damage, tmp_path):
    before = ImageFolder(tree, "train", VIEW).files
    cache = os.environ["MINISK_CACHE"]
    (kept,) = [os.path.join(cache, "trees", name) for name in os.listdir(os.path.join(cache, "trees"))]
    with open(kept, "wb") as file:
        file.write(damage)
    assert ImageFolder(tree, "train", VIEW).files == before


def test_a_tree_is_listed_for_a_user_without_a_home_folder(tree, monkeypatch, caplog):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MINISK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert len(ImageFolder(tree, "train", VIEW)) == 12
    assert caplog.messages == [
        f"the list of {tree / 'train'} can't be kept: the user has no home folder; set MINISK_CACHE"
    ]


def test_animated_gifs_are_counted_once_when_a_tree_is_listed(tree, caplog):
    frames = [photograph(seed) for seed in range(3)]
    for label in ("n01", "n02"):
        frames[0].save(tree / f"train/{label}/moving.GIF", save_all=True, append_images=frames[1:])
    frames[0].save(tree / "train/n01/still.gif")
    (tree / "train/n03/broken.gif").write_bytes(b"GIF89a")  # an error only when it is decoded
    path = tree / "train/n01/moving.GIF"
    expected = f"imagenet: animated GIFs, of which only the first frame is read: 2, such as {path}"
    for _ in range(2):  # the second time, the list comes from the cache
        dataset = ImageFolder(tree, "train", VIEW)
        assert [record.getMessage() for record in caplog.records] == [expected]
    index = dataset.files.index("n01/moving.GIF")
    assert dataset.fetch([index])[0].shape == (1, 3, VIEW.size, VIEW.size)


def test_class_without_validation_images_is_a_warning(tree, caplog):
    for path in (tree / "val" / "n02").iterdir():
        path.unlink()
    (tree / "val" / "n02").rmdir()
    with caplog.at_level(logging.WARNING):
        dataset = ImageFolder(tree, "test", VIEW)
    assert "classes without an image in" in caplog.text and ": 1, such as" in caplog.text
    assert sorted(set(dataset.labels)) == [0, 2]


def test_validation_class_without_training_images_is_refused(tree):
    (tree / "val" / "n09").mkdir()
    (tree / "val" / "n09" / "a.jpg").write_bytes(jpeg(photograph(1)))
    with pytest.raises(DataError, match="n09 is a class that the training images lack"):
        ImageFolder(tree, "test", VIEW)


@pytest.mark.parametrize("what", ["missing", "empty", "dangling", "no class"])
def test_wrong_tree_is_one_sentence(tmp_path, what):
    root = make_tree(tmp_path / "t")
    if what == "missing":
        root = tmp_path / "nowhere"
    elif what == "empty":
        (root / "train" / "n00").mkdir()
    elif what == "dangling":
        (root / "train" / "n05").symlink_to(tmp_path / "gone")
    else:
        (tmp_path / "flat" / "train").mkdir(parents=True)
        root = tmp_path / "flat"
    with pytest.raises(DataError, match=r"has no folder train|has no image file|does not exist|has no class folder"):
        ImageFolder(root, "train", VIEW)


# --- class files ------------------------------------------------------------------------------------------


def flatten(root):
    """Move the validation images into one flat folder; return the class of each, by file."""
    moved = {}
    for number, path in enumerate(sorted((root / "val").glob("*/*"), key=lambda path: path.name[::-1])):
        file = f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        moved[file] = path.parent.name
        path.rename(root / "val" / file)
    for folder in (root / "val").iterdir():
        if folder.is_dir():
            folder.rmdir()
    return moved


LABEL_FILES = {
    "LOC_val_solution.csv": lambda moved: (
        "ImageId,PredictionString\n" + "".join(f"{file[:-5]},{name} 1 2 3 4\n" for file, name in moved.items())
    ),
    "val.txt": lambda moved: "".join(f"{file} {CLASSES.index(name)}\n" for file, name in moved.items()),
    "imagenet_2012_validation_synset_labels.txt": lambda moved: "".join(f"{name}\n" for name in moved.values()),
}


@pytest.mark.parametrize("file", LABEL_FILES)
def test_flat_validation_folder_takes_its_labels_from_a_file(tree, file):
    expected = contents(ImageFolder(tree, "test", VIEW))
    moved = flatten(tree)
    (tree / file).write_text(LABEL_FILES[file](moved))
    assert contents(ImageFolder(tree, "test", VIEW)) == expected


def test_flat_validation_folder_takes_the_devkits_numbers(tree):
    savemat = pytest.importorskip("scipy.io").savemat
    expected = contents(ImageFolder(tree, "test", VIEW))
    moved = flatten(tree)
    devkit = tree / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    numbers = {"n01": 2, "n02": 3, "n03": 1}
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{numbers[n]}\n" for n in moved.values()))
    rows = np.array(
        [(number, name) for name, number in numbers.items()], dtype=[("ILSVRC2012_ID", "i4"), ("WNID", "O")]
    )
    savemat(devkit / "meta.mat", {"synsets": rows})
    assert contents(ImageFolder(tree, "test", VIEW)) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["n01"], "1 lines for 6 images"), (["n01"] * 5 + ["n77"], "unknown class n77")],
)
def test_labels_that_do_not_fit_are_refused(tree, lines, message):
    flatten(tree)
    (tree / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        ImageFolder(tree, "test", VIEW)


def test_flat_validation_folder_without_labels_says_which_files_would_do(tree):
    flatten(tree)
    with pytest.raises(DataError, match=r"LOC_val_solution\.csv"):
        ImageFolder(tree, "test", VIEW)


def test_titles_come_from_a_file_and_equal_ones_keep_their_ids(tree):
    (tree / "LOC_synset_mapping.txt").write_text("n01 crane\nn02 tench, Tinca tinca\nn03 crane\n", encoding="utf-8")
    dataset = ImageFolder(tree, "train", VIEW)
    assert dataset.classes == ("crane (n01)", "tench", "crane (n03)")
    assert dataset.ids == CLASSES
    (tree / "LOC_synset_mapping.txt").write_text("n01 crane\n", encoding="utf-8")
    with pytest.raises(DataError, match="no title for 2 classes, such as n02"):
        ImageFolder(tree, "train", VIEW)


def test_the_synonyms_of_a_title_may_be_quoted_as_in_a_csv(tree):
    (tree / "classes.csv").write_text('class,name\nn01,"tench, Tinca tinca"\nn02,hog\nn03,"dam"\n', encoding="utf-8")
    assert ImageFolder(tree, "train", VIEW).classes == ("tench", "hog", "dam")


# --- files that can't be read -----------------------------------------------------------------------------


@pytest.fixture
def broken_tree(tree):
    (tree / "train" / "n01" / "n01_1.JPEG").write_bytes(b"no image")
    path = tree / "train" / "n03" / "n03_2.JPEG"
    path.write_bytes(path.read_bytes()[:300])
    (tree / "train" / "n02" / "n02_0.JPEG").unlink()
    (tree / "train" / "n02" / "n02_0.JPEG").symlink_to(tree / "gone.jpg")
    return tree


@pytest.mark.parametrize("workers", [0, 2])
def test_photographs_that_cannot_be_read_are_left_out_up_to_a_limit(broken_tree, workers, caplog):
    dataset = ImageFolder(broken_tree, "train", RandomResizedView(16))
    loader = Loader(dataset, 6, mean=0.5, std=0.25, shuffle=True, workers=workers, max_broken=3)
    with caplog.at_level(logging.WARNING):
        counts = [len(labels) for epoch in (0, 1) for _, labels in loader.epoch(epoch)]
    assert sum(counts) == 18
    assert sorted(loader.broken) == [1, 4, 10]
    assert caplog.text.count("left out") == 3
    assert "n03_2.JPEG" in loader.broken[10]


@pytest.mark.parametrize("max_broken", [0, 2])
def test_one_more_photograph_than_the_limit_ends_the_epoch(broken_tree, max_broken):
    loader = Loader(ImageFolder(broken_tree, "train", VIEW), 6, mean=0.5, std=0.25, max_broken=max_broken)
    with pytest.raises(DataError, match=r"\.JPEG"):
        list(loader)


def test_batch_without_a_readable_photograph_is_an_error(tree):
    for path in (tree / "train" / "n01").iterdir():
        path.write_bytes(b"")
    loader = Loader(ImageFolder(tree, "train", VIEW), 4, mean=0.5, std=0.25, max_broken=100)
    with pytest.raises(DataError, match="no image of a batch can be read"):
        list(loader)


# --- damaged shards ---------------------------------------------------------------------------------------


def test_index_of_shards_is_renewed_when_a_shard_changes(shards, tree):
    ImageShards(shards, "train", VIEW)
    stored = json.loads((shards / "train" / "index.json").read_bytes())
    assert len(stored["members"]) == 12
    for file in ("train/000003.tar", "train/contents.json", "classes.json"):
        (shards / file).unlink()
    (shards / "classes.txt").write_text("".join(f"{name} {name}\n" for name in CLASSES))  # as shards of others have it
    assert len(ImageShards(shards, "train", VIEW)) == 9


DAMAGED = {
    "truncated": "can't be read as a shard",
    "no tar": "can't be read as a shard",
    "no label": "has no .cls file for a",
    "label": "000001.tar has 1 photographs, 3 were written",
    "no classes": "can't read .*classes.txt",
    "no shard": "has no .tar file",
    "a shard less": "shard .*000001.tar is missing, 3 were written",
    "cut": "000001.tar has 1 photographs, 3 were written",
    "classes": "was written for 3 classes, but .* lists 1",
    "not ended": "contents.json is missing: the shards .* were not written to the end",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_shards_are_one_sentence(shards, damage):
    train = shards / "train"
    path = train / "000001.tar"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "no tar":
        path.write_bytes(b"x" * 2000)
    elif damage in ("no label", "label"):
        write_tar(path, (("a.jpg", b"x"), ("a.cls", b"77"))[: 1 + (damage == "label")])
    elif damage == "cut":  # between two photographs
        with tarfile.open(path) as tar:
            start = tar.getmembers()[2].offset
        path.write_bytes(path.read_bytes()[:start] + b"\0" * 1024)
    elif damage == "classes":
        (shards / "classes.json").write_text('[["a", "a"]]')
    else:
        gone = {"no classes": shards / "classes.json", "a shard less": path, "not ended": train / "contents.json"}
        for each in [gone[damage]] if damage in gone else list(train.glob("*.tar")):
            each.unlink()
    with pytest.raises(DataError, match=DAMAGED[damage]):
        dataset = ImageShards(shards, "train", VIEW)
        dataset.fetch(range(len(dataset)))


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def test_shards_are_not_mixed_with_older_ones(shards, tree):
    with pytest.raises(DataError, match="is not empty: old and new shards would be mixed"):
        write_shards(ImageFolder(tree, "train", VIEW), "train", shards)


def test_a_photograph_that_is_gone_leaves_no_shards(tree, tmp_path):
    source = ImageFolder(tree, "train", VIEW)
    (tree / "train" / source.files[5]).unlink()
    with pytest.raises(DataError, match=f"{source.files[5]} is not a file"):
        write_shards(source, "train", tmp_path / "shards", photographs=2)
    assert [path for path in (tmp_path / "shards").rglob("*") if path.is_file()] == []


def test_names_with_spaces_and_newlines_keep_their_labels(tree, tmp_path):
    (tree / "train" / "n02").rename(tree / "train" / "my class")
    (tree / "train" / "n03").rename(tree / "train" / "two\nlines")
    write_shards(ImageFolder(tree, "train", VIEW), "train", tmp_path / "shards")
    found = ImageShards(tmp_path / "shards", "train", VIEW)
    assert found.classes == found.ids == ("my class", "n01", "two\nlines")
    assert contents(found) == contents(ImageFolder(tree, "train", VIEW))


def test_a_broken_photograph_of_a_shard_is_named_by_its_file(tree, tmp_path):
    (tree / "train" / "n01" / "a strange.name!.jpg").write_bytes(b"buy milk")
    write_shards(ImageFolder(tree, "train", VIEW), "train", tmp_path / "shards")
    dataset = ImageShards(tmp_path / "shards", "train", VIEW)
    with pytest.raises(DataError, match=r"000000\.tar/000000\d\d-a_strange_name_\.jpg can't be read as an image"):
        dataset.fetch(range(len(dataset)))


def test_titles_in_quotes_may_hold_commas(tree):
    (tree / "classes.csv").write_text('n01,"tench, Tinca tinca"\nn02, "a ""great"" shark"\nn03,cock\n')
    assert ImageFolder(tree, "train", VIEW).classes == ("tench", 'a "great" shark', "cock")


def test_images_outside_class_folders_are_counted(tree, caplog):
    (tree / "train" / "loose.jpg").write_bytes(jpeg(photograph(1)))
    assert len(ImageFolder(tree, "train", VIEW)) == 12
    assert "1 image files lie in no class folder and are left out, such as loose.jpg" in caplog.text


@pytest.mark.parametrize(
    ("link", "target", "message"),
    [
        ("up", ".", "is a link to a folder above it"),
        ("self", "self", "is a link to a folder that does not exist"),
        ("self.jpg", "self.jpg", "Too many levels"),
    ],
)
def test_links_in_a_circle_are_named(tree, link, target, message):
    (tree / "train" / "n01" / link).symlink_to(target)
    with pytest.raises(DataError, match=rf"train/n01/{link}:? {message}"):
        ImageFolder(tree, "train", VIEW)
