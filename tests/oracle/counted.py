"""OpenAI's endpoints beside completions and embeddings: ai operations that count things of their own.

Only moderations count tokens. Whatever else is counted is priced by the unit, where the price book has its operation.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.oracle.records import Counted, Directory
from tests.oracle.rules import Line, openai_tenant

# AMBIGUITY: nobody but the provider's own words names these operations.
OPERATIONS = {
    "images": "image",
    "audio_speeches": "audio_speech",
    "audio_transcriptions": "audio_transcription",
    "moderations": "moderation",
    "vector_stores": "vector_store",
    "code_interpreter_sessions": "code_interpreter_session",
    "file_search_calls": "file_search_call",
    "web_search_calls": "web_search_call",
}


def counted_lines(counted: Iterable[Counted], directory: Directory) -> list[Line]:
    """Results of one endpoint, project, key, model and day are one line; of nothing but zeros none.

    AMBIGUITY: requests are the model requests that the endpoint tells; of the others a call or a session is one,
    and bytes that lie there are none.
    """
    lines: dict[tuple[str, str, str, str, str], Line] = {}
    for c in counted:
        line = lines.setdefault(
            (c.endpoint, c.day.isoformat(), c.project, c.api_key, c.model),
            Line(
                tenant_id=openai_tenant(c.project, c.api_key, c.day, directory),
                day=c.day,
                channel="ai",
                service="openai",
                operation=OPERATIONS[c.endpoint],
                direction="outbound",
                source="openai",
                evidence="residual",
                units=0,
                requests=0,
                model=c.model,
                project=c.project,
                api_key=c.api_key,
            ),
        )
        line.units += c.quantity
        line.requests += _requests(c)
        if c.endpoint == "moderations":
            line.input_tokens += c.quantity
    return [line for _, line in sorted(lines.items()) if line.units or line.requests]


def _requests(counted: Counted) -> int:
    if counted.requests is not None:
        return counted.requests
    return 0 if counted.endpoint == "vector_stores" else counted.quantity
