"""The Dockerfile and .dockerignore: what goes in, what runs, and as whom."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.deploy.compose_file import ROOT, read
from tests.unit.deploy.dockerfile import FILE, Stage, ignore_patterns, sent, stages

TEXT = FILE.read_text()
BUILDER, RUNTIME = stages(TEXT)
SECRET = re.compile(r"PASSWORD|SECRET|PEPPER|TOKEN|KEY", re.IGNORECASE)


def packages():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {name.split(".")[0] for name in declared["tool"]["setuptools"]["packages"]}


def test_both_stages_stand_on_one_exact_slim_python():
    assert BUILDER.image == RUNTIME.image  # the venv points to the builder's interpreter
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", RUNTIME.image)


def test_the_image_runs_without_root_under_a_user_given_by_number():
    assert RUNTIME.arguments("USER") == ["10001:10001"]
    assert RUNTIME.instructions[-1] == ("CMD", '["tocsin", "--help"]')
    assert RUNTIME.instructions[-2][0] == "USER"
    assert RUNTIME.pairs("ENV")["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_last_stage_installs_nothing_and_has_no_tools_to_build_with():
    runs = " ".join(RUNTIME.arguments("RUN"))
    assert not re.search(r"\b(pip|apt|apt-get|curl|wget|gcc|make)\b", runs)
    assert RUNTIME.arguments("COPY")[0] == "--from=builder /opt/tocsin /opt/tocsin"


def test_versions_come_from_the_constraints_and_pytorch_from_its_own_index():
    installs = [run for run in BUILDER.arguments("RUN") if " install " in run]
    assert len(installs) == 2
    assert all("-c constraints.txt" in run for run in installs)
    hosts = re.findall(r"https?://([^\s/]+)(\S*)", TEXT)
    assert hosts == [("download.pytorch.org", "/whl/cpu")]


@pytest.mark.parametrize("stage", [BUILDER, RUNTIME], ids=["builder", "runtime"])
def test_no_secret_and_nothing_from_elsewhere_is_put_in(stage: Stage):
    assert not [
        name for name in {**stage.pairs("ENV"), **stage.pairs("ARG")} if SECRET.search(name)
    ]
    assert stage.arguments("ADD") == []
    assert (
        stage.arguments("HEALTHCHECK") == []
    )  # docker-compose.yml has them, one for each service
    assert stage.arguments("VOLUME") == []


def test_every_package_and_what_it_is_built_from_is_copied():
    assert set(BUILDER.copied()) == {
        "constraints.txt", "pyproject.toml", "README.md", "LICENSE", *packages(),
    }  # fmt: skip
    assert RUNTIME.copied() == ["deploy/health"]


def test_the_builder_is_sent_what_is_copied_and_nothing_else():
    patterns = ignore_patterns()
    copied = [*BUILDER.copied(), *RUNTIME.copied()]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert sent(source, patterns), source
    kept_here = [path.name for path in ROOT.iterdir() if path.name not in copied]
    kept_here += ["deploy/secrets/api_pepper", "deploy/make-secrets", "cli/__pycache__/x.pyc"]
    kept_here += [".env", ".git/config", ".venv/bin/python", "var/tocsin.sqlite", "tests/toys.py"]
    assert [path for path in kept_here if path != "deploy" and sent(path, patterns)] == []


def test_what_compose_runs_is_in_the_image():
    """Compose's commands, health checks and volumes name what the Dockerfile puts there."""
    made = " ".join(RUNTIME.arguments("RUN"))
    scripts = {path.name for path in (ROOT / "deploy/health").glob("*.py")}
    used = set()
    for name, service in read()["services"].items():
        if "build" not in service:
            continue
        assert service["command"][0] == "tocsin", name
        for mounted in service.get("volumes", []):
            assert f" {mounted.split(':')[1]}" in made, name
        if "healthcheck" in service:
            command, program, script = service["healthcheck"]["test"]
            assert (command, program) == ("CMD", "python")
            assert script.startswith("/opt/tocsin/health/")
            used.add(script.rsplit("/", 1)[1])
    assert used == scripts


def test_instructions_are_read_across_continued_lines_and_comments():
    text = "FROM a:1 AS b\n# no\nENV A=1 \\\n    B=2\nCOPY x y ./\nFROM c:2\nCMD []\n"
    first, second = stages(text)
    assert (first.image, first.name, second.image, second.name) == ("a:1", "b", "c:2", "")
    assert first.pairs("ENV") == {"A": "1", "B": "2"}
    assert first.copied() == ["x", "y"]


def test_hadolint_finds_nothing():
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=places)
    if hadolint is None:
        pytest.skip("no hadolint here: only our own checks looked at the Dockerfile")
    command = [hadolint, "--format", "json", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == []
