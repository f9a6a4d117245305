"""Dockerfile, compose.yaml and the files they mount agree with each other and with the package."""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.support.compose import ROOT, SECRETS, Service, compose, services
from tests.unit.test_metrics import CHECKS, COUNTS
from tickerplant.cli import load_command
from tickerplant.serve.metrics import metrics
from tickerplant.settings import SETTINGS, read_settings

SERVICES = services()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
OURS = [s for s in SERVICES.values() if s.raw["image"].startswith("tickerplant:")]
AIRFLOW = [s for s in SERVICES.values() if s.raw["image"].startswith("tickerplant-airflow:")]
SETTING_NAMES = {name for s in SETTINGS for name in s.env}
FOREIGN = {"db": "POSTGRES|TIMESCALEDB", "airflow-db": "POSTGRES", "grafana": "GF"}
"""Services of others, and how the variables of their images begin."""


def every(found: list[Service]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", found, ids=lambda s: s.name)


def test_every_profile_has_its_services() -> None:
    names = {profile: {s.name for s in SERVICES.values() if profile in s.profiles} for profile in ("core", "airflow")}
    assert names["core"] == {"db", "init", "run"}
    parts = {"api", "scheduler", "dag-processor", "triggerer", "worker", "init", "db"}
    assert names["airflow"] == {"db", "init", "redis", *(f"airflow-{part}" for part in parts)}
    assert {s.name for s in SERVICES.values() if s.profiles == {"monitoring"}} == {"metrics", "prometheus", "grafana"}
    assert {s.name for s in SERVICES.values() if s.profiles == {"s3"}} == {"s3"}


@every(list(SERVICES.values()))
def test_a_service_is_pinned_restarted_bounded_and_private(service: Service) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+[\w.-]*", service.raw["image"])
    assert service.raw["image"].partition(":")[2] == VERSION or not service.raw.get("build")
    assert service.raw["restart"] in ("unless-stopped", "on-failure:5")
    assert service.raw["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.raw.get("ports", []))
    assert not service.raw.keys() & {"privileged", "network_mode", "pid"}
    one_shot = service.raw["restart"] == "on-failure:5"
    assert one_shot or service.healthcheck


@every(list(SERVICES.values()))
def test_what_a_service_waits_for_is_in_its_profiles_and_can_come_true(service: Service) -> None:
    for name, needs in service.raw.get("depends_on", {}).items():
        other = SERVICES[name]
        assert service.profiles <= other.profiles
        ends = other.raw["restart"] == "on-failure:5"
        assert {
            "service_healthy": bool(other.healthcheck) and not ends,
            "service_completed_successfully": ends,
            "service_started": True,
        }[needs["condition"]]


@every(list(SERVICES.values()))
def test_every_file_a_service_names_is_there(service: Service) -> None:
    for mount in service.raw.get("volumes", []):
        source, target, *mode = mount.split(":")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == ["ro"]
        else:
            assert source in compose()["volumes"]
        assert target.startswith("/")
    named = set(re.findall(rf"{SECRETS}(\w+)", service.text))
    assert named == set(service.raw.get("secrets", []))


@every(OURS + AIRFLOW)
def test_every_variable_of_ours_is_a_setting(service: Service) -> None:
    ours = {name for name in service.environment if not name.startswith("AIRFLOW__")}
    assert {name.removesuffix("_FILE") for name in ours} <= SETTING_NAMES
    filed = {name for name, value in service.environment.items() if value.startswith(SECRETS)}
    assert all(name.endswith("_FILE") for name in filed)


def test_variables_of_other_images_are_theirs() -> None:
    for service in (s for s in SERVICES.values() if s not in OURS + AIRFLOW):
        for name in service.environment:
            assert re.match(FOREIGN[service.name], name)


@every(OURS)
def test_the_words_of_a_service_are_a_command_line(service: Service) -> None:
    assert service.entrypoint is None
    parses(service.command)


def parses(words: list[str]) -> None:
    command = load_command(words[0])
    with command.make_context(words[0], list(words[1:])):
        pass


@every(list(SERVICES.values()))
def test_a_health_check_is_a_command_of_its_image(service: Service) -> None:
    kind, *words = service.healthcheck or ["NONE"]
    if kind == "NONE":
        return
    assert kind in ("CMD", "CMD-SHELL")
    programs = {"tickerplant", "python", "pg_isready", "wget", "redis-cli", "airflow", "celery"}
    program = words[0] if kind == "CMD" else re.sub(r'^\w+="[^"]*" ', "", words[0]).split()[0]
    assert program in programs
    if words[0] == "tickerplant":
        parses(words[1:])
    if words[0] == "python":
        compile(words[2], service.name, "exec")
    if kind == "CMD-SHELL":
        assert subprocess.run(["sh", "-n", "-c", words[0]], check=False).returncode == 0


def test_secrets_are_made_for_everything_that_wants_one(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    (tmp_path / "other").mkdir()
    for _ in range(2):
        subprocess.run([ROOT / "deploy" / "make-secrets", folder], check=True, timeout=30)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    declared = compose()["secrets"]
    assert set(declared) == set(made)
    assert all(entry == {"file": f"./secrets/{name}"} for name, entry in declared.items())
    assert {name for s in SERVICES.values() for name in s.raw.get("secrets", [])} == set(declared)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    values = [value for value in made.values() if value]
    assert len(set(values)) == len(values)
    assert made["postgres_password"] not in (made["airflow_db_password"], "")
    assert made["airflow_db_password"] in made["airflow_database"]
    assert made["redis_password"] in made["airflow_broker"]
    assert list(json.loads(made["airflow_passwords"])) == ["admin"]
    subprocess.run([ROOT / "deploy" / "make-secrets", folder], check=True, timeout=30)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_the_settings_of_the_plant_read_as_they_are_meant(tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy" / "make-secrets", tmp_path], check=True, timeout=30)
    password = (tmp_path / "postgres_password").read_text()
    (tmp_path / "alpaca_secret_key").write_text("hush\n")
    for service in OURS:
        found = read_settings(service.here(tmp_path), None)
        assert found.store == f"postgresql://tickerplant:{password}@db:5432/tickerplant"
        assert (found.log, found.alpaca_secret.reveal(), found.alpaca_key) == ("/data/log", "hush", "")
    database = SERVICES["db"].environment
    assert {database[k] for k in ("POSTGRES_DB", "POSTGRES_USER")} == {"tickerplant"}
    assert database["POSTGRES_PASSWORD_FILE"] == SERVICES["run"].environment["POSTGRES_PASSWORD_FILE"]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of the Dockerfile by stage."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found[rest.split()[-1]] = []
        found[list(found)[-1]].append((word, rest))
    return found


def test_the_last_image_is_small_without_root_and_ends_when_told() -> None:
    found = stages()
    assert list(found)[-1] == "tickerplant"
    last = dict(found["base"]) | dict(found["tickerplant"])
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["VOLUME"]) == ["/data"]
    entry = json.loads(last["ENTRYPOINT"])
    health = json.loads(last["HEALTHCHECK"].rpartition("CMD ")[2])
    assert (entry, health) == (["tickerplant"], SERVICES["run"].healthcheck[1:])
    parses(json.loads(last["CMD"]))
    parses(health[1:])
    assert found[""] == [("ARG", "PYTHON=3.12.13-slim-trixie")]
    assert {rest.split()[0] for stage in found.values() for word, rest in stage if word == "FROM"} == {
        "python:${PYTHON}",
        "base",
        "build",
    }
    runs = " ".join(rest for name in ("base", "tickerplant", "airflow") for word, rest in found[name] if word == "RUN")
    assert "pip uninstall" in runs
    assert not re.search("build-essential|gcc|pip install", runs)


def test_every_package_of_an_image_is_pinned_with_its_hash() -> None:
    runs = " && ".join(r for s in stages().values() for k, r in s if k == "RUN")
    installs = re.findall(r"pip[^&]*? install ([^&]*)", runs)
    locked = [shlex.split(words) for words in installs if "-r" in words]
    assert {words[-1] for words in locked} == {f"deploy/{name}.lock" for name in ("build", "image", "airflow")}
    assert all("--require-hashes" in words and "--no-deps" in words for words in locked)
    assert [words.strip() for words in installs if "-r" not in words.split()] == ["--no-deps --no-index /wheel/*.whl"]


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each package of a lock."""
    entries = re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)[^\n]*((?:\n    --hash=\S+(?: \\)?)+)", (ROOT / name).read_text())
    return {package: (version, frozenset(re.findall(r"sha256:\w+", rest))) for package, version, rest in entries}


def test_images_hold_the_versions_that_are_tested() -> None:
    tested, image, airflow = pins("requirements.lock"), pins("deploy/image.lock"), pins("deploy/airflow.lock")
    assert image.keys() <= tested.keys()
    assert {k: v for k, v in image.items() if v != tested[k]} == {}
    assert {k: v for k, v in image.items() if airflow[k] != v} == {}
    assert {k for k, v in airflow.items() if k in tested and v != tested[k]} == set()
    assert airflow["apache-airflow"][0] == "3.3.2"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for name in ("postgres", "s3", "serve", "transform") for r in extras[name])]
    assert {re.split(r"[\[<>=;]", r)[0] for r in wanted} <= image.keys()
    assert not image.keys() & {"pytest", "mypy", "ruff", "hatchling", "matplotlib"}


def test_the_builder_is_sent_what_it_copies_and_no_more() -> None:
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    copied = [word for stage in stages().values() for k, rest in stage if k == "COPY" for word in rest.split()[:-1]]
    sources = {word for word in copied if not word.startswith(("--from", "/"))}
    assert all((ROOT / source).exists() for source in sources)
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert {s if "/" not in s else f"{Path(s).parent}/*.lock" for s in sources} == allowed - {"deploy"}


def test_airflow_finds_the_dags_where_the_image_has_them() -> None:
    environment = dict(stages()["airflow"])["ENV"]
    version = re.match(r"PYTHON=(\d+\.\d+)", stages()[""][0][1])
    assert version is not None
    folder = f"/venv/lib/python{version[1]}/site-packages/tickerplant/dags"
    assert f"AIRFLOW__CORE__DAGS_FOLDER={folder} " in environment
    pools = re.findall(rf"{folder}/(\S+)", SERVICES["airflow-init"].text)
    assert [(ROOT / "src/tickerplant/dags" / name).is_file() for name in pools] == [True]
    for service in AIRFLOW:
        assert all(re.fullmatch("AIRFLOW__[A-Z_]+", k) for k in service.environment if k.startswith("AIRFLOW"))
        secret = {k for k, v in service.environment.items() if v.startswith("cat ")}
        assert all(k.endswith("_CMD") for k in secret)
        assert len(secret) == 6


NAMES = {m.name for m in metrics(CHECKS, COUNTS, datetime(2025, 11, 20, tzinfo=UTC), "0")}


def test_dashboard_and_alerts_use_metrics_that_exist() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/tickerplant.json").read_text())
    source = yaml.safe_load((ROOT / "deploy/grafana/datasource.yml").read_text())["datasources"][0]
    shown = {t["expr"] for panel in dashboard["panels"] for t in panel["targets"]}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    alerts = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
    for expression in shown | {rule["expr"] for rule in alerts}:
        used = set(re.findall(r"\btickerplant_\w+", expression))
        assert used <= NAMES
        assert used or "up{" in expression
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in dashboard["panels"])


def test_prometheus_scrapes_the_port_that_is_served_and_grafana_asks_prometheus() -> None:
    words = SERVICES["metrics"].command
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    [scrape] = config["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"metrics:{words[words.index('--port') + 1]}"]}]
    mounted = [m.split(":")[1] for m in SERVICES["prometheus"].raw["volumes"]]
    assert set(config["rule_files"]) <= set(mounted)
    source = yaml.safe_load((ROOT / "deploy/grafana/datasource.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((ROOT / "deploy/grafana/dashboards.yml").read_text())["providers"][0]
    home = SERVICES["grafana"].environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in [m.split(":")[1] for m in SERVICES["grafana"].raw["volumes"]]
    assert str(Path(home).parent) == provider["options"]["path"]
