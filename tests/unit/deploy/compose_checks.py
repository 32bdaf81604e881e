"""What we ask of docker-compose.yml: its shape, its names, and how services are confined.

The shape is our own list of the keys that we use, narrower than Compose's: a key that is not
listed here is a slip until someone lists it.
"""

from __future__ import annotations

import re
from graphlib import CycleError
from itertools import chain
from pathlib import Path

from tests.unit.deploy.compose_file import is_serving, start_order

# --- shape: which keys there may be, and of what type ------------------------------------------


class MapOf:
    """A mapping with free keys, all its values of one shape."""

    def __init__(self, values):
        self.values = values


SECONDS = re.compile(r"(\d+m)?(\d+s)?")
BYTES = re.compile(r"\d+[kmg]")
LOGGING = {"driver": str, "options": MapOf(str)}
LIMITS = {"cpus": re.compile(r"\d+\.\d+"), "memory": BYTES, "pids": int}
SERVICE = {
    "build": str,
    "cap_drop": [str],
    "command": [str],
    "depends_on": MapOf({"condition": re.compile(r"service_(healthy|completed_successfully)")}),
    "deploy": {"replicas": re.compile(r"\d+"), "resources": {"limits": LIMITS}},
    "environment": MapOf(str),
    "healthcheck": {
        "test": [str],
        "interval": SECONDS,
        "timeout": SECONDS,
        "retries": int,
        "start_period": SECONDS,
        "start_interval": SECONDS,
    },
    "image": str,
    "init": bool,
    "logging": LOGGING,
    "network_mode": re.compile("none"),
    "networks": [str],
    "ports": [str],
    "profiles": [str],
    "read_only": bool,
    "restart": re.compile("no|unless-stopped"),
    "secrets": [str],
    "security_opt": [str],
    "shm_size": BYTES,
    "stop_grace_period": SECONDS,
    "tmpfs": [str],
    "user": str,
    "volumes": [str],
}
DOCUMENT = {
    "name": str,
    "services": MapOf(SERVICE),
    "networks": MapOf({"internal": bool}),
    "volumes": MapOf({}),
    "secrets": MapOf({"file": str}),
}


def shape_problems(value, shape=DOCUMENT, at="file"):
    """Return where `value` has another shape, in words."""
    if isinstance(shape, MapOf | dict):
        if not isinstance(value, dict):
            return [f"{at}: a mapping is wanted, not {value!r}"]
        return _mapping_problems(value, shape, at)
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f"{at}: a list is wanted, not {value!r}"]
        parts = (shape_problems(each, shape[0], f"{at}[{n}]") for n, each in enumerate(value))
        return list(chain.from_iterable(parts))
    if isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and value and shape.fullmatch(value)
        return [] if fits else [f"{at}: {value!r} is not like {shape.pattern}"]
    # exactly: to Python, `true` is an integer too
    return [] if type(value) is shape else [f"{at}: {value!r} is no {shape.__name__}"]


def _mapping_problems(mapping, shape, at):
    problems = []
    for key, value in mapping.items():
        if isinstance(shape, MapOf):
            problems += shape_problems(value, shape.values, f"{at}.{key}")
        elif key in shape:
            problems += shape_problems(value, shape[key], f"{at}.{key}")
        elif not (at == "file" and key.startswith("x-")):
            problems.append(f"{at}: unknown key {key!r}")
    return problems


# --- references: what is named is there, and is used --------------------------------------------


def reference_problems(document):
    """Return names of services, networks, volumes and secrets that lead nowhere or are unused."""
    used = {"networks": set(), "volumes": set(), "secrets": set()}
    problems = []
    for name, service in document["services"].items():
        used["networks"].update(service.get("networks", []))
        used["secrets"].update(service.get("secrets", []))
        used["volumes"].update(mounted.split(":")[0] for mounted in service.get("volumes", []))
        problems += _dependency_problems(document["services"], name, service)
    for kind, names in used.items():
        declared = set(document[kind])
        problems += [f"{kind}: {each} is used, not declared" for each in sorted(names - declared)]
        problems += [f"{kind}: {each} is declared, not used" for each in sorted(declared - names)]
    try:
        start_order(document)
    except CycleError:
        problems.append("services depend on each other in a circle")
    return problems


def _dependency_problems(services, name, service):
    problems = []
    for other, how in service.get("depends_on", {}).items():
        if other not in services:
            problems.append(f"{name} depends on {other}, which is not there")
        elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            problems.append(f"{name} waits for the health of {other}, which has no check")
        elif how["condition"].startswith("service_completed") and is_serving(services[other]):
            problems.append(f"{name} waits for the end of {other}, which has none")
    return problems


# --- policy: what we ask of every service -------------------------------------------------------

EXACT_TAG = re.compile(r"[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|PEPPER|TOKEN|KEY", re.IGNORECASE)
PASSWORD_IN_URL = re.compile(r"://[^/@:]*:[^/@]+@")


def policy_problems(document):
    """Return in which ways the services are less confined or less looked after than we ask."""
    problems = []
    for name, service in document["services"].items():
        problems += [f"{name}: {each}" for each in _confinement(service)]
        problems += [f"{name}: {each}" for each in _exposure(service)]
        if is_serving(service):
            problems += [f"{name}: {each}" for each in _care(service)]
    return problems


def _confinement(service):
    user = service.get("user", "")
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        yield f"user is {user!r}, not one by number, and not root"
    if service.get("read_only") is not True:
        yield "its file system can be written"
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        yield "it may gain privileges"
    if set(service.get("deploy", {}).get("resources", {}).get("limits", {})) != set(LIMITS):
        yield "its processors, memory or processes have no limit"
    options = service.get("logging", {}).get("options", {})
    if set(options) != {"max-size", "max-file"}:
        yield "its logs have no limit"
    if unbounded := [each for each in service.get("tmpfs", []) if "size=" not in each]:
        yield f"these folders in memory have no limit: {unbounded}"


def _exposure(service):
    image = service.get("image", "")
    if not EXACT_TAG.fullmatch(image):
        yield f"image {image!r} has no exact tag"
    for key, value in service.get("environment", {}).items():
        if SECRET_NAME.search(key) and not key.endswith("_FILE"):
            yield f"{key} may hold a secret: name a file"
        if PASSWORD_IN_URL.search(value):
            yield f"{key} holds a password"
        if value.startswith("/run/secrets/") and Path(value).name not in service.get(
            "secrets", []
        ):
            yield f"{key} names a secret that is not given to it"
    for port in service.get("ports", []):
        if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port):
            yield f"port {port} is open to other machines"
    for mounted in service.get("volumes", []):
        if mounted.startswith((".", "/", "~")):
            yield f"it mounts {mounted} from the host"


def _care(service):
    if service.get("restart") != "unless-stopped":
        yield "it is not started again"
    if "healthcheck" not in service:
        yield "nobody looks whether it is well"
    elif service["healthcheck"]["test"][0] != "CMD":
        yield "its health check needs a shell"
    if "stop_grace_period" not in service:
        yield "nobody says how long it may take to stop"
