"""deploy/make-secrets: what it makes, for whom, and that it never touches what is there."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from api.secret_files import load_pepper
from tests.unit.deploy.compose_file import ROOT, parse

SCRIPT = ROOT / "deploy/make-secrets"
NAMES = ("postgres_password", "api_pepper")


@pytest.fixture
def made(tmp_path):
    run(tmp_path)
    return tmp_path


def run(folder):
    done = subprocess.run([SCRIPT, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def variables(folder):
    return dict(line.split("=") for line in (folder / ".env").read_text().splitlines())


def test_secrets_are_long_private_and_different_each_time(made, tmp_path_factory):
    secrets = made / "deploy/secrets"
    assert sorted(path.name for path in secrets.iterdir()) == sorted(NAMES)
    values = {(secrets / name).read_text() for name in NAMES}
    other = tmp_path_factory.mktemp("other")
    run(other)
    values |= {(other / "deploy/secrets" / name).read_text() for name in NAMES}
    assert len(values) == 4
    assert all(len(value) == 64 and int(value, 16) for value in values)
    assert mode(secrets) == 0o700  # which is what keeps others from the password
    assert (mode(secrets / "postgres_password"), mode(secrets / "api_pepper")) == (0o444, 0o400)


def test_containers_run_as_the_pepper_s_owner_who_is_never_root(made):
    names = variables(made)
    owner = (made / "deploy/secrets/api_pepper").stat()
    assert names == {"TOCSIN_UID": str(owner.st_uid), "TOCSIN_GID": str(owner.st_gid)}
    assert owner.st_uid == (os.getuid() or 10001)
    filled = parse("user: ${TOCSIN_UID:?run deploy/make-secrets first}", names)
    assert filled == {"user": str(owner.st_uid)}


def test_the_service_takes_the_pepper_when_it_runs_as_its_owner(made):
    pepper = made / "deploy/secrets/api_pepper"
    os.chown(pepper, os.geteuid(), -1)  # only if root called the script, another user owns it
    assert len(load_pepper(pepper)) == 64


def test_what_is_there_stays_as_it_is(made):
    (made / "deploy/secrets/api_pepper").unlink()
    password = (made / "deploy/secrets/postgres_password").read_text()
    (made / ".env").write_text("TOCSIN_PORT=9000\nTOCSIN_UID=77\nTOCSIN_GID=78\n")
    said = run(made)
    assert "kept" in said.splitlines()[0]
    assert "made" in said.splitlines()[1]
    assert (made / "deploy/secrets/postgres_password").read_text() == password
    assert len((made / "deploy/secrets/api_pepper").read_text()) == 64
    assert variables(made) == {"TOCSIN_PORT": "9000", "TOCSIN_UID": "77", "TOCSIN_GID": "78"}


def test_own_settings_in_the_env_file_are_kept(tmp_path):
    (tmp_path / ".env").write_text("TOCSIN_PORT=9000\n")
    run(tmp_path)
    assert list(variables(tmp_path)) == ["TOCSIN_PORT", "TOCSIN_UID", "TOCSIN_GID"]


def test_no_secret_is_printed(tmp_path):
    said = run(tmp_path) + run(tmp_path)
    for name in NAMES:
        assert (tmp_path / "deploy/secrets" / name).read_text() not in said
