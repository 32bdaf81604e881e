from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

import migrations
from store.errors import (
    NaiveInstantError,
    NoStoreError,
    NotAStoreError,
    SchemaError,
    StoreUnavailableError,
    StoreUrlError,
)
from store.instants import utc_now
from store.session import connect, direct, place, require_schema, writing
from store.tables import LeaseRow, OutboxRow


@pytest.mark.parametrize(
    ("url", "trouble"),
    [
        ("mysql://root@localhost/x", "neither PostgreSQL nor SQLite"),
        ("postgresql+asyncpg://root@localhost/x", "neither PostgreSQL nor SQLite"),
        ("sqlite://", "needs a plain file"),
        ("sqlite:///:memory:", "needs a plain file"),
        ("sqlite:///file:x?mode=memory&uri=true", "needs a plain file"),
        ("nonsense", "not of the form"),
        ("postgresql://root@localhost:port/x", "not of the form"),
    ],
)
def test_a_url_that_names_no_usable_database_is_refused_with_an_example(url, trouble):
    with pytest.raises(StoreUrlError, match=trouble) as caught:
        connect(url)
    assert "Give postgresql+psycopg://" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/x", "u:hunter2@h", "postgresql://u:hunter2@h:p/x"]
)
def test_an_unusable_url_is_never_shown_with_its_password(url):
    with pytest.raises(StoreUrlError) as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_database_that_is_down_at_start_is_named_by_host_and_port_without_password():
    with pytest.raises(StoreUnavailableError) as caught:
        connect("postgresql://tocsin:hunter2@127.0.0.1:1/events")
    message = str(caught.value)
    assert "127.0.0.1:1/events" in message
    assert "Check that it runs" in message
    assert "hunter2" not in message


@pytest.mark.postgres
def test_a_missing_postgresql_database_is_named(postgres_url):
    with pytest.raises(StoreUnavailableError, match='database "nowhere" does not exist'):
        connect(postgres_url.rpartition("/")[0] + "/nowhere")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="file"):
        connect(f"sqlite:///{tmp_path}/file/tocsin.sqlite")


def test_a_file_that_is_no_database_is_reported(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are not the tables you are looking for" * 100)
    with pytest.raises(NotAStoreError, match="not a database"):
        connect(f"sqlite:///{path}")


@pytest.mark.parametrize("name", ["none.sqlite", "deep/er/none.sqlite"])
def test_looking_for_a_store_makes_none_and_says_what_does(tmp_path, name):
    with pytest.raises(NoStoreError, match=r"There is no store at .*`tocsin db upgrade`"):
        connect(f"sqlite:///{tmp_path}/{name}", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_there_is_found_and_still_keeps_a_write_ahead_log(sqlite_url):
    connect(sqlite_url).dispose()
    engine = connect(sqlite_url, create=False)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


def test_an_sqlite_store_and_its_folder_are_made_for_the_owner_only(tmp_path):
    path = tmp_path / "deep" / "er" / "tocsin.sqlite"
    engine = connect(f"sqlite:///{path}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    engine.dispose()


def test_sqlite_is_durable_and_checks_references(sqlite_engine):
    with sqlite_engine.connect() as connection:
        for pragma, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 10_000,
        }.items():
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_a_reference_to_nothing_is_refused_on_either_database(store_engine):
    stray = insert(OutboxRow).values(group_id="g", decision_id=UUID(int=0))
    with (
        pytest.raises(IntegrityError, match=r"(?i)foreign key"),
        writing(store_engine) as connection,
    ):
        connection.execute(stray)


def test_a_store_without_tables_asks_for_the_upgrade(tmp_path):
    engine = connect(f"sqlite:///{tmp_path}/new.sqlite")
    with pytest.raises(SchemaError, match=r"has no Tocsin tables.*tocsin db upgrade"):
        require_schema(engine)
    engine.dispose()


def test_a_store_of_another_revision_asks_for_the_upgrade_and_names_both(store_engine):
    require_schema(store_engine)
    version = text("UPDATE alembic_version SET version_num = :v")
    with writing(store_engine) as connection:
        connection.execute(version, {"v": "9999"})
    try:
        with pytest.raises(SchemaError, match=rf"revision 9999.*revision {migrations.head()}"):
            require_schema(store_engine)
    finally:
        with writing(store_engine) as connection:
            connection.execute(version, {"v": migrations.head()})


def test_the_place_names_host_and_database_but_no_password(sqlite_engine):
    assert place(sqlite_engine).endswith("tocsin.sqlite")


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
def test_times_come_back_aware_and_in_utc_to_the_microsecond(store_engine, zone):
    given = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=zone)
    with writing(store_engine) as connection:
        connection.execute(insert(LeaseRow).values(name="n", holder="h", expires_at=given))
        stored = connection.execute(select(LeaseRow.expires_at)).scalar_one()
    assert stored == given
    assert stored.tzinfo is UTC


def test_a_naive_time_is_refused(store_engine):
    naive = insert(LeaseRow).values(
        name="n",
        holder="h",
        expires_at=datetime(2026, 11, 22),  # noqa: DTZ001
    )
    with pytest.raises(Exception, match="has no zone") as caught, writing(store_engine) as c:
        c.execute(naive)
    assert isinstance(getattr(caught.value, "orig", caught.value), NaiveInstantError)


def test_the_databases_clock_is_now_and_can_be_shifted(store_engine):
    with store_engine.connect() as connection:
        now, later = connection.execute(select(utc_now(), utc_now(90.5))).one()
        in_the_past = connection.execute(select(utc_now(-1.0) < utc_now())).scalar()
    assert abs(now - datetime.now(tz=UTC)) < timedelta(seconds=5)
    assert timedelta(seconds=90.4) < later - now < timedelta(seconds=90.6)
    assert in_the_past


def test_a_failed_transaction_leaves_nothing(store_engine):
    def job(connection):
        connection.execute(insert(LeaseRow).values(name="n", holder="h", expires_at=utc_now()))
        message = "changed my mind"
        raise ValueError(message)

    with pytest.raises(ValueError, match="changed my mind"):
        direct(store_engine)(job)
    with store_engine.connect() as connection:
        assert connection.execute(select(LeaseRow)).all() == []


def test_transactions_that_read_and_then_write_wait_for_each_other(sqlite_engine):
    """Without BEGIN IMMEDIATE one of them would fail at its first write."""
    with writing(sqlite_engine) as connection:
        connection.execute(insert(LeaseRow).values(name="n", holder="0", expires_at=utc_now()))

    def count_up():
        for _ in range(20):
            with writing(sqlite_engine) as connection:
                seen = int(connection.execute(select(LeaseRow.holder)).scalar_one())
                connection.execute(text("UPDATE leases SET holder = :h"), {"h": str(seen + 1)})

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with sqlite_engine.connect() as connection:
        assert connection.execute(select(LeaseRow.holder)).scalar_one() == "80"


def test_an_error_of_the_database_does_not_show_the_values(store_engine):
    with pytest.raises(DBAPIError) as caught, writing(store_engine) as connection:
        connection.execute(
            text("INSERT INTO leases (name, holder) VALUES (:name, :holder)"),
            {"name": "private-words", "holder": None},
        )
    # PostgreSQL's own text may still quote a row: logs leave foreign messages out altogether
    assert "private-words" not in str(caught.value).split("DETAIL")[0]
    assert "leases" in str(caught.value)
