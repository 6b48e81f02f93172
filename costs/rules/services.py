"""What can be used and paid for: the channels with their units, and the services with what a price may be the price of.

The one list of them in Python but for the tracking SDK, which a product installs alone; what each service is to the build says
`dbt_project/macros/services.sql`. `tests/contracts/test_services.py` holds the three against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

UNITS: dict[str, str] = {
    "sms": "segments",
    "mms": "messages",
    "voice": "minutes",
    "email": "emails",
    "ai": "tokens",
    "recording": "minutes",
    "phone": "number_days",
    "payments": "transactions",
    "places": "requests",
    "storage": "gb_days",
    "storage_ops": "operations",
    "internal": "units",
}
"""Channel -> what it is counted in; in the order in which people are shown them."""

CHANNELS = tuple(UNITS)

COUNTED = (
    *("image", "audio_speech", "audio_transcription", "vector_store"),
    *("code_interpreter_session", "file_search_call", "web_search_call"),
)
"""Operations of OpenAI that are not counted in tokens."""

OPENAI_OPERATIONS = ("chat_completion", "embedding", "moderation", *COUNTED)

TOKEN_COMPONENTS = ("input", "cached_input", "cache_write", "cache_write_1h", "output")


@dataclass(frozen=True, slots=True)
class Service:
    """What is used of a provider.

    Attributes:
        channels: where its usage is counted, the usual one first.
        operations: what a price may name; None where the provider's list is open (a SKU, a number's kind, a transaction's type).
        components: what its prices are made of.
        bills_records: whether the provider says what each record costs.
    """

    channels: tuple[str, ...]
    operations: tuple[str, ...] | None = None
    components: tuple[str, ...] = ("unit",)
    bills_records: bool = False

    @property
    def prices_tokens(self) -> bool:
        """Whether what is counted in tokens is priced by their kind: in, cached, out."""
        return "input" in self.components


SERVICES: dict[str, Service] = {
    "openai": Service(("ai",), OPENAI_OPERATIONS, TOKEN_COMPONENTS),
    "azure_openai": Service(("ai",), OPENAI_OPERATIONS, TOKEN_COMPONENTS),
    "openai_compatible": Service(("ai",), OPENAI_OPERATIONS, TOKEN_COMPONENTS),
    "twilio_sms": Service(("sms", "mms"), ("outbound", "inbound", "mms_outbound", "mms_inbound"), bills_records=True),
    "twilio_voice": Service(("voice", "recording"), ("outbound", "inbound", "recording"), bills_records=True),
    "twilio_phone": Service(("phone",)),
    "sendgrid": Service(("email",), ("send",)),
    "stripe": Service(("payments",), components=("unit", "percentage", "fixed"), bills_records=True),
    "google_places": Service(("places",)),
    "cloudflare_r2": Service(("storage_ops", "storage"), ("class_a", "class_b", "free", "storage")),
    "internal": Service(("internal",)),
}
