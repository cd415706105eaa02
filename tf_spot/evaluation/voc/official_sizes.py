"""How many photos PASCAL VOC's own splits have, so that a result on fewer of them says so.

Source: the devkits' documentation, tables of image set statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAIN = {"voc2007": (5_011, 4_952), "voc2012": (5_717, 5_823)}  # photos to learn from and to test on, `VOC.splits`
SEGMENTED = {"voc2007": (422, 210), "voc2012": (1_464, 1_449)}  # photos with masks


def subset(result: Mapping[str, Any]) -> str:
    """Return a sentence that names what a VOC result lacks of the official splits; empty where it has all.

    It is also empty for other tasks, and for years whose sizes are not listed here.

    Args:
        result: a result file.
    """
    sizes = {"voc-classification": MAIN, "voc-detection": MAIN, "voc-segmentation": SEGMENTED}.get(result["task"], {})
    official, counts = sizes.get(result.get("data", "")), (result.get("train_images"), result.get("test_images"))
    if official is None or counts == official:
        return ""
    kind = "photos with masks" if sizes is SEGMENTED else "photos"
    text = f"a subset of {result['data']}, whose splits have {official[0]:,} training and {official[1]:,} test {kind}"
    # Of segmentation, classes count that were predicted, too; here those without a test photo have no value.
    classes = {} if sizes is SEGMENTED else result.get("by_class") or {}
    shown = sum(any(value is not None for value in measures.values()) for measures in classes.values())
    return text + (f"; {shown} of {len(classes)} classes in the test" if shown < len(classes) else "")
