"""Files of the archive, a folder for each month: `<table>.parquet`, and `manifest.json`, which is written last and read first."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow
from pyarrow import fs

MANIFEST = "manifest.json"
FORMAT = 1
BLOCK = 1 << 20


class ArchiveError(Exception):
    """A month cannot be archived or restored as things are: one line that names the thing and the remedy. Nothing was changed."""


@dataclass(frozen=True)
class Column:
    """A column of a file: ``type`` is PostgreSQL's, such as numeric(38,18)."""

    name: str
    type: str


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of a file.

    Attributes:
        table: of `raw`.
        sha256: of the file, hexadecimal.
        digest: of its rows as PostgreSQL has them, whatever their order; see `archive.tables.digest`.
    """

    table: str
    name: str
    rows: int
    bytes: int
    sha256: str
    digest: str
    columns: Sequence[Column]


@dataclass(frozen=True)
class Manifest:
    """A month's files. ``root`` is of the month's close, so of one database alone."""

    month: str
    root: str
    files: Sequence[FileEntry]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        return sum(file.bytes for file in self.files)

    def text(self) -> bytes:
        """Return it as it is stored; the same for the same rows."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def read(cls, text: bytes) -> Manifest:
        """Return what `text` has made.

        Raises:
            ValueError, KeyError, TypeError: it is something else, or of a newer format.
        """
        found: dict[str, Any] = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}")
        files = [
            FileEntry(**{**file, "columns": [Column(**column) for column in file["columns"]]})
            for file in found["files"]
        ]
        return cls(found["month"], found["root"], files)


def sha256(text: bytes) -> str:
    """Return the digest, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


class Store:
    """The archive's files in a file system of pyarrow's. Every failure of it is an `ArchiveError` that names the file."""

    def __init__(self, filesystem: fs.FileSystem, path: str) -> None:
        self._filesystem, self._path = filesystem, path.rstrip("/")

    def place(self, month: str, name: str = "") -> str:
        """Return where a month's file is, for people: a path without credentials."""
        return "/".join(part for part in (self._path, month, name) if part)

    @contextmanager
    def _named(self, month: str, name: str, what: str) -> Iterator[str]:
        place = self.place(month, name)
        try:
            yield place
        except (OSError, pyarrow.ArrowException) as error:
            # Where something is written, it is a folder that cannot be made.
            if isinstance(error, FileNotFoundError) and what == "read":
                raise ArchiveError(f"{place} is missing; nothing is changed: bring it back from a copy") from error
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ArchiveError(
                f"{place} cannot be {what}: {reason}; nothing is changed: see to METERING_ARCHIVE_URL, then run it again"
            ) from error

    @contextmanager
    def writing(self, month: str, name: str) -> Iterator[Any]:
        """Yield a stream to a file, which is on disk when the block has ended well."""
        is_local = self._filesystem.type_name == "local"
        with self._named(month, name, "written") as place:
            if is_local:
                self._filesystem.create_dir(self.place(month), recursive=True)
            with self._filesystem.open_output_stream(place) as stream:
                yield stream
            if is_local:
                # The rows are deleted on the strength of it: no page of it may wait in memory when power fails.
                for written in (place, self.place(month), self._path):
                    descriptor = os.open(written, os.O_RDONLY)
                    try:
                        os.fsync(descriptor)
                    finally:
                        os.close(descriptor)

    @contextmanager
    def reading(self, month: str, name: str) -> Iterator[Any]:
        """Yield a file that can be read at any place.

        Raises:
            ArchiveError: it is missing, or cannot be read.
        """
        with self._named(month, name, "read") as place, self._filesystem.open_input_file(place) as file:
            yield file

    def fingerprint(self, month: str, name: str) -> tuple[str, int]:
        """Return a file's sha256, hexadecimal, and its size in bytes; it is read to its end."""
        digest, size = hashlib.sha256(), 0
        with self.reading(month, name) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
        return digest.hexdigest(), size

    def manifest_text(self, month: str) -> bytes | None:
        """Return a month's manifest as it is stored; None where there is none."""
        with self._named(month, MANIFEST, "read") as place:
            if self._filesystem.get_file_info(place).type == fs.FileType.NotFound:
                return None
        with self.reading(month, MANIFEST) as file:
            text: bytes = file.read()
            return text

    def write_manifest(self, manifest: Manifest) -> str:
        """Store a month's manifest, last; return its sha256."""
        with self.writing(manifest.month, MANIFEST) as stream:
            stream.write(manifest.text())
        return sha256(manifest.text())

    def forget_manifest(self, month: str) -> None:
        """Take a month's manifest away before its files are written anew: half of them are no archive."""
        if self.manifest_text(month) is not None:
            with self._named(month, MANIFEST, "replaced") as place:
                self._filesystem.delete_file(place)

    def damages(self, manifest: Manifest) -> list[str]:
        """Return a line for each file that is not as the manifest has it."""
        lines = []
        for file in manifest.files:
            try:
                found, _ = self.fingerprint(manifest.month, file.name)
            except ArchiveError as error:
                lines.append(str(error))
                continue
            if found != file.sha256:
                place = self.place(manifest.month, file.name)
                lines.append(
                    f"{place} is damaged: its sha256 is {found}, not {file.sha256}; nothing is changed: bring it back from a copy"
                )
        return lines
