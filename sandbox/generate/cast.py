"""The tenants and what they own: numbers, messaging services, a subaccount, projects, subusers; and the
directory.

The first six show one thing each (see CAST); more tenants repeat the pattern under other names.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from sandbox.lists import Row

# Area codes of tenants and of their customers are kept apart, so that a number says whose it is. All numbers
# are 555-01xx, which is reserved for fiction.
TENANT_AREAS = (
    206,
    303,
    312,
    415,
    512,
    617,
    702,
    713,
    720,
    737,
    773,
    801,
    802,
    808,
    813,
    816,
    828,
    847,
    857,
    858,
)
CUSTOMER_AREAS = (
    *(201, 202, 203, 205, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228, 229),
    *(901, 903, 904, 907, 908, 909, 910, 912, 913, 914, 915, 916, 917, 918, 919, 920, 925, 928, 931, 936),
)
AGENT_AREA = 970  # where the tenants' own people pick up forwarded calls


@dataclass(frozen=True)
class Role:
    """What a tenant is there to show. Shares are of its plan's caps, outbound, in a full month."""

    plan: str
    sms: float
    mms: float
    voice: float
    email: float
    ai: float
    status: str = "active"
    hard_stop: bool = False
    messaging_service: bool = False
    subaccount: bool = False


CAST = (
    # near its cap of text messages
    Role("pro", sms=0.83, mms=0.3, voice=0.5, email=0.4, ai=0.55, messaging_service=True, hard_stop=True),
    # well below every cap, on a subaccount of its own
    Role("elite", sms=0.3, mms=0.1, voice=0.2, email=0.25, ai=0.3, subaccount=True),
    # over its cap of text messages, near that of email
    Role("starter", sms=1.15, mms=0.5, voice=0.6, email=0.88, ai=0.7, hard_stop=True),
    # no caps
    Role("agency", sms=0.5, mms=0.4, voice=0.4, email=0.5, ai=0.9, messaging_service=True),
    # no plan
    Role("", sms=0.4, mms=0.2, voice=0.3, email=0.3, ai=0.4),
    # suspended
    Role("starter", sms=0.1, mms=0.0, voice=0.1, email=0.1, ai=0.05, status="suspended"),
)
NAMES = (
    "Acme",
    "Northwind Realty",
    "Harbor Fitness Club",
    "Cedar & Stone Legal",
    "Luma Studio",
    "Oakline Motors",
    "Bluepeak Solar",
    "Juniper Veterinary Care",
    "Meridian Home Loans",
    "Foxglove Events",
    "Ironbridge Roofing",
    "Saltwater Spa & Salon",
    "Copperleaf Insurance",
    "Tidewater Plumbing",
    "Maple Street Pediatrics",
    "Granite Peak Storage",
    "Sunfield Landscaping",
    "Redwood Tax Advisors",
    "Lakeshore Orthodontics",
    "Crescent City Tours",
)


@dataclass
class Tenant:
    tenant_id: str
    name: str
    role: Role
    account_sid: str
    numbers: list[str]
    messaging_service: str | None
    project_id: str
    api_keys: list[str]
    subuser: str
    bucket: str
    workspace_id: str | None = None  # without one, it uses nothing of Anthropic's
    stripe_account: str | None = None  # without one, charges' metadata name the tenant
    charges_euros: bool = False
    mail_category: str | None = None  # of what is sent for it by the parent account
    leaves: tuple[str, date] | None = None  # a number that is another tenant's from that day
    gains: tuple[str, date] | None = None

    def numbers_on(self, day: date) -> list[str]:
        numbers = list(self.numbers)
        if self.leaves and day < self.leaves[1]:
            numbers.append(self.leaves[0])
        if self.gains and day >= self.gains[1]:
            numbers.append(self.gains[0])
        return numbers


@dataclass
class Cast:
    main_account: str
    main_token: str
    first: date
    tenants: list[Tenant]
    pool_number: str  # the main account's, nobody's in the directory
    pool_service: str
    pool_project: str
    pool_bucket: str
    toll_free_number: str = "+18335550100"  # of the first tenant
    new_number: str = ""  # on the second tenant's subaccount, from mid-range on
    released_number: str = ""  # of the first tenant, until mid-range
    tokens: dict[str, str] = field(default_factory=dict)  # account sid -> auth token

    def directory(self) -> dict[str, list[Row]]:
        """The rows of tenants.csv, tenant_resources.csv and tenant_limits.csv."""
        tenants, resources = [], []
        for tenant in self.tenants:
            role = tenant.role
            tenants.append(
                {
                    "tenant_id": tenant.tenant_id,
                    "name": tenant.name,
                    "plan": role.plan,
                    "status": role.status,
                    "usage_hard_stop_enabled": str(role.hard_stop).lower(),
                }
            )
            owned: list[tuple[str, str, str, date | None, date | None]] = []
            if role.subaccount:
                # Its numbers are found by the subaccount alone.
                owned.append(("twilio", "subaccount", tenant.account_sid, None, None))
            else:
                owned += [("twilio", "phone_number", number, None, None) for number in tenant.numbers]
            if tenant.leaves:
                owned.append(("twilio", "phone_number", tenant.leaves[0], None, tenant.leaves[1]))
            if tenant.gains:
                owned.append(("twilio", "phone_number", tenant.gains[0], tenant.gains[1], None))
            if tenant is self.tenants[0]:
                owned += [
                    ("twilio", "phone_number", number, None, None)
                    for number in (self.toll_free_number, self.released_number)
                ]
            if tenant.messaging_service:
                owned.append(("twilio", "messaging_service", tenant.messaging_service, None, None))
            owned.append(("openai", "project", tenant.project_id, None, None))
            if tenant.workspace_id:
                owned.append(("anthropic", "workspace", tenant.workspace_id, None, None))
            owned.append(("sendgrid", "subuser", tenant.subuser, None, None))
            if tenant.mail_category:
                owned.append(("sendgrid", "category", tenant.mail_category, None, None))
            owned.append(("cloudflare", "bucket", tenant.bucket, None, None))
            if tenant.stripe_account:
                owned.append(("stripe", "account", tenant.stripe_account, None, None))
            resources += [
                {
                    "tenant_id": tenant.tenant_id,
                    "provider": provider,
                    "resource_type": kind,
                    "resource_id": resource,
                    "valid_from": "" if since is None else since.isoformat(),
                    "valid_to": "" if until is None else until.isoformat(),
                }
                for provider, kind, resource, since, until in owned
            ]
        limits = [
            self._limit(self.tenants[3], "ai", "cost_cents", "50000", ""),
            self._limit(self.tenants[4], "sms", "units", "1500", "75"),
            self._limit(self.tenants[0], "payments", "cost_cents", "10000", ""),
            self._limit(self.tenants[1], "storage", "units", "1000", ""),
            self._limit(self.tenants[3], "places", "requests", "2000", ""),
        ]
        return {"tenants": tenants, "tenant_resources": resources, "tenant_limits": limits}

    @staticmethod
    def _limit(tenant: Tenant, channel: str, metric: str, cap: str, threshold: str) -> Row:
        return {
            "tenant_id": tenant.tenant_id,
            "channel": channel,
            "metric": metric,
            "monthly_cap": cap,
            "warning_threshold_pct": threshold,
        }


def hex_id(rng: random.Random, prefix: str, digits: int = 32) -> str:
    return f"{prefix}{rng.getrandbits(4 * digits):0{digits}x}"


def slug(name: str) -> str:
    return "-".join(part for part in "".join(c if c.isalnum() else " " for c in name.lower()).split())


def make_cast(*, seed: int, tenants: int, first: date, last: date) -> Cast:
    """Who there is. The first tenant's third number goes to the fourth tenant in mid-range."""
    rng = random.Random(f"{seed}:cast")
    stripe_rng = random.Random(f"{seed}:cast:stripe")
    anthropic_rng = random.Random(f"{seed}:cast:anthropic")
    handed_out = iter(f"+1{area}5550{100 + line}" for line in range(100) for area in TENANT_AREAS)
    main = hex_id(rng, "AC")
    cast = Cast(
        main_account=main,
        main_token=hex_id(rng, ""),
        first=first,
        tenants=[],
        pool_number=next(handed_out),
        pool_service=hex_id(rng, "MG"),
        pool_project=hex_id(rng, "proj_", 24),
        pool_bucket="shared-assets",
    )
    cast.tokens[main] = cast.main_token
    for number in range(tenants):
        role = CAST[number % len(CAST)]
        name = NAMES[number % len(NAMES)]
        if number >= len(NAMES):
            name = f"{name} {number // len(NAMES) + 1}"
        account = main
        if role.subaccount:
            account = hex_id(rng, "AC")
            cast.tokens[account] = hex_id(rng, "")
        cast.tenants.append(
            Tenant(
                tenant_id=slug(name),
                name=name,
                role=role,
                account_sid=account,
                numbers=[next(handed_out), next(handed_out)],
                messaging_service=hex_id(rng, "MG") if role.messaging_service else None,
                project_id=hex_id(rng, "proj_", 24),
                api_keys=[hex_id(rng, "key_", 16) for _ in range(2 if role.plan in ("elite", "agency") else 1)],
                subuser=slug(name).replace("-", "_"),
                bucket=f"{slug(name)}-uploads",
                workspace_id=hex_id(anthropic_rng, "wrkspc_", 24) if role.plan == "agency" else None,
                stripe_account=hex_id(stripe_rng, "acct_", 16) if role.subaccount else None,
                charges_euros=role.plan == "",
            )
        )
    moved = (next(handed_out), first + timedelta(days=((last - first).days + 1) // 2))
    cast.new_number, cast.released_number = next(handed_out), next(handed_out)
    cast.tenants[1].mail_category = f"{cast.tenants[1].subuser}_announcements"
    cast.tenants[0].leaves = moved
    cast.tenants[3].gains = moved
    return cast
