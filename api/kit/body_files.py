"""Lists of bodies as CSV files: the columns are those of the list's rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response, StreamingResponse

from api.kit import files
from api.kit.database import Row
from api.kit.files import neutralised
from api.kit.schemas import Body
from api.kit.unpriced import UnpricedUnits


def header_of(kind: type[Body]) -> tuple[str, ...]:
    """Return a list's columns. A file has exact money only: whole cents would be a second, worse figure."""
    return tuple(name for name in kind.model_fields if not name.endswith("_cents"))


def _cell(name: str, value: Any) -> Any:
    """Return a cell: what is unknown is empty, what people wrote is no formula, what has parts is JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return value if name.endswith("_usd") else neutralised(value)
    if isinstance(value, list) and all(isinstance(part, UnpricedUnits) for part in value):
        return "; ".join(f"{part.quantity} {part.unit}" for part in value)
    if isinstance(value, list):
        return json.dumps([part.model_dump(mode="json", by_alias=True) for part in value], ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def cells(row: Body) -> tuple[Any, ...]:
    """Return one line's cells in the order of its `header_of`."""
    return tuple(_cell(name, getattr(row, name)) for name in header_of(type(row)))


def csv_file(
    kind: type[Body],
    rows: AsyncIterator[Row],
    make: Callable[[Row], Body],
    name: str,
    headers: Mapping[str, str],
    data_as_of: datetime | None,
) -> StreamingResponse:
    """Answer with a list as a file to keep, saying how fresh it is; ``make`` makes a line's row."""
    return StreamingResponse(
        files.csv_chunks(header_of(kind), rows, lambda row: cells(make(row))),
        media_type=files.CSV,
        headers=files.file_headers(name, data_as_of, headers),
    )


def documented_file(header: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """Return what the document says of a list's file."""
    return {
        200: {
            "description": "One line per row of the list, all of them: `limit` and `cursor` do not matter. Columns are those of the "
            "list; money is exact US dollars, empty where unpriced. The header `Data-As-Of` is the other routes' dataAsOf.",
            "content": {"text/csv": {"schema": {"type": "string"}, "example": ",".join(header) + "\r\n"}},
        }
    }


@dataclass(frozen=True, slots=True)
class ShortFile:
    """A short list as a file to keep: its bytes, and the headers that go with them."""

    content: bytes
    headers: Mapping[str, str]

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Answer with it, with ``headers`` beside its own."""
        return Response(self.content, media_type=files.CSV, headers={**(headers or {}), **self.headers})


def short_file(kind: type[Body], items: Iterable[Body], name: str, data_as_of: datetime | None) -> ShortFile:
    """Return a list that is at hand as a file."""
    document = files.csv_text(header_of(kind), (cells(item) for item in items))
    return ShortFile(document.encode(), files.file_headers(name, data_as_of))
