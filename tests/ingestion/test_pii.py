"""Phone numbers have one spelling and one hash; a stored record holds no number, address or text."""

from __future__ import annotations

import hmac
import json
import time
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_metering.failures import ConfigError
from usage_metering.pii import LARGEST_RECORD, Hasher, bounded, normalise, sub_inside

ACME = "+14155550101"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (ACME, ACME),
        ("+1 (415) 555-0101", ACME),
        ("(415) 555-0101", ACME),
        ("415.555.0101", ACME),
        ("4155550101", ACME),
        ("1-415-555-0101", ACME),
        ("whatsapp:+14155550101", ACME),
        ("WhatsApp: +1 415 555 0101", ACME),
        ("whatsapp:4155550101", ACME),
        ("sms:+14155550101", ACME),
        ("tel:+1-415-555-0101", ACME),
        (" +14155550101 ", ACME),
        ("0014155550101", ACME),
        ("00 44 20 7183 8750", "+442071838750"),
        ("+44 (0)20 7183 8750", "+442071838750"),
        ("+39 06 698 12345", "+390669812345"),
        ("+15005550006", "+15005550006"),
        ("+1500", "+1500"),
        ("+999123", "+999123"),
        ("72975", "72975"),
        ("ACME", "ACME"),
        ("  ACME Ltd ", "ACME Ltd"),
        ("client:joe", "client:joe"),
        ("sip:joe@example.com", "sip:joe@example.com"),
        ("messenger:1234567890", "1234567890"),
        ("21415555010", "21415555010"),
        ("00", "00"),
        ("", ""),
    ],
)
def test_a_number_has_one_spelling(number: str, expected: str) -> None:
    assert normalise(number) == expected


@given(st.from_regex(r"\+1[2-9][0-9]{9}|\+44[1-9][0-9]{9}|\+49[1-9][0-9]{6,10}", fullmatch=True))
def test_a_normal_number_stays_as_it_is(number: str) -> None:
    assert normalise(number) == number


@given(st.text(alphabet="+0123456789 ()-.awhtsp:", max_size=20))
def test_any_text_is_taken(number: str) -> None:
    assert normalise(number) == normalise(f" {number} ")


def test_every_spelling_has_the_same_hash() -> None:
    hasher = Hasher("key")
    assert len({hasher.hash(spelling) for spelling in (ACME, f"whatsapp:{ACME}", "(415) 555-0101")}) == 1
    # Stored data depends on it: sha256("key")[:4], then the HMAC of the E.164 spelling.
    assert hasher.hash(ACME).startswith("2c70:")
    assert len(hasher.hash(ACME)) == 4 + 1 + 64


@given(key=st.text(min_size=1, max_size=100), number=st.text(max_size=30))
def test_a_hash_is_the_hmac_of_the_spelling(key: str, number: str) -> None:
    wanted = hmac.digest(key.encode(), normalise(number).encode("utf-8", "replace"), "sha256").hex()
    assert Hasher(key).hash(number)[5:] == wanted


def test_keys_make_different_hashes() -> None:
    assert Hasher("one").hash(ACME)[5:] != Hasher("two").hash(ACME)[5:]
    assert Hasher("one").hash(ACME)[:4] != Hasher("two").hash(ACME)[:4]


def test_nothing_has_no_hash() -> None:
    hasher = Hasher("key")
    assert hasher.hash_or_none(None) is None
    assert hasher.hash_or_none("") is None
    assert hasher.hash_or_none(ACME) == hasher.hash(ACME)


def test_a_key_is_needed() -> None:
    with pytest.raises(ConfigError, match="METERING_PII_KEY"):
        Hasher("")


def test_a_scrubbed_record_keeps_what_identifies_nobody() -> None:
    hasher = Hasher("key")
    record = {
        "sid": "SM00000000000000000000000000000001",
        "account_sid": "AC12345678901234567890123456789012",
        "body": "my secret",
        "Subject": "hello",
        "text": "hello",
        "from": "whatsapp:+14155550101",
        "to": 14155550101,
        "caller": "ACME",
        "price": Decimal("-0.00750"),
        "amount": "1234.567890",
        "date": "2026-11-21",
        "date_sent": "Fri, 21 Nov 2026 10:00:00 +0000",
        "day": date(2026, 11, 21),
        "start_time": 1795219200,
        "flag": True,
        "nothing": None,
        "rate": float("nan"),
        "nested": {"to_formatted": "(415) 555-0101", "list": ["Jo.Doe@Example.com", {"body": "x"}]},
        "error_message": "no route to +14155550101, told jo.doe@example.com",
        "uri": "/2010-04-01/Messages.json?To=%2B14155550101",
        "nul": "a\x00b",
    }
    scrubbed = hasher.scrub(record)
    number, address = hasher.hash(ACME), hasher.hash("jo.doe@example.com")
    assert scrubbed == {
        "sid": record["sid"],
        "account_sid": record["account_sid"],
        "from": number,
        "to": number,
        "caller": "ACME",
        "price": "-0.00750",
        "amount": "1234.567890",
        "date": "2026-11-21",
        "date_sent": "Fri, 21 Nov 2026 10:00:00 +0000",
        "day": "2026-11-21",
        "start_time": 1795219200,
        "flag": True,
        "nothing": None,
        "rate": "nan",
        "nested": {"to_formatted": number, "list": [address, {}]},
        "error_message": f"no route to {number}, told {address}",
        "uri": f"/2010-04-01/Messages.json?To={number}",
        "nul": "a\ufffdb",
    }
    json.dumps(scrubbed, allow_nan=False)
    assert record["body"] == "my secret"


SECONDS = 5.0
"""A bound that only a search which is not linear passes."""


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000,
        "x" * 59_000 + "@",
        "a@" * 30_000,
        "%40" * 20_000,
        "x%40!" * 12_000,
        "+1" * 30_000,
        "1 " * 30_000,
        "a." * 30_000,
        "sms:" * 15_000,
        "(" * 60_000,
        "x@y." * 15_000,
    ],
)
def test_scrubbing_takes_time_by_the_length(text: str) -> None:
    started = time.monotonic()
    Hasher("key").scrub({"note": text, text: "note"})
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.c", "[a@b.c]"),
        ("<jo@x.y>, kim@x.y;", "<[jo@x.y]>, [kim@x.y];"),
        ("to=jo%40x.y&", "to=[jo%40x.y]&"),
        ("a@b!c@d", "[a@b][!c@d]"),
        ("a@@b", "a@@b"),
        ("@a", "@a"),
        ("a%40b%40c", "[a%40b%40c]"),
        ("a%40!b@", "a%40!b@"),
        ("x" * 50 + "+15551234567", "x" * 50 + "[+15551234567]"),
        ("whatsapp:+15551234567 sms:%2B15551234567", "[whatsapp:+15551234567] [sms:%2B15551234567]"),
        ("+123456", "+123456"),
    ],
)
def test_addresses_and_numbers_are_found_inside_a_text(text: str, expected: str) -> None:
    assert sub_inside(text, lambda found: f"[{found}]") == expected


def test_a_record_without_end_is_kept_without_what_is_too_much() -> None:
    deep: object = "x"
    for _ in range(3_000):
        deep = {"deep": deep}
    record = {"sid": "S" * 10_000_000, "price": Decimal("1e1000000"), "n": 10**100_000, "deep": deep, "account": "AC1"}
    started = time.monotonic()
    kept = Hasher("key").scrub({**record, "list": ["x" * 100] * 1_000_000})
    assert time.monotonic() - started < SECONDS
    assert isinstance(kept, dict)
    assert kept["sid"] == "(10000000 characters left out)"
    assert (kept["price"], kept["n"], kept["account"]) == ("1E+1000000", "(a number left out)", "AC1")
    assert len(json.dumps(kept)) < 2 * LARGEST_RECORD


@pytest.mark.parametrize("number", [10**900, -Decimal("9" * 900)])
def test_numbers_take_the_room_of_their_digits(number: int | Decimal) -> None:
    kept, is_whole = bounded({"list": [number] * 40_000})
    assert not is_whole
    assert len(json.dumps(kept, default=str)) < 2 * LARGEST_RECORD


def test_what_fits_is_kept_whole() -> None:
    record = {"a": [1, 2.5, None, True, "é"], "b": {"c": Decimal("1.50")}, 5: "x", "body": "y" * 10_000_000}
    assert bounded(record) == ({"a": [1, 2.5, None, True, "é"], "b": {"c": Decimal("1.50")}, "5": "x"}, True)


@given(
    st.lists(
        st.sampled_from(["+", "%2B", "%2b", "%40", "@", "a.b", "sms:", "1234567", "2026-11-29", "é", " ", "-"]),
        max_size=6,
    )
)
def test_a_text_without_the_marks_of_the_personal_comes_out_as_if_it_were_searched(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert sub_inside(text, "<{}>".format) + " @ +" == sub_inside(f"{text} @ +", "<{}>".format)
