"""docker-compose.yml as Compose reads it, for tests; no container engine is needed."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
USER = {"TOCSIN_UID": "10001", "TOCSIN_GID": "10001"}
"""What `deploy/make-secrets` writes into .env."""

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^}]*))?\})")


class MissingVariableError(KeyError):
    """A variable without a default is not set; Compose would stop with its message."""


class _Loader(yaml.SafeLoader):
    """Refuses what Compose refuses and PyYAML lets pass: the same key twice in one mapping."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(
                None, None, f"{min(twice)!r} stands here twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_constructor(
    "tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def parse(text, variables=USER):
    """Return the document of a compose file with its variables filled in."""
    return _filled(yaml.load(text, _Loader), variables)  # noqa: S506  # a safe loader


def read(variables=USER):
    """Return the repository's compose file with its variables filled in."""
    return parse(FILE.read_text(), variables)


def _filled(node, variables):
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: _value(found, variables), node)
    return node


def _value(found, variables):
    dollar, name, kind, words = found.groups()
    if dollar:
        return "$"
    if variables.get(name):
        return variables[name]
    if kind == "?":
        raise MissingVariableError(words)
    return words or ""


def start_order(document):
    """Return the services' names, each after those that it depends on."""
    services = document["services"].items()
    graph = {name: list(service.get("depends_on", {})) for name, service in services}
    return list(TopologicalSorter(graph).static_order())


def is_serving(service):
    """Whether it runs until it is told to stop, as opposed to a job."""
    return service.get("restart") != "no"
