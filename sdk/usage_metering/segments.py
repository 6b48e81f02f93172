"""How many SMS segments a text takes, by the rules of 3GPP 23.038 as Twilio bills them. Pure.

What belongs here: counting before (or instead of) the provider's own number. An mms is billed as one message whatever
its text; whether a message is one is for `twilio_client` to say.
"""

from __future__ import annotations

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")
"""Characters of GSM-7 that take two septets: an escape and themselves."""

GSM7, UCS2 = "GSM-7", "UCS-2"
SINGLE = {GSM7: 160, UCS2: 70}
CONCATENATED = {GSM7: 153, UCS2: 67}

# What Twilio's Smart Encoding writes instead (the common ones), where a message asks for it.
SMART = str.maketrans(
    {
        **dict.fromkeys("«»“”„‟″❝❞＂", '"'),
        **dict.fromkeys("‘’‚‛′ʹʻʼʽˈˊˋ´`❛❜＇", "'"),
        **dict.fromkeys("‐‑‒–—―⁃−－", "-"),
        **dict.fromkeys(
            "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        "…": "...",
        "‼": "!!",
        "⁄": "/",
        "¼": "1/4",
        "½": "1/2",
        "¾": "3/4",
    }
)


def encoding_of(body: str) -> str:
    """Return ``GSM-7``, or ``UCS-2`` where a single character is outside of it."""
    return GSM7 if all(character in BASIC or character in EXTENDED for character in body) else UCS2


def count_segments(body: str, *, smart_encoded: bool = False) -> int:
    """Return the segments that ``body`` is sent and billed in, at least 1.

    GSM-7: 160 septets alone, 153 each in several; otherwise UCS-2: 70 or 67 UTF-16 units. Neither an escaped character
    nor a surrogate pair is split over two segments. With ``smart_encoded`` as Twilio rewrites the text before.
    """
    if smart_encoded:
        body = body.translate(SMART)
    encoding = encoding_of(body)
    if encoding == GSM7:
        widths = [2 if character in EXTENDED else 1 for character in body]
    else:
        widths = [2 if ord(character) > 0xFFFF else 1 for character in body]
    if sum(widths) <= SINGLE[encoding]:
        return 1
    room = CONCATENATED[encoding]
    segments, used = 1, 0
    for width in widths:
        if used + width > room:
            segments, used = segments + 1, 0
        used += width
    return segments
