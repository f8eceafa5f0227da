"""Table 2 of the SKNet paper: published errors and sizes of seventeen networks, in the paper's order.

Source: Li et al., *Selective Kernel Networks*, CVPR 2019, table 2; the README of github.com/implus/SKNet holds the same
figures. A note says which figure no count of the authors' model files gives. Counts that the notes name are
those of `minisk table`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """Figures of a paper; None or missing where it gives none.

    Args:
        parameters: millions, rounded as in the paper.
        gmacs: billions of multiply-adds per image.
        errors: top-1 error in percent, by data set and test size in pixels.
        note: which figure cannot be reproduced, or is another model's, and why.
    """

    parameters: float | None = None
    gmacs: float | None = None
    errors: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def _row(parameters: float, gmacs: float, at_224: float | None, at_320: float | None, note: str = "") -> Published:
    errors = {"ImageNet 224": at_224, "ImageNet 320": at_320}
    return Published(parameters, gmacs, {name: error for name, error in errors.items() if error is not None}, note)


_SE_CBAM_50 = "27.7 M cannot be reproduced: the authors' files hold 27.6 M, with running statistics too."
_SE_CBAM_101 = "49.2 M cannot be reproduced: the authors' files hold 49.0 M, 49.1 M with running statistics."
_DPN = "The errors are those of the DPN authors' README, rounded."
_WITH_STATISTICS = "The paper's parameters include running statistics of batch norm."

TABLE_2: Mapping[str, Published] = {
    "resnext50": _row(25.0, 4.24, 22.23, 21.05),
    "attentionnext56": _row(
        31.9,
        6.32,
        21.76,
        None,
        "31.9 M and the error 21.76 are those of Attention-56 (31.8 M, 31.9 M with running statistics). The authors of "
        "AttentionNeXt-56 report an error of 21.2. 6.32 G matches neither model: Attention-56 needs 6.27 G.",
    ),
    "inception_v3": _row(
        27.1,
        5.73,
        None,
        21.20,
        "The paper counts the auxiliary head, at 299 pixels. Its error is a result at 299 pixels, not 320.",
    ),
    "resnext50_bam": _row(25.4, 4.31, 21.70, 20.15),
    "resnext50_cbam": _row(27.7, 4.25, 21.40, 20.38, _SE_CBAM_50),
    "seresnext50": _row(27.7, 4.25, 21.12, 19.71, _SE_CBAM_50),
    "sknet50": _row(27.5, 4.47, 20.79, 19.32),
    "resnext101": _row(44.3, 7.99, 21.11, 19.86, _WITH_STATISTICS),
    "attention92": _row(
        51.3, 10.43, None, 19.50, "Neither figure can be reproduced: the authors' file holds 52.5 M and 10.53 G."
    ),
    "dpn92": _row(37.7, 6.50, 20.70, 19.30, _DPN),
    "dpn98": _row(61.6, 11.70, 20.20, 18.90, f"{_DPN} 11.70 G is their 11.7, or counts batch norm as well."),
    "inception_v4": _row(
        42.0,
        12.31,
        None,
        20.00,
        "Neither figure can be reproduced: the authors' file holds 42.7 M, and 12.25 G at 299 pixels.",
    ),
    "inception_resnet_v2": _row(
        55.0,
        13.22,
        None,
        19.90,
        "Neither figure can be reproduced: the authors' file holds 55.8 M, and 13.16 G at 299 pixels.",
    ),
    "resnext101_bam": _row(44.6, 8.05, 20.67, 19.15, _WITH_STATISTICS),
    "resnext101_cbam": _row(49.2, 8.00, 20.60, 19.42, _SE_CBAM_101),
    "seresnext101": _row(49.2, 8.00, 20.58, 18.61, _SE_CBAM_101),
    "sknet101": _row(48.9, 8.46, 20.19, 18.40, _WITH_STATISTICS),
}
