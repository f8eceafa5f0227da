"""Hostile and damaged archives, pickles and images: each is refused in one sentence, executes nothing, harms nothing.

A payload's one wish is to create the file CANARY. Whatever is refused, the folder it was tried in must be bit for bit
what it was before.
"""

import gzip
import io
import os
import pickle
import struct
import subprocess
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
from data_samples import make_archive, make_python_archive, make_tree, snapshot
from PIL import Image

from minisk.data import load_cifar
from minisk.data.download import download_cifar, extract_archive
from minisk.data.unpickle import unpickle
from minisk.errors import DataError

CANARY = "executed"


@pytest.fixture(autouse=True)
def in_a_folder_with_earlier_data(tmp_path, monkeypatch):
    """Payloads run, if they run, in a folder whose content is known; afterwards it must hold the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "earlier").write_text("precious")
    yield
    assert (tmp_path / "earlier").read_text() == "precious"
    assert not (tmp_path / CANARY).exists()


def refused(load, *arguments, match, **options):
    """Assert that a load is refused in one line, and that it changes no file."""
    before = snapshot(".")
    with pytest.raises(DataError, match=match) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert snapshot(".") == before


# --- archives -------------------------------------------------------------------------------------------


def member(name="data/a.bin", content=b"", kind=tarfile.REGTYPE, link="", size=None):
    """Return a member's blocks: any header at all, then the content, padded."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def packed(*members, end=bytes(1024)):
    return gzip.compress(b"".join(members) + end)


def damaged_header():
    broken = bytearray(member("data/b.bin", b"b"))
    broken[0] ^= 1
    return bytes(broken)


GOOD = member("data/a.bin", b"a" * 700)
PAX_PATH = b"24 path=../../executed\n\n"
FLIPPED = bytearray(packed(member("data/a.bin", os.urandom(4096))))
FLIPPED[2000] ^= 16

ARCHIVES = {
    "an absolute path": (packed(GOOD, member("/tmp/executed", b"x")), "'/tmp/executed' is not a plain path"),
    "a path upwards": (packed(GOOD, member("data/../executed", b"x")), "is not a plain path inside data"),
    "a path out of the folder": (packed(GOOD, member("../executed", b"x")), "is not a plain path"),
    "a path with backslashes": (packed(GOOD, member("data/..\\executed", b"x")), "is not a plain path"),
    "a drive": (packed(GOOD, member("data/C:executed", b"x")), "is not a plain path"),
    "a path with a line break": (packed(GOOD, member("data/a\nb", b"x")), r"'data/a\\nb' is not a plain path"),
    "a path in Unicode": (packed(GOOD, member("data/ａ", b"x")), "is not a plain path"),
    "another folder": (packed(GOOD, member("earlier", b"x")), "is not a plain path inside data"),
    "an empty part": (packed(GOOD, member("data//a", b"x")), "is not a plain path"),
    "a symbolic link": (packed(GOOD, member("data/l", kind=tarfile.SYMTYPE, link="..")), "'data/l' is a link"),
    "a write through a link": (
        packed(member("data/l", kind=tarfile.SYMTYPE, link="/tmp"), member("data/l/executed", b"x")),
        "is a link",
    ),
    "a hard link": (packed(GOOD, member("data/l", kind=tarfile.LNKTYPE, link="../earlier")), "is a link"),
    "a character device": (packed(GOOD, member("data/d", kind=tarfile.CHRTYPE)), "a device"),
    "a block device": (packed(GOOD, member("data/d", kind=tarfile.BLKTYPE)), "a device"),
    "a pipe": (packed(GOOD, member("data/p", kind=tarfile.FIFOTYPE)), "another special file"),
    "a sparse file": (packed(GOOD, member("data/s", kind=tarfile.GNUTYPE_SPARSE)), "another special file"),
    "an unknown kind": (packed(GOOD, member("data/u", kind=b"Z")), "another special file"),
    "a GNU long name": (packed(member("x", b"../executed\0", tarfile.GNUTYPE_LONGNAME), GOOD), "another special file"),
    "the same name twice": (packed(GOOD, GOOD), "File exists"),
    "a file that is a folder": (packed(GOOD, member("data/a.bin/b", b"x")), "File exists|Not a directory"),
    "a name longer than the disk allows": (packed(GOOD, member("data/" + "n" * 90 + "/" + "m" * 4, b"")), "has no"),
    "too many members": (packed(*(member(f"data/{i}") for i in range(9))), "more than 8 members"),
    "a chain of extended headers": (packed(*[member("x", b"", tarfile.XHDTYPE)] * 5000), "more than 8 members"),
    "a decompression bomb": (packed(member("data/big", bytes(200_000))), "holds more than 100000 bytes"),
    "a bomb in a header": (packed(member("x", bytes(200_000), tarfile.XHDTYPE)), "holds more than 100000 bytes"),
    "a bomb behind the end": (packed(GOOD, end=bytes(2_000_000)), "holds more than 100000 bytes"),
    "a size of 8 GB": (packed(member("data/big", size=8 << 30)), "holds more than"),
    "a negative size": (packed(member("data/big", size=-512)), "holds more than"),
    "a wrong size": (packed(member("data/big", b"x", size=99_000)), "ends in the middle"),
    "no end": (packed(GOOD, end=b""), "ends in the middle"),
    "a damaged header": (packed(GOOD, damaged_header()), "bad checksum"),
    "a missing file": (packed(GOOD), "has no data/b.bin"),
    "nothing in it": (packed(), "has no data/a.bin"),
    "not compressed": (GOOD + bytes(1024), "[Nn]ot a gzipped file"),
    "an empty file": (b"", "ends in the middle"),
    "cut in the middle": (packed(member("data/a.bin", os.urandom(4096)))[:3000], "was not unpacked"),
    "cut at its last byte": (packed(GOOD)[:-1], "was not unpacked"),
    "a flipped bit": (bytes(FLIPPED), "was not unpacked"),
    "a web page": (b"<html>404</html>", "[Nn]ot a gzipped file"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_refused_and_leaves_nothing(name, tmp_path):
    content, match = ARCHIVES[name]
    (tmp_path / "x.tar.gz").write_bytes(content)
    target = tmp_path / "data"
    wanted = ["a.bin", "b.bin"]
    refused(extract_archive, tmp_path / "x.tar.gz", target, wanted, max_members=8, max_bytes=100_000, match=match)
    assert not target.exists()


def test_a_pipe_is_not_an_archive(tmp_path):
    os.mkfifo(tmp_path / "x.tar.gz")  # opening it would wait for ever
    with pytest.raises(DataError, match=r"x\.tar\.gz is not a regular file"):
        extract_archive(tmp_path / "x.tar.gz", tmp_path / "data", [])
    for name in ("cifar-10-binary.tar.gz", ".cifar-10-binary.tar.gz.partial"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match=r"tar\.gz( is not a regular file|\.partial is a pipe)"):
            download_cifar("cifar10", tmp_path, base_url="http://127.0.0.1:9/")
        (tmp_path / name).unlink()


def test_an_archive_larger_than_any_of_cifar_is_not_read(tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").touch()
    os.truncate(tmp_path / "cifar-10-binary.tar.gz", 1 << 40)
    with pytest.raises(DataError, match=r"has 1099511627776 bytes, expected at most"):
        download_cifar("cifar10", tmp_path)


def test_an_extended_header_may_not_rename_a_file(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(packed(member("x", PAX_PATH, tarfile.XHDTYPE), GOOD))
    assert extract_archive(tmp_path / "x.tar.gz", tmp_path / "data", ["a.bin"]) == tmp_path / "data"
    assert snapshot(tmp_path / "data") == {"a.bin": b"a" * 700}
    assert sorted(snapshot(".")) == ["data", "data/a.bin", "earlier", "x.tar.gz"]


def test_an_archive_never_replaces_a_folder_that_is_there(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("kept")
    (tmp_path / "x.tar.gz").write_bytes(packed(GOOD))
    refused(extract_archive, tmp_path / "x.tar.gz", tmp_path / "data", [], match="is there already")


def test_setuid_bits_and_what_a_killed_run_left_are_dropped(tmp_path):
    info = tarfile.TarInfo("data/a.bin")
    info.mode, info.uid = 0o4777, 12345
    (tmp_path / "x.tar.gz").write_bytes(packed(info.tobuf(tarfile.USTAR_FORMAT)))
    (tmp_path / ".data.partial" / "data").mkdir(parents=True)
    (tmp_path / ".data.partial" / "data" / "left").touch()
    extract_archive(tmp_path / "x.tar.gz", tmp_path / "data", ["a.bin"])
    status = (tmp_path / "data" / "a.bin").stat()
    assert not status.st_mode & 0o7111 and status.st_uid == os.getuid()
    assert sorted(snapshot(".")) == ["data", "data/a.bin", "earlier", "x.tar.gz"]


# --- pickles --------------------------------------------------------------------------------------------


class Call:
    """Pickles to a call of any function: what an attack is."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Plain:
    """Pickles to NEWOBJ and BUILD."""


def dumped(thing, protocol=2):
    return pickle.dumps({b"label_names": thing}, protocol)


def array_of(dtype=b"U\x02u1", shape=b"K\x03\x85", content=b"U\x03abc"):
    """Spell out an array's pickle as Python 2 wrote it, with parts to exchange."""
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape
    kind = b"cnumpy\ndtype\n" + dtype + b"K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    return start + kind + b"\x89" + content + b"tb."


TOUCH = f"touch {CANARY}"
NESTED_KEY = b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 100 + b"}h\x00K\x01s."  # a tuple whose hash takes 2¹⁰⁰ steps
ENCODED = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"

PICKLES = {
    "os.system, protocol 0": (dumped(Call(os.system, TOUCH), 0), "instruction DICT"),
    "os.system, protocol 2": (dumped(Call(os.system, TOUCH)), r"it asks for 'posix\.system"),
    "os.system, protocol 4": (dumped(Call(os.system, TOUCH), 4), r"it asks for 'posix\.system"),
    "eval": (dumped(Call(eval, f"open({CANARY!r}, 'w')")), "it asks for '(__builtin__|builtins)\\.eval"),
    "Popen": (dumped(Call(subprocess.Popen, ["touch", CANARY]), 4), r"it asks for 'subprocess\.Popen"),
    "getattr": (b"\x80\x02cbuiltins\ngetattr\n.", r"it asks for 'builtins\.getattr"),
    "INST": (b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.", "instruction STRING"),
    "INST of a string": (b"(U\x01xios\nsystem\n.", "instruction INST"),
    "OBJ": (b"(cos\nsystem\nU\x01xo.", "instruction OBJ"),
    "OBJ of an array": (b"(cnumpy\nndarray\nU\x01xo.", "instruction OBJ"),
    "NEWOBJ": (dumped(Plain()), "instruction NEWOBJ"),
    "NEWOBJ of an array": (b"\x80\x02cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
    "an extension code": (b"\x80\x02\x82\x01.", "instruction EXT1"),
    "a persistent name": (b"\x80\x02U\x01xQ.", "instruction BINPERSID"),
    "a name of two lines": (b"\x80\x04\x8c\x02os\x8c\x03a\nb\x93.", r"it asks for 'os\.a\\nb'"),
    "a dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x0eos.system.foo1\x93.", r"it asks for 'numpy\.os\.system"),
    "an array of objects": (dumped(np.array([Call(os.system, TOUCH)], dtype=object)), "array of dtype b?'O8'"),
    "a NumPy scalar of objects": (b"\x80\x02cnumpy.core.multiarray\nscalar\n.", r"asks for 'numpy\.core\S+scalar"),
    "an array of floats": (dumped(np.zeros(3)), "array of dtype b?'f8'"),
    "an array of a subclass": (dumped(np.ma.zeros(3)), "it asks for 'numpy"),
    "a call of the array type": (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "calls a function other than"),
    "a call of a string": (b"\x80\x02U\x02os)R.", "calls a function other than"),
    "encode by another codec": (
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        "calls a function other than",
    ),
    "BUILD of a type": (b"\x80\x02cnumpy\nndarray\n}U\x01xK\x01sb.", "fills another value"),
    "BUILD of a list": (b"\x80\x02](K\x01tb.", "fills another value"),
    "BUILD of a dtype with objects": (array_of(dtype=b"U\x02O8"), "array of dtype b'O8'"),
    "BUILD twice": (array_of()[:-1] + b"(K\x01tb.", "fills another value"),
    "an array larger than its bytes": (array_of(shape=b"\x8a\x06" + bytes(5) + b"\x10\x85"), "can't fill"),
    "an array smaller than its bytes": (array_of(shape=b"K\x02\x85"), "is damaged"),
    "an array of negative size": (array_of(shape=b"J\xff\xff\xff\xff\x85"), "can't fill"),
    "an array of 65 axes": (array_of(shape=b"(" + b"K\x01" * 65 + b"t"), "can't fill"),
    "an array of no dtype": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85N\x89U\x01atb.",
        "fills another value",
    ),
    "an array of text": (array_of(content=b"X\x03\x00\x00\x00abc"), "fills another value"),
    "a place in the memo of 2³¹": (b"\x80\x02}r\xff\xff\xff\x7f.", "has no list of names"),
    "bytes of 2⁶² announced": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.", "is damaged"),
    "a number of 2³⁰ bytes announced": (b"\x80\x02\x8b" + struct.pack("<I", 1 << 30) + b"x.", "is damaged"),
    "text encoded a thousand times": (
        b"\x80\x02](X\x00\x01\x00\x00" + b"x" * 256 + b"q\x00" + ENCODED * 1000 + b"e.",
        "encodes more text",
    ),
    "a key that takes for ever": (NESTED_KEY, "dictionary key of type tuple"),
    "whole numbers as keys": (b"\x80\x02}K\x01Ns.", "dictionary key of type int"),
    "keys that collide": (
        b"\x80\x02}("
        + b"".join(b"\x8a\x0c" + (i * (2**61 - 1)).to_bytes(12, "little") + b"N" for i in range(50_000))
        + b"u.",
        "more than 100 dictionary keys",
    ),
    "keys one by one": (
        b"\x80\x02}" + b"".join(b"U\x01%cNs" % i for i in range(101)) + b".",
        "more than 100 dictionary",
    ),
    "lists 100,000 deep": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "expected a dictionary"),
    "a list that holds itself": (b"\x80\x02]q\x00h\x00a.", "holds a list"),
    "more taken than made": (b"\x80\x02}(aa.", "is damaged"),
    "a mark taken as a value": (b"\x80\x02](\x85.", "is damaged: list index out of range"),
    "a place never filled": (b"\x80\x02h\x07.", "is damaged"),
    "two results": (b"\x80\x02}}.", "is damaged"),
    "an odd number of items": (b"\x80\x02}(K\x01u.", "is damaged"),
    "no end": (b"\x80\x02}q\x00", "is damaged"),
    "cut": (dumped(["a"] * 9)[:20], "is damaged"),
    "nothing": (b"", "is damaged"),
    "not a pickle": (b"<html>404</html>", "is damaged|is refused"),
    "an unknown instruction": (b"\x80\x02\xff.", "is damaged"),
    "no dictionary": (pickle.dumps([1], 2), "holds a list, expected a dictionary"),
    "names that are numbers": (dumped([1, 2]), "has no list of names"),
    "too few names": (dumped(["cat", "dog"]), "names 2 classes, expected 10"),
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_is_refused_unread(name, tmp_path):
    content, match = PICKLES[name]
    folder = make_python_archive(tmp_path)
    (folder / "batches.meta").write_bytes(content)
    refused(load_cifar, "cifar10", tmp_path, "train", match=match)


@pytest.mark.parametrize("instruction", [b"\x94", b"]"], ids=["MEMOIZE", "list"])
def test_a_pickle_of_too_many_instructions_takes_no_memory(instruction):
    tracemalloc.start()  # each of the two million would take 70 bytes
    try:
        with pytest.raises(DataError, match=r"it is refused: it has more than 1,000,000 instructions"):
            unpickle(b"\x80\x04N" + instruction * 2_000_000 + b".", "it")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


BATCHES = {
    "no images": ({"labels": [0]}, "has no array"),
    "images that are a list": ({"data": [[0] * 3072], "labels": [0]}, "has no array"),
    "images of another size": ({"data": np.zeros((1, 3071), np.uint8), "labels": [0]}, "has no array"),
    "no image at all": ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "has no array|can't fill"),
    "no labels": ({"data": np.zeros((1, 3072), np.uint8)}, "has no list of 1 whole numbers in 'labels'"),
    "too few labels": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "has no list of 2 whole numbers"),
    "a label that is text": ({"data": np.zeros((1, 3072), np.uint8), "labels": ["0"]}, "whole numbers"),
    "a label out of range": ({"data": np.zeros((2, 3072), np.uint8), "labels": [9, 10]}, "label 10 in record 1"),
    "a negative label": ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "label -1 in record 0"),
    "a label of 20 digits": ({"data": np.zeros((1, 3072), np.uint8), "labels": [10**20]}, "label 10{20} in record 0"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_that_does_not_fit_is_refused(name, tmp_path):
    content, match = BATCHES[name]
    folder = make_python_archive(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(content, 4))
    refused(load_cifar, "cifar10", tmp_path, "train", match=rf"data_batch_3.*{match}")


# --- images ---------------------------------------------------------------------------------------------


def saved(image, file_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png(width, height, *chunks, depth=8, colour=2):
    """Return a PNG with any header at all."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


NOISE = Image.fromarray(np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8))
POSTSCRIPT = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n(%pipe%{TOUCH}) (w) file\nshowpage\n".encode()
WRONG_CHECKSUM = bytearray(saved(NOISE))
WRONG_CHECKSUM[20] ^= 1

IMAGES = {
    "nothing": (b"", "cannot identify"),
    "text": (b"hello", "cannot identify"),
    "a PNG cut in its header": (saved(NOISE)[:20], "can't be read as an image"),
    "a PNG cut in its pixels": (saved(NOISE)[:1500], "can't be read as an image"),
    "a JPEG cut in its pixels": (saved(NOISE, "JPEG")[:700], "truncated"),
    "a PNG with a wrong checksum": (bytes(WRONG_CHECKSUM), "can't be read as an image"),
    "a PNG without pixels": (png(32, 32), "can't be read as an image"),
    "a decompression bomb": (png(60_000, 60_000), "0 pixels, expected 32 by 32"),
    "a smaller decompression bomb": (png(10_000, 10_000), "0 pixels, expected 32 by 32"),
    "a bomb in a comment": (png(32, 32, (b"zTXt", b"a\0\0" + zlib.compress(bytes(9 << 20)))), "Decompressed data"),
    "PostScript, for Ghostscript to run": (POSTSCRIPT, "cannot identify"),
    "a pickle": (dumped(Call(os.system, TOUCH)), "cannot identify"),
    "another size": (saved(Image.new("RGB", (32, 31))), "32 by 31 pixels, expected 32 by 32"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_hostile_image_is_refused_by_its_name(name, tmp_path):
    content, match = IMAGES[name]
    tree = make_tree(tmp_path / "tree", "train", {"cat": 2})
    (tree / "train" / "cat" / "0001.png").write_bytes(content)
    refused(load_cifar, "cifar10", tree, "train", match=rf"0001\.png (can't be read as an image: .*)?.*{match}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "is not a regular file"),  # reading it would wait for ever
        (os.mkdir, "is not a regular file"),
        (lambda path: path.symlink_to("not mounted"), "is a link to a file that does not exist"),
        (lambda path: path.symlink_to(path), "can't be read: Too many levels of symbolic links"),
    ],
    ids=["pipe", "folder", "broken link", "circular link"],
)
def test_an_entry_with_the_name_of_an_image_is_never_left_out_silently(tmp_path, make, message):
    tree = make_tree(tmp_path, "train", {"cat": 2})
    make(tree / "train" / "cat" / "0002.png")
    with pytest.raises(DataError, match=rf"0002\.png {message}"):
        load_cifar("cifar10", tree, "train")


def test_a_class_that_is_a_broken_link_is_never_left_out_silently(tmp_path):
    tree = make_tree(tmp_path, "train", {"cat": 2})
    (tree / "train" / "dog").symlink_to("not mounted")
    with pytest.raises(DataError, match="dog is a link to a folder that does not exist"):
        load_cifar("cifar10", tree, "train")


@pytest.mark.parametrize("name", ["data_batch_2.bin", "batches.meta.txt"])
def test_a_pipe_in_an_archive_is_never_opened(tmp_path, name):
    folder, _ = make_archive(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=rf"{name} is not a regular file"):
        load_cifar("cifar10", tmp_path, "train")


# --- the binary version ---------------------------------------------------------------------------------


def test_a_binary_file_far_too_large_is_not_read(tmp_path):
    folder, _ = make_archive(tmp_path)
    os.truncate(folder / "data_batch_2.bin", 1 << 40)  # a hole: takes no room on the disk
    with pytest.raises(DataError, match=r"data_batch_2\.bin has 1099511627776 bytes, expected at most"):
        load_cifar("cifar10", tmp_path, "train")


def test_a_file_of_a_billion_names_is_not_read(tmp_path):
    folder, _ = make_archive(tmp_path)
    os.truncate(folder / "batches.meta.txt", 200 << 20)
    with pytest.raises(DataError, match=r"batches\.meta\.txt has 209715200 bytes, expected at most"):
        load_cifar("cifar10", tmp_path, "train")


def test_names_that_are_not_text_are_refused(tmp_path):
    folder, _ = make_archive(tmp_path)
    (folder / "batches.meta.txt").write_bytes(b"\xff\xfe\n" * 10)
    refused(load_cifar, "cifar10", tmp_path, "train", match="is not a text file of class names")
