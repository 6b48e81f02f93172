"""SMS segments: Twilio's own vectors, the borders, and smart encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox import twilio_sending
from usage_metering.segments import GSM7, UCS2, count_segments, encoding_of

# From npm sms-segments-calculator 1.3.0 (MIT), run over 33 texts; the file says so itself.
KNOWN = json.loads((Path(__file__).parent / "sms_segment_vectors.json").read_text())["vectors"]


def test_no_vector_is_missing() -> None:
    assert len({vector["name"] for vector in KNOWN}) == 33


@pytest.mark.parametrize("vector", KNOWN, ids=[vector["name"] for vector in KNOWN])
def test_as_twilios_own_calculator(vector: dict[str, str | int]) -> None:
    text = str(vector["text"])
    assert count_segments(text) == vector["segments"]
    assert encoding_of(text) == vector["encoding"]
    assert twilio_sending.segments(text) == vector["segments"]  # the sandbox counts by itself


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a" * 159 + "€", 2),
        ("a" * 158 + "€", 1),
        ("€" * 153, 3),  # 306 septets, but an escape is never split: 76, 76 and 1
        ("é" * 160, 1),
        ("й" * 66 + "😀" + "й" * 2, 1),
        ("й" * 66 + "😀" + "й" * 3, 2),
        ("й" * 66 + "😀" + "й" * 66, 3),
    ],
)
def test_borders(text: str, segments: int) -> None:
    assert count_segments(text) == segments


def test_smart_encoding_keeps_a_message_in_gsm() -> None:
    text = "“hi” – it’s…" + "a" * 100
    assert encoding_of(text) == UCS2
    assert (count_segments(text), count_segments(text, smart_encoded=True)) == (2, 1)
    assert encoding_of("plain") == GSM7
