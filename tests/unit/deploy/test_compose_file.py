"""docker-compose.yml: its shape, where its names lead, and what every service must keep to."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from typer.main import get_command

from cli.demos import BUNDLED
from cli.main import app
from cli.settings import Settings
from tests.unit.deploy.compose_checks import (
    policy_problems,
    reference_problems,
    shape_problems,
)
from tests.unit.deploy.compose_file import (
    FILE,
    ROOT,
    USER,
    MissingVariableError,
    is_serving,
    parse,
    read,
    start_order,
)


@pytest.fixture
def document():
    return read()


def test_the_file_has_only_known_keys_of_the_right_types(document):
    assert shape_problems(document) == []


def test_every_name_leads_somewhere_and_is_used(document):
    assert reference_problems(document) == []


def test_every_service_is_confined_limited_and_looked_after(document):
    assert policy_problems(document) == []


def test_services_are_those_promised_and_start_in_order(document):
    order = start_order(document)
    demos = {f"demo-{each.name}" for each in BUNDLED}
    jobs = {name for name, service in document["services"].items() if not is_serving(service)}
    assert jobs == {"migrate", "topics", "detectors", *demos}
    assert set(order) == {*jobs, "kafka", "postgres", "worker", "api"}
    for before, after in [
        ("postgres", "migrate"), ("kafka", "topics"), ("migrate", "worker"), ("topics", "worker"),
        ("detectors", "worker"), ("migrate", "api"), *(("worker", demo) for demo in demos),
    ]:  # fmt: skip
        assert order.index(before) < order.index(after)


def test_what_only_some_may_reach(document):
    services = document["services"]
    assert document["networks"]["backend"] == {"internal": True}
    on_the_edge = {
        name for name, service in services.items() if "edge" in service.get("networks", [])
    }
    assert (
        on_the_edge
        == {name for name, service in services.items() if "ports" in service}
        == {"api"}
    )
    for secret, readers in {
        "postgres_password": {"postgres", "migrate", "worker", "api"},
        "api_pepper": {"api"},
    }.items():
        assert {
            n for n, service in services.items() if secret in service.get("secrets", [])
        } == readers
    writers = [
        (name, mounted)
        for name, service in services.items()
        for mounted in service.get("volumes", [])
        if mounted.startswith("detectors:") and not mounted.endswith(":ro")
    ]
    assert writers == [("detectors", "detectors:/var/lib/tocsin/detectors")]


def test_bundled_detectors_all_run_and_each_has_its_demo(document):
    services = document["services"]
    names = [word for word in services["worker"]["command"][2:] if word != "--detector"]
    assert names == [each.name for each in BUNDLED]
    for each in BUNDLED:
        demo = services[f"demo-{each.name}"]
        assert demo["command"][:5] == ["tocsin", "produce", each.dataset, "--detector", each.name]
        assert demo["profiles"] == ["demo"]


def test_every_command_is_one_of_ours_with_options_that_it_has(document):
    for name, service in document["services"].items():
        if "build" in service:
            program, *arguments = service["command"]
            assert program == "tocsin"
            assert parsed(get_command(app), arguments), name


def parsed(command, arguments):
    """Parse arguments down to the command that would run, and return its parameters."""
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command.make_context(command.name, list(arguments)).params


def test_the_worker_can_be_scaled(document):
    worker = document["services"]["worker"]
    assert {"container_name", "ports", "hostname"} & set(worker) == set()
    assert read(USER | {"TOCSIN_WORKERS": "4"})["services"]["worker"]["deploy"]["replicas"] == "4"


def test_without_make_secrets_compose_stops_and_says_what_to_do():
    with pytest.raises(MissingVariableError, match="run deploy/make-secrets first"):
        read({})


def test_every_setting_of_ours_is_one_that_exists(document):
    known = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    for name, service in document["services"].items():
        ours = {key for key in service.get("environment", {}) if key.startswith("TOCSIN_")}
        assert ours <= known, name


def test_our_image_bears_this_version(document):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    built = {s["image"] for s in document["services"].values() if "build" in s}
    assert built == {f"tocsin:{version}"}


def test_what_is_written_lies_on_a_volume_or_in_memory(document):
    """The file systems are read-only: a setting that names a folder must name one that is not."""
    for name, service in document["services"].items():
        places = [mounted.split(":")[1] for mounted in service.get("volumes", [])]
        places += [mounted.split(":")[0] for mounted in service.get("tmpfs", [])]
        places += [f"/run/secrets/{secret}" for secret in service.get("secrets", [])]
        for key, value in service.get("environment", {}).items():
            if value.startswith("/"):
                assert any(f"{value}/".startswith(f"{place}/") for place in places), (name, key)


def broken(document, path, value):
    """Return a copy with one place of it changed, or taken out if `value` is None."""
    changed = copy.deepcopy(document)
    node = changed
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "check", "words"),
    [
        (("services", "api", "comand"), ["x"], shape_problems, "unknown key 'comand'"),
        (("services", "api", "restart"), False, shape_problems, "False is not like"),
        (("services", "api", "command"), "tocsin api", shape_problems, "a list is wanted"),
        (("services", "api", "environment", "TOCSIN_PORT"), 8600, shape_problems, "no str"),
        (("services", "api", "healthcheck", "interval"), "soon", shape_problems, "not like"),
        (("services", "worker", "container_name"), "w", shape_problems, "unknown key"),
        (("services", "api", "depends_on", "cache"), {"condition": "service_healthy"},
         reference_problems, "depends on cache, which is not there"),
        (("services", "kafka", "healthcheck"), None, reference_problems, "has no check"),
        (("services", "migrate", "restart"), "unless-stopped",
         reference_problems, "which has none"),
        (("services", "kafka", "depends_on"), {"api": {"condition": "service_healthy"}},
         reference_problems, "in a circle"),
        (("secrets", "api_pepper"), None, reference_problems, "api_pepper is used, not declared"),
        (("volumes", "more"), {}, reference_problems, "more is declared, not used"),
        (("services", "api", "user"), "0:0", policy_problems, "not root"),
        (("services", "api", "user"), "10001:0", policy_problems, "not root"),
        (("services", "api", "read_only"), None, policy_problems, "can be written"),
        (("services", "kafka", "cap_drop"), None, policy_problems, "keeps capabilities"),
        (("services", "kafka", "security_opt"), None, policy_problems, "gain privileges"),
        (("services", "demo-scam", "deploy"), None, policy_problems, "have no limit"),
        (("services", "demo-scam", "logging"), None, policy_problems, "logs have no limit"),
        (("services", "api", "tmpfs"), ["/run/x"], policy_problems, "in memory have no limit"),
        (("services", "kafka", "image"), "apache/kafka:latest", policy_problems, "no exact tag"),
        (("services", "postgres", "image"), "postgres:17", policy_problems, "no exact tag"),
        (("services", "postgres", "image"), "postgres", policy_problems, "no exact tag"),
        (("services", "postgres", "environment", "POSTGRES_PASSWORD"), "x", policy_problems,
         "may hold a secret"),
        (("services", "api", "environment", "TOCSIN_STORE_URL"), "postgresql://a:b@c/d",
         policy_problems, "holds a password"),
        (("services", "api", "secrets"), ["postgres_password"],
         policy_problems, "not given to it"),
        (("services", "api", "ports"), ["8600:8600"], policy_problems, "open to other machines"),
        (("services", "api", "volumes"), ["/:/host"], policy_problems, "from the host"),
        (("services", "api", "restart"), None, policy_problems, "not started again"),
        (("services", "worker", "healthcheck"), None, policy_problems, "nobody looks"),
        (("services", "worker", "stop_grace_period"), None, policy_problems, "how long"),
    ],
)  # fmt: skip
def test_the_checks_find(document, path, value, check, words):
    problems = check(broken(document, path, value))
    assert [each for each in problems if words in each], problems


def test_a_key_that_stands_twice_is_refused_as_compose_does():
    with pytest.raises(yaml.YAMLError, match="'image' stands here twice"):
        parse("services:\n  a:\n    image: x:1.0\n    image: y:1.0\n")


def test_a_dollar_sign_is_written_twice():
    assert parse("a: $$HOME ${X:-d} ${X}", {})["a"] == "$HOME d "


def test_the_page_names_every_service_variable_and_secret(document):
    page = (ROOT / "docs/compose.md").read_text()
    variables = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    for name in {*document["services"], *document["secrets"], *document["volumes"], *variables}:
        assert f"`{name}`" in page, name


def test_compose_itself_takes_the_file():
    """Compose's client needs no engine for this."""
    if shutil.which("docker") is None or _compose("version").returncode != 0:
        pytest.skip("no `docker compose` here: only our own checks looked at docker-compose.yml")
    done = _compose("--profile", "demo", "config", "--quiet")
    assert done.returncode == 0, done.stderr


def _compose(*arguments):
    command = ["docker", "compose", "--file", str(FILE), *arguments]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **USER}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
