"""The database's tables, version by version: `versions/` names the steps, `sql/` holds their statements."""

from pathlib import Path

SQL = Path(__file__).parent / "sql"


def statements(name: str) -> str:
    """Return the text of ``sql/<name>.sql`` as SQLAlchemy's driver wants it: a percent sign starts a parameter there."""
    return (SQL / f"{name}.sql").read_text().replace("%", "%%")
