"""A request's body: its bytes, packed and unpacked, at most so many; and the JSON in them."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

from fastapi import Request

from api.kit.problems import UnreadableBody
from collector.problems import BodyTooLarge, UnsupportedMediaType
from usage_metering.events import InvalidEvent
from usage_metering.importing import parse


async def read_body(request: Request, largest: int) -> bytes:
    """Return the body, unpacked; at most ``largest`` bytes of it are ever held.

    Raises:
        BodyTooLarge, UnsupportedMediaType, UnreadableBody: see their titles.
    """
    packed = bytearray()
    async for part in request.stream():
        packed += part
        if len(packed) > largest:
            raise BodyTooLarge(f"The body has more than {largest} bytes: send less at once.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return bytes(packed)
    if encoding != "gzip":
        raise UnsupportedMediaType("Content-Encoding must be gzip or absent.")
    return unpacked(bytes(packed), largest)


def unpacked(packed: bytes, largest: int) -> bytes:
    """Return what a gzip file holds, all of its members.

    Raises:
        BodyTooLarge: that is more than ``largest`` bytes.
        UnreadableBody: it is not a gzip file, or a truncated one.
    """
    if not packed:
        raise UnreadableBody("The body is empty, not a gzip file.")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            whole = file.read(largest + 1)
            if len(whole) <= largest:
                file.read(1)  # to its end, where its checksum stands
    except EOFError:
        raise UnreadableBody("The gzip data is truncated.") from None
    except (OSError, zlib.error):
        raise UnreadableBody("Content-Encoding is gzip, but the body is not.") from None
    if len(whole) > largest:
        raise BodyTooLarge(f"Unpacked, the body has more than {largest} bytes: send less at once.")
    return whole


def parse_json(body: bytes) -> Any:
    """Return what the body says as JSON, numbers exact.

    Raises:
        UnreadableBody: it is not JSON.
    """
    try:
        return parse(body, longest=None)
    except InvalidEvent as error:
        raise UnreadableBody(f"{error}.") from None
