"""What a deployment is set up by: `.env.example`, `deploy/`, and that docker-compose.yml hands on each setting of each process.

No Docker engine is needed: compose's own merging and its engine are not tried here.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from cli.secret_files import secrets
from collector.settings import Settings as CollectorSettings
from costs.alerts.senders import AlertSettings
from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from sandbox import Dataset
from sandbox.state import State
from tests.e2e.system import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
INTERPOLATED = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")
PROXY: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.proxy.yml").read_text())
SECRET_FILES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.secrets.yml").read_text())
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "usage-metering"}

# "Now" is pinned by tests and demonstrations only. The rest, compose itself knows: the API reads with its own role's URL.
NOT_SET = {"METERING_AS_OF"}
READ_BY = {"code-location": (IngestSettings, AlertSettings), "api": (ApiSettings,), "collector": (CollectorSettings,)}
NOT_HANDED_ON = {"api": {"METERING_DATABASE_URL"}}


def variables(path: Path) -> dict[str, str]:
    """Return the lines NAME=value, commented out (as #NAME=value) or not."""
    found = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", path.read_text(), re.MULTILINE)
    assert len({name for name, _ in found}) == len(found), "a setting is there twice"
    return dict(found)


def test_the_example_has_every_setting_of_compose_with_its_default_and_no_other() -> None:
    defaults: dict[str, str] = {}
    for match in INTERPOLATED.finditer(TEXT):
        # Dagster's servers have a word of their own for the format that is the default.
        default = (match["default"] or "").replace("colored", "")
        assert defaults.setdefault(match["name"], default) == default, f"{match['name']} has two defaults"
    assert variables(ROOT / ".env.example") == defaults


def test_what_must_be_set_stands_in_the_example_without_a_comment_sign() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert required <= {line.removesuffix("=") for line in lines if not line.startswith("#")}


@pytest.mark.parametrize(
    ("service", "settings"), [(service, found) for service, classes in READ_BY.items() for found in classes]
)
def test_compose_hands_on_every_setting_that_a_process_reads(service: str, settings: type[BaseSettings]) -> None:
    declared = {name for field in settings.model_fields.values() for name in _names(field.validation_alias)}
    missing = declared - set(SERVICES[service]["environment"]) - NOT_SET - NOT_HANDED_ON.get(service, set())
    assert missing == set()


def _names(alias: Any) -> list[str]:
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]


def test_containers_are_bounded_and_our_own_are_read_only() -> None:
    for name, service in {**SERVICES, **PROXY["services"]}.items():
        if "image" not in service:
            continue  # of the proxy's file: an addition to one that is looked at
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "postgres":  # its image prepares its folders as root
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
            assert "/tmp" in service["tmpfs"], name
    for name, service in OURS.items():
        kept = [*service["tmpfs"], *(line.partition(":")[2] for line in service.get("volumes", ()))]
        assert "/var/lib/metering" in kept, f"{name} has nowhere to keep compiled modules"


def test_images_of_others_have_a_whole_version() -> None:
    images = {service["image"] for service in [*SERVICES.values(), *PROXY["services"].values()] if "image" in service}
    assert len(images) == 3
    for image in images - {"usage-metering"}:
        assert re.search(r":\d+(\.\d+)+(-\w+)?(@sha256:\w+)?$", image), image


def test_nothing_is_published_to_other_hosts_but_the_proxy() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert [name for name, service in PROXY["services"].items() if "ports" in service] == ["proxy"]


def test_the_api_believes_the_proxy_s_address_and_no_other() -> None:
    address = PROXY["services"]["proxy"]["networks"]["proxy"]["ipv4_address"]
    for name in ("api", "collector"):
        assert INTERPOLATED.sub(r"\g<default>", SERVICES[name]["environment"]["FORWARDED_ALLOW_IPS"]) == "127.0.0.1"
        assert PROXY["services"][name]["environment"]["FORWARDED_ALLOW_IPS"] == address


def test_dagster_is_behind_a_password_and_metrics_stay_inside() -> None:
    sites = re.findall(
        r"^\{\$(\w+)\} \{\n(.*?)^\}", (ROOT / "deploy" / "Caddyfile").read_text(), re.MULTILINE | re.DOTALL
    )
    by_target = {target: body for _, body in sites for target in re.findall(r"reverse_proxy (\S+)", body)}
    assert "basic_auth" in by_target["webserver:3000"]
    assert all("respond /metrics 404" in by_target[name] for name in ("api:8000", "collector:8010"))
    assert {target.partition(":")[0] for target in by_target} <= set(SERVICES)
    asked = set(re.findall(r"\{\$(\w+)\}", (ROOT / "deploy" / "Caddyfile").read_text()))
    assert asked == set(PROXY["services"]["proxy"]["environment"])


def test_secret_files_are_of_known_secrets_and_each_is_given_to_its_reader() -> None:
    for name, service in SECRET_FILES["services"].items():
        files = {variable.removesuffix("_FILE"): path for variable, path in service["environment"].items()}
        assert set(files) <= set(secrets()) & set(SERVICES[name]["environment"]), name
        assert set(service["secrets"]) == {path.removeprefix("/run/secrets/") for path in files.values()}, name
        assert set(service["secrets"]) <= set(SECRET_FILES["secrets"])


def test_the_sandbox_s_file_points_every_provider_at_the_sandbox() -> None:
    chosen = variables(ROOT / "deploy" / "sandbox.env")
    day = date(2026, 11, 1)
    answered = State(Dataset.generate(tenants=6, first=day, last=day)).environment("http://sandbox:8020")
    needed = {
        name
        for provider, known in PROVIDER_VARIABLES.items()
        for name in (*known.required, f"{provider.upper()}_BASE_URL")
        if name in answered
    }
    assert {name: chosen.get(name) for name in needed} == {name: answered[name] for name in needed}
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) <= set(chosen)
    assert set(chosen) - {"COMPOSE_PROFILES"} <= set(variables(ROOT / ".env.example"))
