"""An object store in memory that speaks as much of S3 as pyarrow asks for: whole and multipart uploads, ranges, deletes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit


class ObjectStore(ThreadingHTTPServer):
    """Attributes: ``objects`` by path, ``/bucket/key``; ``parts`` of uploads that have not ended, by path and number."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}

    def url(self, path: str) -> str:
        return f"s3://{path}?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{self.server_port}"


def chunks(file: BinaryIO) -> bytes:
    """Read a body that comes in chunks, whose sizes stand before them; HTTP's and Amazon's look alike."""
    found = b""
    while size := int(file.readline().split(b";")[0], 16):
        found += file.read(size)
        file.readline()
    while file.readline().strip():
        pass
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStore

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"x"', "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def key(self) -> str:
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = chunks(self.rfile)  # type: ignore[arg-type]
        else:
            whole = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return chunks(BytesIO(whole)) if self.headers.get("Content-Encoding") == "aws-chunked" else whole

    def do_GET(self) -> None:
        if "list-type" in self.query:
            self.answer(
                200, b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
            return
        found = self.server.objects.get(self.key)
        if found is None:
            self.answer(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self.answer(200, found)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(found)), len(found) - 1)
        self.answer(206, found[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(found)}")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        body = self.body()
        if "partNumber" in self.query:
            self.server.parts[self.key][int(self.query["partNumber"][0])] = body
        else:
            self.server.objects[self.key] = body
        self.answer(200)

    def do_POST(self) -> None:
        self.body()
        if "uploads" in self.query:
            self.server.parts[self.key] = {}
            self.answer(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
            return
        parts = self.server.parts.pop(self.key)
        self.server.objects[self.key] = b"".join(parts[number] for number in sorted(parts))
        self.answer(200, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.key, None)
        self.answer(204)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Yield one that listens on this machine until the block ends."""
    with ObjectStore() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
