"""Features as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.dashboard.install import _labels
from api.dashboard.labels import feature_label, read_labels
from api.settings import SettingsError
from sandbox.events import reported, tracked
from tests.api.conftest import make_settings


@pytest.mark.parametrize(
    ("feature", "label"),
    [
        ("two_way_chat", "Two-way chat"),
        ("(untracked)", "Not tracked"),
        ("quarterly_review2", "Quarterly review2"),
        ("Nice Name", "Nice Name"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("", ""),
    ],
)
def test_labels(feature: str, label: str) -> None:
    assert feature_label(feature, read_labels()) == label


def test_the_demos_features_have_one() -> None:
    features = {
        *tracked.MESSAGE_FEATURES,
        tracked.CALL_FEATURE,
        *(feature for feature, _ in tracked.EMAIL_FEATURES),
        *(feature for feature, _ in tracked.AI_USES),
        *reported.R2_FEATURES.values(),
    }
    assert features <= set(read_labels())


def test_a_products_own_come_first(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('\ufefffeature,label\ntwo_way_chat,Chat\nx9,"X, nine"\n', encoding="utf-8")
    labels = read_labels(file)
    assert (labels["two_way_chat"], labels["x9"]) == ("Chat", "X, nine")
    assert labels["broadcasts"] == "Broadcasts"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,label\na,b\n", "its first line must be: feature,label"),
        ("feature,label\na,b\nc,\n", "line 3 needs a feature and a label"),
        ("feature,label\na\n", "line 2 needs a feature and a label"),
        ("", "its first line must be"),
    ],
)
def test_a_bad_file_is_named_with_its_variable(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"METERING_FEATURE_LABELS cannot be used: .*{why}"):
        _labels(make_settings("postgresql://h/d", METERING_FEATURE_LABELS=str(file)))


def test_so_is_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"METERING_FEATURE_LABELS cannot be used: .*No such file"):
        _labels(make_settings("postgresql://h/d", METERING_FEATURE_LABELS=str(tmp_path / "none.csv")))
