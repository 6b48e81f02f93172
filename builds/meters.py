"""The meter catalogue for those who cannot read it where it stands: `python -m builds.meters` (or `make meters`).

`dbt_project/seeds/meters.csv` is the catalogue. dbt's macros need its rows while they are compiled and cannot read a file, and the
tracking SDK is installed without this repository; each has a copy that this writes and `tests/contracts/test_services.py` compares.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = ROOT / "dbt_project" / "seeds" / "meters.csv"
MACRO = ROOT / "dbt_project" / "macros" / "meters.sql"
SDK = ROOT / "sdk" / "usage_metering" / "meters.csv"

# Several words in one field; what is yes or no.
LISTS = ("operations", "price_components", "next_unit_components")
FLAGS = ("is_channel_unit", "is_reconciled_with_service", "bills_records")


def copies(seed: str) -> dict[Path, str]:
    """Return the text of every copy of the catalogue, by the file that has it."""
    return {MACRO: macro_text(seed), SDK: seed}


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
        "{# Rows of seeds/meters.csv, written by `make meters`: change them there. #}\n"
        "{% macro meters() %}\n    {{ return([\n        " + body + "\n    ]) }}\n{% endmacro %}\n"
    )


def main() -> None:
    """Write the copies."""
    for path, text in copies(SEED.read_text(encoding="utf-8")).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
