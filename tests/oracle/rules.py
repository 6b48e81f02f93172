"""The contract's section 6, rule by rule: from provider records to usage lines, and what is said about sums
of them. What tracked events change about those lines is in settlement.py.

Each function is one rule and pure. Where the words leave room, AMBIGUITY says which reading is taken. The
order of the functions is the order of the contract. Money is USD as Decimal, quantised once a line
(round_18).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from tests.oracle.events import Quantity
from tests.oracle.records import (
    EXACT,
    UNATTRIBUTED,
    Call,
    Cost,
    Directory,
    Emails,
    Limit,
    Message,
    Price,
    Provided,
    Seeds,
    Usage,
    round_18,
    total,
)

UNITS = {
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
UNTRACKED = "(untracked)"
# The services that a provider reports on: until its record is there, an event of theirs is provisional.
RECORDED = ("twilio_sms", "twilio_voice", "openai", "sendgrid", "stripe", "cloudflare_r2")
STATUS_ORDER = ("ok", "warning", "over_cap")
PRICE_SETTLES = timedelta(hours=72)
# Operations of OpenAI's tools, and how a line item names them.
TOOLS = {"web_search_call": "web search"}
# A call of more input tokens than these is a long one.
LONG_CONTEXT = 272_000


@dataclass
class Line:
    """One usage line: a Twilio record, an OpenAI (operation, project, key, model, day), a SendGrid (resource,
    day), or what was tracked.

    `project`: OpenAI's, SendGrid's subuser or R2's bucket. `record`: the provider's id of a record. `amount`: what
    a payment was of, in USD, None where nobody knows. `owner`: the tenant that the directory gives it to.
    `estimated` None: no price; `billed` None: not known. `spread_widely` / `spread_across_tenants`: a share
    of a cost item that was divided between several lines / several tenants, so that its last digit depends on
    the order of the division.
    """

    tenant_id: str
    day: date
    channel: str
    service: str
    operation: str
    direction: str
    source: str
    evidence: str
    units: Quantity
    requests: Quantity
    model: str = ""
    feature: str = UNTRACKED
    activity: str = ""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    tier: str = ""
    estimated: Decimal | None = None
    has_prices: bool = field(default=True, compare=False)
    billed: Decimal | None = None
    project: str = ""
    api_key: str = ""
    record: str = ""
    owner: str = ""
    amount: Fraction | None = None
    spread_widely: bool = field(default=False, compare=False)
    spread_across_tenants: bool = field(default=False, compare=False)

    @property
    def in_total(self) -> Quantity:
        """What the line adds to its channel's units: of ai tokens alone, whatever else an operation counts."""
        return self.input_tokens + self.output_tokens if self.channel == "ai" else self.units

    @property
    def unpriced_units(self) -> Quantity:
        return self.units if self.estimated is None else 0

    @property
    def provisional(self) -> bool:
        return self.evidence == "tracked" and self.service in RECORDED


# --- what counts --------------------------------------------------------------------------------------------


def message_day(message: Message) -> date | None:
    """The UTC day that a message counts on, or None. undelivered, queued … count once they have a
    date_sent.
    """
    if message.date_sent is None or message.status in ("failed", "canceled"):
        return None
    return message.date_sent.date()


def message_channel(message: Message) -> tuple[str, int]:
    """(channel, units): mms by media, never by sid or segments; else at least one segment."""
    return ("mms", 1) if message.num_media > 0 else ("sms", max(1, message.num_segments))


def call_day(call: Call) -> date | None:
    """The UTC day of the start of a completed call that lasted; None for the others (and for one without a
    start).
    """
    if call.status != "completed" or call.duration <= 0 or call.start_time is None:
        return None
    return call.start_time.date()


def started_minutes(seconds: int) -> int:
    return -(-seconds // 60)


def direction_of(word: str) -> str:
    """inbound or outbound. AMBIGUITY: trunking-originating (from the public network) is inbound, -terminating
    outbound.
    """
    return "inbound" if word in ("inbound", "trunking-originating") else "outbound"


# --- attribution --------------------------------------------------------------------------------------------


def message_tenant(message: Message, day: date, directory: Directory) -> str:
    side = message.recipient if direction_of(message.direction) == "inbound" else message.sender
    return (
        directory.owner("twilio", "subaccount", message.account, day)
        or directory.owner("twilio", "messaging_service", message.messaging_service, day)
        or directory.owner("twilio", "phone_number", side, day)
        or UNATTRIBUTED
    )


def call_tenant(
    call: Call,
    day: date,
    directory: Directory,
    calls: Mapping[str, Call],
    named: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """`named`: the tenants that tracked events give, by sid; without them it is the directory's tenant.

    AMBIGUITY: only the side of the call's own direction is looked up (`from` outbound, `to` inbound), also
    for a child leg; the parent is attributed as of the parent's own UTC day, whether or not the parent itself
    counts or lies in the window; a parent that is a child itself asks its own parent. "Its parent call's
    tenant" is the one that the parent's own event names, where there is one.
    """
    seen: set[str] = set()
    while True:
        side = call.called if direction_of(call.direction) == "inbound" else call.caller
        owner = (
            named.get(call.sid)
            or directory.owner("twilio", "subaccount", call.account, day)
            or directory.owner("twilio", "phone_number", side, day)
        )
        seen.add(call.sid)
        if owner or call.parent not in calls or call.parent in seen:
            return owner or UNATTRIBUTED
        call = calls[call.parent]
        day = call.start_time.date() if call.start_time else day


def openai_tenant(project: str, api_key: str, day: date, directory: Directory) -> str:
    """AMBIGUITY: project before api key, the order in which the contract names them."""
    return (
        directory.owner("openai", "project", project, day)
        or directory.owner("openai", "api_key", api_key, day)
        or UNATTRIBUTED
    )


# --- prices -------------------------------------------------------------------------------------------------

SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|\d{8}|latest|preview.*)")


def is_snapshot_of(name: str, base: str) -> bool:
    """The name is the base and then one snapshot suffix, nothing else.

    AMBIGUITY: one suffix; `gpt-4-0125-preview` is no snapshot of `gpt-4` (two suffixes),
    `gpt-4o-preview-2024-12-17` is one of `gpt-4o` (`-preview…` takes the rest).
    """
    return bool(base) and name.startswith(base) and SNAPSHOT.fullmatch(name[len(base) :]) is not None


def tier_of_call(processed: str, input_tokens: int) -> str:
    """The tier by which a call is priced: how it was processed and, of a long one, that it was long."""
    return "_".join(filter(None, (processed, "long_context" if input_tokens > LONG_CONTEXT else "")))


PriceSet = Mapping[str, Fraction]


def price_set(
    prices: Iterable[Price], service: str, operation: str, model: str, plan: str, day: date, tier: str = ""
) -> PriceSet | None:
    """Component → USD per single unit, of the one set chosen: plan, then tier, then model (exact, longest base,
    any), then operation.

    AMBIGUITY: a long call (`batch_long_context`) without a row of its own takes the one of its processing, else the
    one of long calls, before the one of any tier.

    AMBIGUITY: the set is chosen by its name alone, before looking whether it has the components that the line
    needs.
    """
    is_long = tier.endswith("long_context")
    tiers = ["", *(["long_context"] if is_long else ()), tier.removesuffix("long_context").rstrip("_"), tier]
    best: tuple[bool, int, int, int, bool] | None = None
    chosen: dict[str, Fraction] = {}
    for p in prices:
        if p.service != service or not p.covers(day):
            continue
        if p.plan not in ("", plan) or p.operation not in ("", operation) or p.tier not in tiers:
            continue
        if p.model == "":
            closeness = 0
        elif p.model == model:
            closeness = 2
        elif is_snapshot_of(model, p.model):
            closeness = 1
        else:
            continue
        # Of any tier comes last, whatever else is '' here.
        nearness = max(index for index, name in enumerate(tiers) if name == p.tier) if p.tier else 0
        rank = (p.plan != "", nearness, closeness, len(p.model), p.operation != "")
        if best is None or rank > best:
            best, chosen = rank, {}
        if rank == best:
            if p.component in chosen:
                raise ValueError(f"two prices at once in the price book: {p}")
            chosen[p.component] = Fraction(p.unit_price) / Fraction(p.per)
    return None if best is None else chosen


def estimate(line: Line, prices: PriceSet | None) -> Decimal | None:
    """The line's cost in USD; None where the set, or a component that the line needs, is missing.

    AMBIGUITY: a residual below zero takes its cost back, so a component is needed for a negative quantity too;
    a line of no units (requests alone) needs none, so it costs 0 whatever its price.
    """
    if not (
        line.units
        or line.input_tokens
        or line.cached_input_tokens
        or line.cache_write_tokens
        or line.cache_write_1h_tokens
        or line.output_tokens
    ):
        return Decimal(0)
    if prices is None:
        return None
    if line.channel == "payments":
        return _payment(line, prices)
    if line.channel != "ai":
        # A number and a stored GB are priced by the month.
        of_month = {"phone": monthrange(line.day.year, line.day.month)[1], "storage": 30}.get(line.channel, 1)
        return round_18(Fraction(line.units) * prices["unit"] / of_month) if "unit" in prices else None
    if line.units != line.in_total:  # images, seconds, calls
        return round_18(Fraction(line.units) * prices["unit"]) if "unit" in prices else None
    quantities = {
        "input": line.input_tokens - line.cached_input_tokens - line.cache_write_tokens - line.cache_write_1h_tokens,
        "cached_input": line.cached_input_tokens,
        "cache_write": line.cache_write_tokens,
        "cache_write_1h": line.cache_write_1h_tokens,
        "output": line.output_tokens,
    }
    cost = Fraction(0)
    for component, quantity in quantities.items():
        if quantity != 0:
            price = prices.get(
                component,
                prices.get("input") if component in ("cached_input", "cache_write", "cache_write_1h") else None,
            )
            if price is None:
                return None
            cost += quantity * price
    return round_18(cost)


def _payment(line: Line, prices: PriceSet) -> Decimal | None:
    """A share of the amount, and so much for each transaction. AMBIGUITY: one of the two is enough.

    What is in a currency that nobody can convert is set aside, whatever the price is made of; where nothing was taken
    for moving money, or only an event tells of a transaction, an amount is needed only for a share of it.
    """
    share, each = prices.get("percentage"), prices.get("fixed")
    is_aside = line.amount is None and (share is not None or (line.evidence == "provider" and line.billed is None))
    if is_aside or (share is None and each is None):
        return None
    of_amount = (line.amount or 0) * (share or Fraction(0))
    return round_18(of_amount + Fraction(line.units) * (each or Fraction(0)))


def price_line(line: Line, directory: Directory, seeds: Seeds) -> None:
    """Sets `estimated` by the tenant's plan of the day (none for the unattributed or a day without a
    version).
    """
    version = directory.version(line.tenant_id, line.day)
    plan = version.plan if version else ""
    prices = price_set(seeds.prices, line.service, line.operation, line.model, plan, line.day, line.tier)
    line.estimated, line.has_prices = estimate(line, prices), prices is not None


def forget_nothing_beside_unpriced(lines: Sequence[Line]) -> None:
    """A line without quantity and price is 0 alone, and unknown where its tenant's channel has an unpriced line that day."""
    unpriced = {(x.tenant_id, x.day, x.channel) for x in lines if x.estimated is None}
    for line in lines:
        if not line.units and not line.has_prices and (line.tenant_id, line.day, line.channel) in unpriced:
            line.estimated = None


# --- billed -------------------------------------------------------------------------------------------------


def twilio_billed(price: Decimal | None, unit: str, at: datetime, as_of: datetime) -> Decimal | None:
    """AMBIGUITY: the amount is abs(price); "after 72 h" is more than 72 h since date_sent or start_time; a
    price in another currency than USD stays unknown.
    """
    if price is None:
        return Decimal(0) if as_of - at > PRICE_SETTLES else None
    return abs(price) if unit == "USD" else None


def item_model(line_item: str) -> str:
    """`gpt-4o-mini-2024-07-18, input` → `gpt-4o-mini-2024-07-18`."""
    return line_item.partition(",")[0].strip()


def spread(amount: Decimal, weights: Sequence[Fraction]) -> list[Decimal]:
    """Shares of the amount by weight that sum to it exactly (rounding the running total); equal ones if the
    weights sum to 0.
    """
    if not sum(weights):
        weights = [Fraction(1)] * len(weights)
    whole, running, given, shares = sum(weights), Fraction(0), Decimal(0), []
    for weight in weights:
        running += weight
        upto = round_18(Fraction(amount) * running / whole)
        shares.append(EXACT.subtract(upto, given))
        given = upto
    return shares


def bill_openai(lines: list[Line], costs: Iterable[Cost], directory: Directory) -> list[Line]:
    """Sets `billed` on OpenAI lines; returns the billed-only lines of project-days with costs and no usage.

    AMBIGUITY (all as in the seams page): an item goes to the project-day's lines of its model, or a snapshot
    or base of it, all of them alike, else to all lines of the project-day; weights are estimated costs, or
    tokens when one of them is unknown or they sum to 0, else units, or equal. What is tracked shares like the rest. A project-day without a cost row: unknown, also
    when the cost bucket was answered empty. With one: lines without a share are 0. An amount in another
    currency than usd makes the lines that it would go to unknown. A billed-only line has operation
    chat_completion, the item's model, 0 units, 0 requests, estimated 0.
    """
    by_project_day: dict[tuple[str, date], list[Line]] = defaultdict(list)
    for line in lines:
        by_project_day[line.project, line.day].append(line)
    items: dict[tuple[str, date], dict[tuple[str, str], Decimal]] = defaultdict(dict)
    for c in costs:
        day_items, key = items[c.project, c.day], (c.line_item, c.currency)
        day_items[key] = EXACT.add(day_items.get(key, Decimal(0)), c.amount)

    billed_only: dict[tuple[str, date, str], Line] = {}
    for (project, day), day_items in items.items():
        group = by_project_day.get((project, day), [])
        for line in group:
            line.billed = Decimal(0)
        unknown: list[Line] = []
        for (line_item, currency), amount in sorted(day_items.items()):
            model = item_model(line_item)
            if not group:
                line = billed_only.setdefault((project, day, model), _billed_only(project, day, model, directory))
                if currency == "usd":
                    line.billed = EXACT.add(line.billed or Decimal(0), amount)
                continue
            targets = _targets(line_item, model, group)
            if currency != "usd":
                unknown += targets
                continue
            for line, share in zip(targets, spread(amount, _weights(targets)), strict=True):
                line.billed = EXACT.add(line.billed or Decimal(0), share)
                line.spread_widely |= len(targets) > 1
                line.spread_across_tenants |= len({x.tenant_id for x in targets}) > 1
        for line in unknown:
            line.billed = None
    return list(billed_only.values())


def _targets(line_item: str, model: str, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines that an item is for. AMBIGUITY: those of its model; a tool's, where it names one; else whatever counts
    tokens or has a price; else all. What else is counted has no estimated cost to take a share by.
    """
    of_model = [
        x for x in lines if x.model == model or is_snapshot_of(x.model, model) or is_snapshot_of(model, x.model)
    ]
    of_tool = [x for x in lines if x.operation in TOOLS and line_item.startswith(TOOLS[x.operation])]
    tokens = [x for x in lines if x.units == x.in_total or x.estimated is not None]
    return [x for x in of_model if x.units == x.in_total] or of_model or of_tool or tokens or lines


def _weights(lines: Sequence[Line]) -> list[Fraction]:
    estimates = [x.estimated for x in lines]
    if all(e is not None for e in estimates) and sum(Fraction(e or 0) for e in estimates):
        return [Fraction(e or 0) for e in estimates]
    tokens = [Fraction(x.in_total) for x in lines]
    return tokens if sum(tokens) else [Fraction(x.units) for x in lines]


def _billed_only(project: str, day: date, model: str, directory: Directory) -> Line:
    return Line(
        tenant_id=openai_tenant(project, "", day, directory),
        day=day,
        channel="ai",
        service="openai",
        operation="chat_completion",
        direction="outbound",
        source="openai",
        evidence="residual",
        units=0,
        requests=0,
        model=model,
        project=project,
        estimated=Decimal(0),
    )


# --- from records to lines ----------------------------------------------------------------------------------


def twilio_lines(
    provided: Provided, directory: Directory, as_of: datetime, named: Mapping[str, str] = MappingProxyType({})
) -> list[Line]:
    """A line for each record that counts. `named`: the tenants that tracked events give, by sid."""
    lines: list[Line] = []
    for m in provided.messages:
        day = message_day(m)
        if day is None or m.date_sent is None:
            continue
        channel, units = message_channel(m)
        direction = direction_of(m.direction)
        owner = message_tenant(m, day, directory)
        lines.append(
            Line(
                tenant_id=named.get(m.sid) or owner,
                record=m.sid,
                owner=owner,
                day=day,
                channel=channel,
                service="twilio_sms",
                operation=direction if channel == "sms" else f"mms_{direction}",
                direction=direction,
                source="twilio",
                evidence="provider",
                units=units,
                requests=1,
                billed=twilio_billed(m.price, m.price_unit, m.date_sent, as_of),
            )
        )
    calls = {c.sid: c for c in provided.calls}
    for c in provided.calls:
        day = call_day(c)
        if day is None or c.start_time is None:
            continue
        direction = direction_of(c.direction)
        lines.append(
            Line(
                tenant_id=call_tenant(c, day, directory, calls, named),
                record=c.sid,
                owner=call_tenant(c, day, directory, calls),
                day=day,
                channel="voice",
                service="twilio_voice",
                operation=direction,
                direction=direction,
                source="twilio",
                evidence="provider",
                units=started_minutes(c.duration),
                requests=1,
                billed=twilio_billed(c.price, c.price_unit, c.start_time, as_of),
            )
        )
    return lines


def openai_lines(usage: Iterable[Usage], directory: Directory) -> list[Line]:
    """Result objects of one (operation, project, key, model, tier, day) are one line; one of nothing but zeros is
    none.

    Evidence `residual`: without tracked events the residual is the provider's whole figure (seams page).
    """
    return [line for line in openai_buckets(usage, directory) if line.units or line.requests]


def openai_buckets(usage: Iterable[Usage], directory: Directory) -> list[Line]:
    """As openai_lines, with those of nothing but zeros."""
    lines: dict[tuple[str, str, str, str, str, date], Line] = {}
    for u in usage:
        line = lines.setdefault(
            (u.model, u.tier, u.operation, u.project, u.api_key, u.day),
            Line(
                tenant_id=openai_tenant(u.project, u.api_key, u.day, directory),
                day=u.day,
                channel="ai",
                service="openai",
                operation=u.operation,
                direction="outbound",
                source="openai",
                evidence="residual",
                units=0,
                requests=0,
                model=u.model,
                tier=u.tier,
                project=u.project,
                api_key=u.api_key,
            ),
        )
        line.units += u.input_tokens + u.output_tokens
        line.requests += u.requests
        line.input_tokens += u.input_tokens
        line.cached_input_tokens += u.cached_input_tokens
        line.cache_write_tokens += u.cache_write_tokens
        line.cache_write_1h_tokens += u.cache_write_1h_tokens
        line.output_tokens += u.output_tokens
    return [line for _, line in sorted(lines.items())]


def sendgrid_lines(
    emails: Iterable[Emails],
    listed: set[str],
    directory: Directory,
    parent_stats: str,
    categories: Iterable[Emails] = (),
) -> list[Line]:
    """A line for each subuser-day with requests; what the parent's own figure adds is its categories' and, for the
    rest, unattributed.

    Only subusers of the provider's list or of the directory (at any time) are asked for; a third one's mail
    shows up in the parent's total. Only the directory's categories are asked for. A day on which they come to
    more than the parent has sent by itself is not divided. AMBIGUITY: one that nobody owns that day takes no part.
    """
    known = listed | {
        r.resource_id for r in directory.resources if (r.provider, r.resource_type) == ("sendgrid", "subuser")
    }
    by_day: dict[date, int] = defaultdict(int)
    parent: dict[date, int] = defaultdict(int)
    by_category: dict[date, list[Emails]] = defaultdict(list)
    lines: list[Line] = []

    def line(tenant_id: str, day: date, count: int, resource: str) -> Line:
        return Line(
            tenant_id=tenant_id,
            day=day,
            channel="email",
            service="sendgrid",
            operation="send",
            direction="outbound",
            source="sendgrid",
            evidence="residual",
            units=count,
            requests=count,
            project=resource,
        )

    for e in emails:
        if not e.subuser:
            parent[e.day] += e.requests
        elif e.subuser in known:
            by_day[e.day] += e.requests
            owner = directory.owner("sendgrid", "subuser", e.subuser, e.day) or UNATTRIBUTED
            lines.append(line(owner, e.day, e.requests, e.subuser))
    for c in categories:
        if directory.owner("sendgrid", "category", c.subuser, c.day):
            by_category[c.day].append(c)
    for day, count in parent.items():
        own = count if parent_stats == "own" else max(0, count - by_day[day])
        if (divided := sum(c.requests for c in by_category[day])) <= own:
            own -= divided
            lines += [
                line(
                    directory.owner("sendgrid", "category", c.subuser, day) or UNATTRIBUTED,
                    day,
                    c.requests,
                    f"category:{c.subuser}",
                )
                for c in by_category[day]
            ]
        lines.append(line(UNATTRIBUTED, day, own, ""))
    return [x for x in lines if x.units > 0]


def merged(lines: Iterable[Line]) -> list[Line]:
    """Records that are told apart by nothing but themselves as one line, which is priced and cast once.

    AMBIGUITY: "one cast per line" is of what is priced as one. What nobody can convert is a line of its own.
    """
    groups: dict[tuple[object, ...], Line] = {}
    for line in lines:
        key = (
            line.tenant_id, line.day, line.channel, line.service, line.operation, line.direction, line.source,
            line.evidence, line.model, line.feature, line.activity, line.amount is None,
            line.amount is None and line.billed is None,
        )  # fmt: skip
        if key not in groups:
            groups[key] = replace(line, record="", owner="")
            continue
        whole = groups[key]
        whole.units += line.units
        whole.requests += line.requests
        whole.amount = None if whole.amount is None or line.amount is None else whole.amount + line.amount
        known = whole.billed is not None and line.billed is not None
        whole.billed = EXACT.add(whole.billed or Decimal(0), line.billed or Decimal(0)) if known else None
    return list(groups.values())


# --- sums ---------------------------------------------------------------------------------------------------


def estimated_sum(lines: Sequence[Line], of_nothing: Decimal | None = None) -> Decimal | None:
    """The sum of the priced lines; None if there are lines and none is priced; `of_nothing` if there are
    none.
    """
    if not lines:
        return of_nothing
    priced = [x.estimated for x in lines if x.estimated is not None]
    return total(priced) if priced else None


def billed_sum(lines: Sequence[Line]) -> Decimal | None:
    """None until all lines are known."""
    known = [x.billed for x in lines if x.billed is not None]
    return total(known) if len(known) == len(lines) else None


def cents(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else EXACT.multiply(usd, Decimal(100))


def is_final(day: date, as_of: datetime, lookback: int) -> bool:
    """Whether the day is closed; a cell of it is final if no line in it is provisional. AMBIGUITY: compared as
    dates: older than (as-of day − lookback days).
    """
    return day < as_of.date() - timedelta(days=lookback)


# --- caps ---------------------------------------------------------------------------------------------------


def limits_of(tenant_id: str, month_end: date, as_of: datetime, directory: Directory, seeds: Seeds) -> list[Limit]:
    """The plan's limits of the month (its last day, or as-of), overridden by the tenant's own. Nobody owns
    `unattributed`.

    AMBIGUITY: a tenant without a plan still has its own overrides ("no caps" speaks of the plan's).
    """
    version = directory.version(tenant_id, min(month_end, as_of.date()))
    limits = {(x.channel, x.metric): x for x in seeds.limits.get(version.plan if version else "", ())}
    for own in directory.limits.get(tenant_id, ()):
        plans = limits.get((own.channel, own.metric))
        limits[own.channel, own.metric] = Limit(
            own.channel,
            own.metric,
            plans.direction if plans else "any",
            own.cap,
            own.threshold if own.threshold is not None else plans.threshold if plans else Decimal(80),
        )
    return list(limits.values())


def used_of(limit: Limit, lines: Iterable[Line]) -> Decimal:
    """By the limit's metric and direction, of one tenant's month. AMBIGUITY: cost_cents is the estimated
    cost, unpriced as 0.
    """
    counted = [
        x
        for x in lines
        if x.channel == limit.channel and limit.direction in ("any", x.direction)
    ]  # fmt: skip
    if limit.metric == "requests":
        return Decimal(sum(x.requests for x in counted))
    if limit.metric == "units":
        return Decimal(sum(x.in_total for x in counted))
    return cents(estimated_sum(counted)) or Decimal(0)


def cap_status(used: Decimal, cap: Decimal | None, threshold: Decimal) -> tuple[Decimal | None, str]:
    """(percent_used, status). No cap: (None, ok)."""
    if cap is None:
        return None, "ok"
    percent = Fraction(100 if used else 0) if cap == 0 else Fraction(used) * 100 / Fraction(cap)
    status = "warning" if percent >= Fraction(threshold) else "ok"
    if used > cap:
        status = "over_cap"
    return round_18(percent), status


def worst(statuses: Iterable[str]) -> str:
    return max(statuses, key=STATUS_ORDER.index, default="ok")
