#!/usr/bin/env bash
# cloudevents 2.2.0 (the official Python SDK, since its rewrite): events made of the same attributes have the same id, and are one event.
#
# A CloudEvent without `id` and `time` gets both when it is made; in 1.x from whatever mapping it was given, which stays as it is. One would
# expect the same of 2.x. It writes them into the caller's dict and keeps that dict. Seen of three events of one dict with `type` and
# `source`, in which the tenant's `subject` is set before each:
#
#   cloudevents.core.v1.event.CloudEvent, the class of 2.x     1 id, 1 time, and the subject of the last in all of them
#   cloudevents.v1.http.CloudEvent, kept as it was in 1.x      3 ids, 3 times, 3 subjects
#   the class of 2.x, given a copy of the dict each time       3 ids, 3 times, 3 subjects
#
# The id stays in the dict, so it is the id of all events that a process makes of a constant.
#
# Why a user of usage metering cares: the type and source of a product's usage never change, so a constant with both is how they are
# written. A collector counts each source and id once, as it must: of all calls of 1 unit that a process sends one is counted, and of calls
# with other units all but the first are refused. With the subject in the dict, events that wait in a queue become the last tenant's. What
# helps: `CloudEvent(dict(TEMPLATE), …)`, or an id of one's own in each event.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'cloudevents==2.2.0' 'python-dateutil==4.0.0' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from time import sleep

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_json
from cloudevents.v1.http import CloudEvent as CloudEventAsIn1


def seen(make, write):
    """Return how many ids, times and subjects there are in three events that are made of one dict, then sent."""
    attributes = {"type": "openai.chat_completion", "source": "/shop"}
    events = []
    for tenant in ("acme", "globex", "initech"):
        attributes["subject"] = tenant
        events.append(make(attributes))
        sleep(0.001)
    bodies = [json.loads(write(event)) for event in events]
    return tuple(len({body[name] for body in bodies}) for name in ("id", "time", "subject"))


usage, of_2 = {"units": 1}, JSONFormat().write
ways = {
    "2.x": (seen(lambda attributes: CloudEvent(attributes, usage), of_2), (1, 1, 1)),
    "as in 1.x": (seen(lambda attributes: CloudEventAsIn1(attributes, usage), to_json), (3, 3, 3)),
    "2.x, of a copy": (seen(lambda attributes: CloudEvent(dict(attributes), usage), of_2), (3, 3, 3)),
}
changed = 0
for way, (counts, expected) in ways.items():
    changed += counts != expected
    print(f"{way}: ids, times, subjects: {counts} {'' if counts == expected else f'CHANGED, was {expected}'}")
sys.exit(changed)
PYTHON
echo "as stated"
