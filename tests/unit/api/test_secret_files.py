from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.errors import SecretFileError
from api.secret_files import load_pepper, write_secret


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pepper_is_made_once_private_and_kept(tmp_path):
    path = tmp_path / "state" / "pepper"
    first = load_pepper(path)
    assert len(first) == 64
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert load_pepper(path) == first
    assert [entry.name for entry in path.parent.iterdir()] == ["pepper"]


def test_starts_at_once_all_read_the_same_pepper(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        peppers = set(pool.map(load_pepper, [tmp_path / "pepper"] * 32))
    assert len(peppers) == 1


@pytest.mark.parametrize("open_mode", [0o640, 0o644, 0o604, 0o620, 0o666])
def test_a_pepper_open_to_others_is_refused(tmp_path, open_mode):
    path = tmp_path / "pepper"
    path.write_bytes(b"x" * 32)
    path.chmod(open_mode)
    with pytest.raises(SecretFileError, match="chmod 600"):
        load_pepper(path)


def test_a_short_or_unreadable_pepper_is_refused(tmp_path):
    path = tmp_path / "pepper"
    path.touch(mode=0o600)
    with pytest.raises(SecretFileError, match="holds 0 bytes"):
        load_pepper(path)
    with pytest.raises(SecretFileError, match="TOCSIN_PEPPER_FILE"):
        load_pepper(tmp_path)


def test_a_pepper_behind_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "other").write_bytes(b"x" * 32)
    (tmp_path / "other").chmod(0o600)
    (tmp_path / "pepper").symlink_to("other")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("pepper", "dangling"):
        with pytest.raises(SecretFileError, match="symbolic link"):
            load_pepper(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_a_pepper_of_root_is_taken_and_one_of_another_user_is_not(tmp_path, monkeypatch):
    path = tmp_path / "pepper"
    load_pepper(path)
    owners, us = [4711, 0, 4712], 4712
    really = os.fstat

    def fstat(handle):
        found = list(really(handle))
        found[stat.ST_UID] = owners[0]
        return os.stat_result(found)

    monkeypatch.setattr("os.fstat", fstat)
    monkeypatch.setattr("os.geteuid", lambda: us)
    with pytest.raises(SecretFileError, match="belongs to user 4711"):
        load_pepper(path)
    for _ in range(2):
        owners.pop(0)
        assert len(load_pepper(path)) == 64


def test_a_pipe_in_place_of_the_pepper_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pepper", 0o600)
    with pytest.raises(SecretFileError, match="not a file"):
        load_pepper(tmp_path / "pepper")


def test_a_secret_goes_into_a_private_file_of_its_own(tmp_path):
    previous = os.umask(0)
    try:
        write_secret(tmp_path / "key", "tocsin_x")
    finally:
        os.umask(previous)
    assert mode(tmp_path / "key") == 0o600
    assert (tmp_path / "key").read_text() == "tocsin_x\n"


def test_an_empty_private_file_is_filled(tmp_path):
    (tmp_path / "key").touch(mode=0o600)
    write_secret(tmp_path / "key", "s")
    assert (tmp_path / "key").read_text() == "s\n"


def test_nothing_is_ever_written_over_or_through(tmp_path):
    full = tmp_path / "full"
    full.write_text("precious")
    full.chmod(0o600)
    open_file = tmp_path / "open"
    open_file.touch(mode=0o644)
    open_file.chmod(0o644)
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (full, open_file, link, pipe, tmp_path):
        with pytest.raises(SecretFileError, match="No key was made"):
            write_secret(path, "s")
    assert full.read_text() == "precious"
    assert open_file.read_text() == ""
    assert not target.exists()
