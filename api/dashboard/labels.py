"""Features as people write them: `two_way_chat` is "Two-way chat".

`feature_labels.csv` beside this file has the demo's; METERING_FEATURE_LABELS names a product's own, in the same form. A feature that
is in neither is written out of its key, which stands beside it on the page wherever it matters.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

OWN = Path(__file__).parent / "feature_labels.csv"
UNTRACKED = "(untracked)"

Labels = Mapping[str, str]

_KEY = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)


def read_labels(path: Path | None = None) -> Labels:
    """Return feature → label: ours, and those of ``path`` before them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8 text, has not the columns feature and label, or leaves one empty.
    """
    labels: dict[str, str] = {}
    for file in (OWN, *([path] if path else [])):
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            if not {"feature", "label"} <= set(rows.fieldnames or ()):
                raise ValueError("its first line must be: feature,label")
            for number, row in enumerate(rows, start=2):
                feature, label = ((row[name] or "").strip() for name in ("feature", "label"))
                if not feature or not label:
                    raise ValueError(f"line {number} needs a feature and a label")
                labels[feature] = label
    return labels


def feature_label(feature: str, labels: Labels) -> str:
    """Return a feature's label; of a key without one its words, of anything else what the caller wrote."""
    if feature == UNTRACKED:
        return "Not tracked"
    if feature in labels:
        return labels[feature]
    if _KEY.fullmatch(feature):
        words = feature.replace("_", " ")
        return words[:1].upper() + words[1:]
    return feature
