from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from store import keys
from store.keys import Key, Refusal, Scope
from store.session import connect, direct, writing

PEPPER = b"p" * 32
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def make(engine, *scopes, **options):
    with writing(engine) as connection:
        return keys.create(connection, name="n", scopes=scopes, pepper=PEPPER, now=NOW, **options)


def verify(engine, presented, now=NOW, pepper=PEPPER):
    with engine.connect() as connection:
        return keys.verify(connection, presented, pepper, now)


def test_a_key_opens_what_its_scopes_say_and_nothing_else(store_engine):
    found = verify(store_engine, make(store_engine, Scope.EVENTS_WRITE).plaintext)
    assert isinstance(found, Key)
    assert [scope for scope in Scope if found.allows(scope)] == [Scope.EVENTS_WRITE]


def test_admin_opens_everything(store_engine):
    found = verify(store_engine, make(store_engine, Scope.ADMIN).plaintext)
    assert all(found.allows(scope) for scope in Scope)


def test_the_secret_is_stored_nowhere_and_shown_in_no_repr(store_engine):
    issued = make(store_engine, Scope.ADMIN)
    secret = issued.plaintext.split("_", 2)[2]
    with store_engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT * FROM api_keys").one()
    assert secret not in repr(row)
    assert secret.encode() not in bytes(row.digest)
    assert secret not in repr(issued)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text + "A",
        lambda text: text.upper(),
        lambda text: "",
        lambda text: "tocsin_" + "a" * 10 + "_" + text[-43:],
        lambda text: text.replace("tocsin_", "tocsin-"),
        lambda text: "\x00" + text,
        lambda text: text + "\n",
        lambda text: "é" * 60,
    ],
)
def test_a_key_changed_anywhere_is_unknown(store_engine, spoil):
    issued = make(store_engine, Scope.ADMIN)
    assert verify(store_engine, spoil(issued.plaintext)) is Refusal.UNKNOWN


def test_another_pepper_opens_nothing(store_engine):
    issued = make(store_engine, Scope.ADMIN)
    assert verify(store_engine, issued.plaintext, pepper=b"q" * 32) is Refusal.UNKNOWN


def test_a_key_expires_at_its_very_moment(store_engine):
    issued = make(store_engine, Scope.ADMIN, expires_at=NOW + SECOND)
    assert isinstance(verify(store_engine, issued.plaintext, NOW), Key)
    assert verify(store_engine, issued.plaintext, NOW + SECOND) is Refusal.EXPIRED


def test_a_revoked_key_opens_nothing_and_keeps_the_first_time(store_engine):
    issued = make(store_engine, Scope.ADMIN)
    for later in (SECOND, 2 * SECOND):
        with writing(store_engine) as connection:
            assert keys.revoke(connection, issued.key.prefix, NOW + later)
    assert verify(store_engine, issued.plaintext) is Refusal.REVOKED
    with store_engine.connect() as connection:
        (listed,) = keys.listed(connection)
    assert listed.revoked_at == NOW + SECOND


def test_revoking_a_key_that_is_not_there_says_so(store_engine):
    with writing(store_engine) as connection:
        assert not keys.revoke(connection, "nosuchkey1", NOW)


def test_the_last_use_is_written_at_most_once_a_minute(store_engine):
    issued = make(store_engine, Scope.ADMIN)
    for seconds, noted in ((0, 0), (59, 0), (60, 60), (61, 60)):
        with writing(store_engine) as connection:
            keys.touch(connection, issued.key.prefix, NOW + seconds * SECOND)
        found = verify(store_engine, issued.plaintext)
        assert found.last_used_at == NOW + noted * SECOND


def test_many_starts_at_once_make_one_admin_key(store_engine):
    url = store_engine.url.render_as_string(hide_password=False)
    engines = [connect(url) for _ in range(6)]
    try:
        with ThreadPoolExecutor(6) as pool:
            made = list(
                pool.map(
                    lambda engine: keys.ensure_admin(direct(engine), pepper=PEPPER, now=NOW),
                    engines,
                )
            )
    finally:
        for engine in engines:
            engine.dispose()
    (issued,) = [one for one in made if one is not None]
    assert verify(store_engine, issued.plaintext).allows(Scope.ADMIN)
    with store_engine.connect() as connection:
        assert len(keys.listed(connection)) == 1


def test_a_key_that_could_not_be_kept_was_never_made(store_engine):
    def fail(plaintext):
        raise OSError(plaintext[:0] + "disk full")

    transact = direct(store_engine)
    with pytest.raises(OSError, match="disk full"):
        keys.ensure_admin(transact, pepper=PEPPER, now=NOW, keep=fail)
    kept = []
    issued = keys.ensure_admin(transact, pepper=PEPPER, now=NOW, keep=kept.append)
    assert kept == [issued.plaintext]


def test_a_revoked_admin_key_does_not_come_back_with_a_restart(store_engine):
    transact = direct(store_engine)
    issued = keys.ensure_admin(transact, pepper=PEPPER, now=NOW)
    transact(lambda connection: keys.revoke(connection, issued.key.prefix, NOW))
    assert keys.ensure_admin(transact, pepper=PEPPER, now=NOW) is None


def test_an_ordinary_key_does_not_stand_in_for_the_admin_key(store_engine):
    make(store_engine, Scope.EVENTS_WRITE)
    assert keys.ensure_admin(direct(store_engine), pepper=PEPPER, now=NOW) is not None
