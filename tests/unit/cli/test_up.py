"""What `tocsin up` does before it serves, and in which order."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from store.lock import SingleProcess


def start(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", "--data-dir", str(folder), *options],
        stderr=subprocess.PIPE, text=True, umask=0o022,
        env={name: value for name, value in os.environ.items() if "TOCSIN" not in name},
    )  # fmt: skip


def refused(folder, *options):
    process = start(folder, *options)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "training" not in said
    assert "admin key" not in said
    assert "Traceback" not in said
    return said


def test_a_port_in_use_is_found_before_anything_is_trained_or_shown(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refused(tmp_path / "state", "--port", str(port))
    assert not (tmp_path / "state" / "pepper").exists()
    assert not (tmp_path / "state" / "detectors").exists()


def test_a_second_start_on_a_folder_is_refused_before_it_trains(tmp_path):
    with SingleProcess(tmp_path / "tocsin.sqlite"):
        assert "locked by another process" in refused(tmp_path, "--port", "0")


def test_a_state_folder_that_cannot_be_made_is_answered_with_advice(tmp_path):
    (tmp_path / "file").touch()
    assert "--data-dir" in refused(tmp_path / "file" / "state", "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_start_is_private_and_can_be_stopped_while_it_trains(tmp_path, number):
    folder = tmp_path / "state"
    process = start(folder, "--port", "0")
    assert "training" in process.stderr.readline()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        assert not path.stat().st_mode & 0o077, path
    time.sleep(0.5)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (0, False)
    assert not list(folder.glob("*-wal"))


def test_progress_of_the_demo_is_private_too(tmp_path):
    from cli.embedded import make_state_dir

    before = os.umask(0o022)
    try:
        make_state_dir(tmp_path / "deep" / "state")
        (tmp_path / "deep" / "state" / "demo-scam.json").write_text("{}")
    finally:
        os.umask(before)
    for name, mode in (("deep/state", 0o700), ("deep/state/demo-scam.json", 0o600)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_the_help_says_what_runs_without_a_detector():
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "--help"], capture_output=True, text=True,
        check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert "with --no-demo too: the bundled ones" in " ".join(done.stdout.split())
