"""Trees of small photographs, drawn by code."""

import io

import numpy as np
from PIL import Image

CLASSES = ("n01", "n02", "n03")


def photograph(seed, width=40, height=30):
    """Return a smooth random image, so that JPEG changes it little."""
    corners = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image, **settings):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, **settings)
    return file.getvalue()


def make_tree(root, train=4, val=2):
    """Write root/train/<class>/*.JPEG and root/val/<class>/*.JPEG, of several sizes."""
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                size = (40 + 7 * i, 30 + 11 * label)
                (folder / f"{name}_{i}.JPEG").write_bytes(jpeg(photograph(100 * label + i, *size)))
    return root
