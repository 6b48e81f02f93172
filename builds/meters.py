"""The meter catalogue for those who cannot read it where it stands (`make copies`).

`dbt_project/seeds/meters.csv` is the catalogue. dbt's macros need its rows while they are compiled and cannot read a file, the guard's
functions answer before the first build has loaded it, and the tracking SDK is installed without this repository: each has a copy that
this writes and `tests/contracts/test_services.py` compares.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = ROOT / "dbt_project" / "seeds" / "meters.csv"
MACRO = ROOT / "dbt_project" / "macros" / "meters.sql"
FUNCTIONS = ROOT / "warehouse" / "objects" / "meters.sql"
SDK = ROOT / "sdk" / "usage_metering" / "meters.csv"
R2_ACTIONS = ROOT / "dbt_project" / "seeds" / "r2_actions.csv"
R2_ACTIONS_OF_SDK = ROOT / "sdk" / "usage_metering" / "r2_actions.csv"

# Several words in one field; what is yes or no.
LISTS = (
    *("operations", "resource_types", "unbilled_tiers", "unused_statuses", "price_components"),
    *("next_unit_components", "long_context_from"),
)
FLAGS = ("is_channel_unit", "is_reconciled_with_service", "sums_tell_long_calls")


def copies(seed: str) -> dict[Path, str]:
    """Return the text of every copy of the catalogue, by the file that has it; of R2's actions, too."""
    return {
        MACRO: macro_text(seed),
        FUNCTIONS: functions_text(seed),
        SDK: seed,
        R2_ACTIONS_OF_SDK: R2_ACTIONS.read_text(encoding="utf-8"),
    }


def macro_text(seed: str) -> str:
    """Return the macro whose value is the catalogue's rows, as macros use them: lists and booleans, not texts."""
    rows = [
        {
            column: value.split() if column in LISTS else value == "true" if column in FLAGS else value
            for column, value in row.items()
        }
        for row in csv.DictReader(io.StringIO(seed))
    ]
    body = ",\n        ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return (
        "{# Rows of seeds/meters.csv, written by `make copies`: change them there. #}\n"
        "{% macro meters() %}\n    {{ return([\n        " + body + "\n    ]) }}\n{% endmacro %}\n"
    )


def functions_text(seed: str) -> str:
    """Return what the guard, ledgers and API ask of a channel as functions of the database."""
    rows = [row for row in csv.DictReader(io.StringIO(seed)) if row["is_channel_unit"] == "true"]
    units = {row["channel"]: row["unit"] for row in rows if row["unit"] != "units"}
    by_unit, never = (
        ", ".join(f"'{channel}'" for channel in dict.fromkeys(row["channel"] for row in rows if row["requests"] == how))
        for how in ("units", "none")
    )
    of_channel = "\n".join(f"        when '{channel}' then '{unit}'" for channel, unit in units.items())
    return f"""-- What the meter catalogue says of channels, written by `make copies` from dbt_project/seeds/meters.csv: change it there.

-- How many requests so many units of a channel are.
create or replace function ops.requests_of(p_channel text, p_units numeric) returns numeric
language sql
immutable
return case when p_channel in ({by_unit}) then p_units when p_channel in ({never}) then 0 else 1 end;

-- Does a unit count toward the channel's total? Tokens do, images do not.
create or replace function ops.is_channel_unit(p_channel text, p_unit text) returns boolean
language sql
immutable
parallel safe
return coalesce(
    p_unit = case p_channel
{of_channel}
        else 'units'
    end,
    true
);
"""
