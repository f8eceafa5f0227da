"""minisk.data.decode: image files of every kind become the pixels one sees, and hostile or damaged ones a sentence."""

import io
import logging
import os
import pickle
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from minisk.data import decode
from minisk.data.decode import read_image
from minisk.errors import DataError


def saved(path, image, **options):
    image.save(path, **options)
    return path


def pixel(path, at=(0, 0)):
    image = read_image(path)
    assert image.mode == "RGB"
    return image.getpixel(at)


# --- Modes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "colour", "seen"),
    [
        ("grey.png", "L", 77, (77, 77, 77)),
        ("bits.png", "1", 1, (255, 255, 255)),
        ("16bit.png", "I;16", 0x8000, (128, 128, 128)),
        ("16bit.tif", "I;16", 0xFFFF, (255, 255, 255)),
        ("32bit.tif", "I", 257 * 9, (9, 9, 9)),
        ("cmyk.tif", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("half.png", "RGBA", (0, 0, 255, 128), (127, 127, 255)),
        ("nothing.png", "RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("grey_alpha.png", "LA", (0, 51), (204, 204, 204)),
        ("plain.bmp", "RGB", (1, 2, 3), (1, 2, 3)),
        ("plain.ppm", "RGB", (1, 2, 3), (1, 2, 3)),
        ("plain.gif", "RGB", (1, 2, 3), (1, 2, 3)),
        ("plain.dat", "RGB", (1, 2, 3), (1, 2, 3)),
    ],
)
def test_every_mode_becomes_the_colour_one_sees(tmp_path, name, mode, colour, seen):
    path = saved(tmp_path / name, Image.new(mode, (3, 2), colour), format="PNG" if name.endswith(".dat") else None)
    assert pixel(path) == seen


def test_a_cmyk_jpeg_is_red_where_it_was_red(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    assert np.abs(np.subtract(pixel(path), (255, 0, 0))).max() < 5


def test_a_lossless_webp_with_alpha_lies_over_white(tmp_path):
    path = saved(tmp_path / "a.webp", Image.new("RGBA", (4, 4), (0, 0, 0, 102)), lossless=True)
    assert pixel(path) == (153, 153, 153)


def test_a_palette_and_its_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", image, transparency=0)
    assert (pixel(path), pixel(path, (1, 0))) == ((255, 255, 255), (40, 50, 60))


def test_a_colour_declared_transparent_lies_over_white(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9))
    assert pixel(path) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "red_at"), [(1, (0, 0)), (2, (1, 0)), (3, (1, 0)), (6, (0, 0)), (8, (0, 1))])
def test_the_orientation_a_camera_noted_is_undone(tmp_path, orientation, red_at):
    image = Image.new("RGB", (2, 1), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", image, exif=exif)
    assert pixel(path, red_at) == (255, 0, 0)
    assert read_image(path).size == ((1, 2) if orientation > 4 else (2, 1))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_an_animation_is_its_first_frame_and_a_log_line_says_so(tmp_path, caplog, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], lossless=True)
    with caplog.at_level(logging.INFO, logger="minisk"):
        assert pixel(path) == (255, 0, 0)
    assert [record.getMessage() for record in caplog.records] == [f"{path} has several frames: only the first is read"]


# --- Hostile or damaged -------------------------------------------------------------------------------------------


def png():
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def encoded(format, **options):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png())).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, *more, pixels=b""):
    """A PNG that claims this size, whatever its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + pixels + chunk(b"IEND", b"")


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def changed(content, at, byte):
    return content[:at] + bytes([byte]) + content[at + 1 :]


def text_bomb():
    """One kilobyte of compressed text that unpacks to a hundred times Pillow's limit."""
    packed = zlib.compress(bytes(100 * PngImagePlugin.MAX_TEXT_CHUNK))
    return png_of(1, 1, chunk(b"zTXt", b"comment\0\0" + packed), pixels=bytes(4))


def tiff(*entries):
    """A TIFF of one directory with these (tag, type, count, value), which comes after itself."""
    body = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return body + b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 8)


def floats():
    buffer = io.BytesIO()
    Image.new("F", (2, 2), 0.5).save(buffer, "TIFF")
    return buffer.getvalue()


HOSTILE = {
    "empty": (b"", "can't be read as an image"),
    "text": (b"buy milk", "can't be read as an image"),
    "pickle": (pickle.dumps(Payload()), "can't be read as an image"),
    "PostScript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(executed) (w) file closefile\n",
        "can't be read",
    ),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="executed()"/>', "can't be read as an image"),
    "PNG cut in its header": (png()[:20], "can't be read as an image"),
    "PNG cut in its pixels": (png()[:5000], "truncated"),
    "PNG with a flipped bit": (changed(png(), 5000, png()[5000] ^ 1), "can't be read as an image"),
    "PNG without pixels": (png_of(2, 2), "truncated"),
    "PNG of no size": (png_of(0, 0), "can't be read as an image"),
    "PNG bomb": (png_of(60_000, 60_000), "60000 by 60000 pixels, expected at most 40,000,000"),
    "PNG a little over the limit": (png_of(10_000, 10_000), "10000 by 10000 pixels, expected at most"),
    "PNG with a text bomb": (text_bomb(), "[Dd]ecompressed data too large"),
    "PNG with a giant chunk": (png()[:33] + b"\xff\xff\xff\xfftEXt", "can't be read as an image"),
    "JPEG cut": (encoded("JPEG")[:700], "truncated|broken"),
    "JPEG of two bytes": (b"\xff\xd8", "can't be read as an image"),
    "GIF cut": (encoded("GIF")[:900], "truncated"),
    "GIF of a header": (b"GIF89a", "can't be read as an image"),
    "WebP cut": (encoded("WEBP")[:500], "can't be read as an image"),
    "BMP bomb": (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        "pixels, expected at most",
    ),
    "BMP of negative width": (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, -5, 5, 1, 24, 0, 0, 0, 0, 0, 0),
        "pixels, expected at most",
    ),
    "TIFF without a size": (tiff((259, 3, 1, 1)), "can't be read as an image"),
    "TIFF of absurd strips": (
        tiff((256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 2**31, 2**31)),
        "can't be read as an image",
    ),
    "TIFF of floating-point pixels": (floats(), "floating-point pixels of unknown range"),
    "PPM that promises more": (b"P6 5000 5000 255\n" + bytes(100), "truncated"),
    "PPM of words": (b"P6 many many 255\n", "can't be read as an image"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_image_is_a_sentence_and_executes_nothing(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("a program was started"))
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path} .*(?:{message})") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cut", range(0, 700, 23))
def test_a_jpeg_cut_anywhere_is_a_sentence(tmp_path, cut):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded("JPEG", quality=20)[:cut])
    with pytest.raises(DataError, match="can't be read as an image: "):
        read_image(path)


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    (tmp_path / "link").symlink_to(tmp_path / "link")
    for name, message in (("pipe", "is not a regular file"), ("", "is not a regular file"), ("gone", "does not exist")):
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)
    (tmp_path / "lost").symlink_to("gone")
    for name, message in (
        ("link", "can't be read: Too many levels of symbolic links"),
        ("lost", "is a link to a file that does not exist"),
        ("n" * 5000, "nnn … nnn.* can't be read: File name too long"),
        ("a\0b", "can't be read: embedded null byte"),
    ):
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)


# --- Sizes ----------------------------------------------------------------------------------------------------------


def jpeg_of(width, height, **options):
    """Return a JPEG of one colour; half a megabyte for 100 million pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def claiming(content, width, height):
    """Return a JPEG whose header says another size."""
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


@pytest.mark.parametrize(("size", "decoded"), [((12000, 9000), (6000, 4500)), ((16320, 12240), (4080, 3060))])
def test_a_photograph_of_a_phone_is_reduced_while_it_is_decoded(tmp_path, monkeypatch, size, decoded):
    # The small stand-ins have the same proportions to the limits.
    monkeypatch.setattr(decode, "MAX_PIXELS", decode.MAX_PIXELS // 400)
    monkeypatch.setattr(decode, "MAX_JPEG_PIXELS", decode.MAX_JPEG_PIXELS // 400)
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_of(size[0] // 20, size[1] // 20))
    image = read_image(path)
    assert image.size == (decoded[0] // 20, decoded[1] // 20)
    assert np.abs(np.subtract(image.getpixel((5, 5)), (200, 100, 50))).max() < 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claiming(jpeg_of(64, 64), 20_000, 20_000), "20000 by 20000 pixels, expected at most 250,000,000"),
        (png_of(6400, 6400), "6400 by 6400 pixels, expected at most 40,000,000"),
        (b"P6 9000 9000 255\n", "9000 by 9000 pixels, expected at most 40,000,000"),
    ],
    ids=["JPEG", "PNG", "PPM"],
)
def test_more_pixels_than_can_be_meant_are_refused_before_they_are_decoded(tmp_path, content, message):
    path = tmp_path / "image"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_progressive_jpeg_is_kept_whole_while_it_is_decoded_so_it_has_the_lower_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 5000)
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg_of(100, 100, progressive=True))
    with pytest.raises(DataError, match="100 by 100 pixels, expected at most 5,000"):
        read_image(path)


def test_an_image_of_another_size_than_asked_for_is_not_decoded(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png_of(5000, 5000))  # it has no pixels: decoding would fail
    with pytest.raises(DataError, match="5000 by 5000 pixels, expected 32 by 32"):
        read_image(path, (32, 32))


def test_an_expected_size_is_that_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.new("RGB", (4, 3)), exif=exif)
    assert read_image(path, (3, 4)).size == (3, 4)
    with pytest.raises(DataError, match="3 by 4 pixels, expected 4 by 3"):
        read_image(path, (4, 3))


# --- 16 and 32 bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 65536), (-1, 9), (0, 2**31 - 1)])
def test_pixels_of_more_than_16_bits_are_refused(tmp_path, low, high):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[low, high]], np.int32)))
    with pytest.raises(DataError, match=f"pixels of 32 bits from {low} to {high}, expected 0 to 65535"):
        read_image(path)


def test_16_bits_are_rounded_to_the_nearest_of_8(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = saved(tmp_path / "a.png", Image.fromarray(values))
    np.testing.assert_array_equal(np.asarray(read_image(path))[..., 1], np.rint(values / 257))


def test_a_grey_of_16_bits_declared_transparent_lies_over_white(tmp_path):
    image = Image.fromarray(np.array([[1000, 1001]], np.uint16))
    path = saved(tmp_path / "a.png", image, transparency=1000)
    assert (pixel(path), pixel(path, (1, 0))) == ((255, 255, 255), (4, 4, 4))


# --- The host program -----------------------------------------------------------------------------------------------


def test_reading_in_threads_leaves_the_warnings_of_the_program_alone(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGB", (64, 64)))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [path] * 200))
    assert warnings.filters == before
