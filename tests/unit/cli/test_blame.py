"""What is said of an error depends on whose doing it is."""

from __future__ import annotations

import errno
import os

import pytest

from cli.blame import exit_code, explanation
from cli.errors import CommandError, WrongUseError
from cli.settings import Settings


def raised(action):
    try:
        action()
    except Exception as error:  # noqa: BLE001  # whatever it is: that is what is looked at
        return error
    pytest.fail("nothing was raised")


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda root: (root / "none" / "x").write_text(""), "is missing"),
        (lambda root: (root / "file" / "x").write_text(""), "a file stands where a folder"),
        (lambda root: (root / "file").mkdir(), "Name another path"),
        (lambda root: root.read_bytes(), "a folder stands where a file"),
    ],
)
def test_trouble_with_a_path_names_it_and_says_what_to_do(tmp_path, make, advice):
    (tmp_path / "file").touch()
    error = raised(lambda: make(tmp_path))
    said = explanation(error)
    assert said.startswith(str(error.filename))
    assert os.strerror(error.errno) in said
    assert advice in said
    assert "fault of ours" not in said
    assert "[Errno" not in said
    assert exit_code(error) == 1


def test_an_odd_error_number_still_gets_advice():
    assert "Name another path" in explanation(OSError(errno.ELOOP, "Too many links", "a"))


def test_a_full_disk_without_a_name_is_no_fault_of_ours():
    said = explanation(OSError(errno.ENOSPC, "No space left on device"))
    assert "No space left on device. Make room" in said
    assert "fault of ours" not in said


def test_a_lack_of_memory_is_told_as_one():
    said = explanation(MemoryError())
    assert "needs more memory than there is" in said
    assert "fault of ours" not in said


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), OSError(errno.EBADF, "x")])
def test_what_is_left_over_may_be_a_fault_of_ours(error):
    assert "fault of ours" in explanation(error)
    assert exit_code(error) == 1


def test_wrong_use_ends_with_code_two_and_failed_work_with_one(monkeypatch):
    monkeypatch.setenv("TOCSIN_PORT", "seven")
    assert exit_code(raised(Settings)) == 2
    assert exit_code(WrongUseError("x")) == 2
    assert exit_code(CommandError("x")) == 1
    assert explanation(WrongUseError("x")) == "x"
