"""What all bodies share: camelCase keys, `dataAsOf`, and the number types of the contract."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from api.kit.periods import DayRange, Month

Quantity = Annotated[
    int | float,
    WithJsonSchema({"type": "number", "description": "In the channel's unit; whole where it is whole."}),
]
Percent = Annotated[float, WithJsonSchema({"type": "number", "description": "In percent, one decimal."})]
Cents = Annotated[
    int | None,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "null"}],
            "description": "Whole US cents, rounded half-even. Null where nothing is priced.",
        }
    ),
]
Usd = Annotated[
    str | None,
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}, {"type": "null"}],
            "description": "Exact US dollars as a decimal string. Null where nothing is priced.",
        }
    ),
]
Channel = Annotated[str, Field(examples=["sms"])]


class Body(BaseModel):
    """A JSON object of the API: snake_case here, camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class ResponseBody(Body):
    """A whole response body."""

    data_as_of: dt.datetime | None = Field(
        description="The oldest of the sources' last successful reads in the last build; null before it.",
        examples=["2026-11-20T11:45:00Z"],
    )


class Period(Body):
    """A calendar month, or other days where they were asked for; both days are included."""

    start: dt.date = Field(examples=["2026-11-01"])
    end: dt.date = Field(examples=["2026-11-30"])
    label: str = Field(examples=["November 2026"])

    @classmethod
    def of(cls, month: Month) -> Period:
        return cls(start=month.first, end=month.last, label=month.label)

    @classmethod
    def of_days(cls, days: DayRange) -> Period:
        month = Month.of(days.first)
        if (days.first, days.last) == (month.first, month.last):
            return cls.of(month)
        return cls(start=days.first, end=days.last, label=f"{days.first} to {days.last}")
