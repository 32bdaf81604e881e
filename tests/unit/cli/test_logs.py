"""Logs: one JSON object a line, and nothing in them that people wrote."""

import json
import logging

import pytest
import structlog

from cli import logs
from store.errors import StoreError

LIBRARIES = (
    "kafka", "kafka.conn", "aiokafka", "aiokafka.conn", "faust", "faust.agents", "mode",
    "sqlalchemy.engine", "uvicorn.error", "asyncio", "any.other",
)  # fmt: skip


@pytest.fixture
def restored():
    loggers = [logging.getLogger(name) for name in (None, *logs.OURS, *LIBRARIES)]
    levels = [logger.level for logger in loggers]
    handlers = loggers[0].handlers[:]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
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


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_library_is_not_heard_below_a_warning_at_any_level(restored, capsys, level):
    logging.getLogger("aiokafka.conn").setLevel(logging.DEBUG)
    logs.configure(level)
    for name in LIBRARIES:
        logging.getLogger(name).debug("answer of the broker: %s", "a payload")
        logging.getLogger(name).info("answer of the broker: %s", "a payload")
    assert capsys.readouterr().err == ""
    logging.getLogger("aiokafka.conn").warning("no broker")
    assert json.loads(capsys.readouterr().err)["event"] == "no broker"


@pytest.mark.parametrize("name", ["tocsin.worker", "streams.drivers.faust", "store"])
def test_the_level_counts_for_our_own_loggers(restored, capsys, name):
    logs.configure("debug")
    logging.getLogger(name).debug("a detail")
    assert json.loads(capsys.readouterr().err)["event"] == "a detail"
    logs.configure("info")
    logging.getLogger(name).debug("a detail")
    assert capsys.readouterr().err == ""
