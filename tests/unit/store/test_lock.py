from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from store.errors import ProcessLockedError
from store.lock import SingleProcess

HOLD = """
import sys, time
from pathlib import Path
from store.lock import SingleProcess
SingleProcess(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_and_told_who_holds_the_store(tmp_path):
    store = tmp_path / "tocsin.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ProcessLockedError, match=f"process {child.pid}.*PostgreSQL"):
            SingleProcess(store).acquire()
        child.send_signal(signal.SIGKILL)
        child.wait()
    with SingleProcess(store):  # a killed process leaves nothing to clean up
        pass


def test_the_lock_can_be_taken_again_after_it_was_given_back(tmp_path):
    store = tmp_path / "tocsin.sqlite"
    lock = SingleProcess(store)
    for _ in range(2):
        with lock:
            lock.acquire()  # twice by the same owner is harmless
            with pytest.raises(ProcessLockedError):
                SingleProcess(store).acquire()
    lock.release()
