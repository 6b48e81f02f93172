"""Writes what is stated once where it is needed again: `python -m builds.copies` (or `make copies`)."""

from __future__ import annotations

from builds import meters, variables


def main() -> None:
    """Write the copies of the meter catalogue and of the providers' variables."""
    copies = meters.copies(meters.SEED.read_text(encoding="utf-8")) | variables.copies()
    for path, text in copies.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
