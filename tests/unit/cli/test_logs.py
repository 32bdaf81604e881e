"""Logs: one JSON object a line, and nothing in them that people wrote."""

import json
import logging

import pytest
import structlog

from cli import logs
from store.errors import StoreError


@pytest.fixture
def restored():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    structlog.reset_defaults()


def test_secrets_and_foreign_messages_are_left_out(restored, capsys):
    logs.configure("info")
    log = structlog.get_logger("tocsin.test")
    words = "".join(["priv", "ate words of a patient"])  # so that no source line shows them
    try:
        int(words)
    except ValueError:
        log.exception("failed", api_key="tocsin_abc_secret")
    line = capsys.readouterr().err
    found = json.loads(line)
    assert found["event"] == "failed"
    assert found["api_key"] == "***"
    assert "ValueError" in found["exception"]
    assert "test_logs.py" in found["exception"]
    assert "private" not in line
    assert "tocsin_abc" not in line


def test_our_own_errors_keep_their_advice(restored, capsys):
    logs.configure("info")
    logging.getLogger("other").error("failed", exc_info=StoreError("do this"))
    assert "do this" in json.loads(capsys.readouterr().err)["exception"]
