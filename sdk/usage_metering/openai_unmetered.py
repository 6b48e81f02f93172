"""What of OpenAI's costs money and is not metered: a guarded client refuses it, any other lets it through.

`sdk/tests/test_openai_methods.py` holds these lists, and docs/metered_calls.csv, against all methods of the SDK.
"""

from __future__ import annotations

import re

UNMETERED = (
    *("/audio/speech", "/audio/transcriptions", "/audio/translations"),
    *("/images/generations", "/images/edits", "/images/variations"),
    *("/videos", "/videos/edits", "/videos/extensions", "/videos/{}/remix", "/videos/characters"),
    *("/batches", "/evals/{}/runs"),
    *("/fine_tuning/jobs", "/fine_tuning/jobs/{}/resume", "/fine_tuning/alpha/graders/run"),
    *("/threads/runs", "/threads/{}/runs", "/threads/{}/runs/{}/submit_tool_outputs"),
    *("/agents/environments", "/agents/sessions", "/agents/sessions/{}/events"),
    *("/agents/automations", "/agents/automations/{}/invocations", "/agents/automations/{}/resume"),
    *("/chatkit/sessions", "/containers"),
    *("/vector_stores", "/vector_stores/{}/files", "/vector_stores/{}/file_batches"),
    *("/realtime/calls", "/realtime/calls/{}/accept", "/realtime/client_secrets", "/realtime/sessions"),
    *("/realtime/transcription_sessions", "/realtime/translations/client_secrets"),
    *("/live/sessions", "/live/sessions/{}/accept", "/live/sessions/{}/fork"),
)
"""Paths of requests that are paid for, or begin what is; {} is any one part."""

SENDS = ("POST", "PUT", "PATCH")
"""Methods that are taken for one that asks for something: the SDK uses POST, its client offers all three."""

SOCKETS = ("websocket_base_url", "_configure_realtime", "_configure_realtime_with_api_key")
"""What of a client each of its WebSockets asks for first, those that others open with it (openai-agents) included."""

_PATHS = re.compile("|".join(re.escape(path).replace(r"\{\}", "[^/]+") for path in UNMETERED))


def is_unmetered(method: str, path: str) -> bool:
    """Return whether a request (``path`` as `openai_usage.path_of` has it) costs money that is not metered."""
    return method in SENDS and _PATHS.fullmatch(path) is not None
