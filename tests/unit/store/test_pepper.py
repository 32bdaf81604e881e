"""A pepper other than the one of the keys in the store is refused, not silently used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from store import keys
from store.errors import PepperMismatchError
from store.keys import Scope
from store.session import direct, writing

PEPPER, OTHER = b"p" * 32, b"q" * 32
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def make(engine, pepper):
    with writing(engine) as connection:
        return keys.create(
            connection, name="n", scopes=[Scope.EVENTS_WRITE], pepper=pepper, now=NOW
        )


def start(engine, pepper):
    return keys.ensure_admin(direct(engine), pepper=pepper, now=NOW)


@pytest.mark.parametrize("first", [make, start])
@pytest.mark.parametrize("then", [make, start])
def test_another_pepper_is_refused_and_makes_no_key(store_engine, first, then):
    issued = first(store_engine, PEPPER)
    with pytest.raises(PepperMismatchError, match="TOCSIN_PEPPER_FILE"):
        then(store_engine, OTHER)
    with store_engine.connect() as connection:
        assert [key.prefix for key in keys.listed(connection)] == [issued.key.prefix]
    make(store_engine, PEPPER)


def test_a_start_after_the_first_is_refused_too(store_engine):
    start(store_engine, PEPPER)
    assert start(store_engine, PEPPER) is None
    with pytest.raises(PepperMismatchError):
        start(store_engine, OTHER)


def test_with_every_key_revoked_a_new_pepper_counts(store_engine):
    lost = make(store_engine, PEPPER)
    with writing(store_engine) as connection:
        keys.revoke(connection, lost.key.prefix, NOW)
    fresh = make(store_engine, OTHER)
    with store_engine.connect() as connection:
        assert keys.verify(connection, fresh.plaintext, OTHER, NOW) == fresh.key
    with pytest.raises(PepperMismatchError):
        make(store_engine, PEPPER)


def test_the_store_does_not_hold_the_pepper(store_engine):
    make(store_engine, PEPPER)
    with store_engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT mark FROM pepper_marks").one()
    assert len(bytes(row.mark)) == 32
    assert PEPPER not in bytes(row.mark)
