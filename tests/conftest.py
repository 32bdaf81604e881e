"""Fixtures that every room shares: databases with the newest schema, private to the test run.

PostgreSQL is found by TOCSIN_TEST_POSTGRES, the URL of a server on which the tests may make and
drop a database of their own. Tests that need it are marked `postgres`; without the variable they
are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

import migrations
from store.session import connect
from store.tables import Base
from tests.pendigits import pendigits

__all__ = ["pendigits"]

REQUIRED = set(filter(None, os.environ.get("TOCSIN_TEST_REQUIRE", "").split(",")))
"""Markers (``kafka,postgres``) of tests that may not be skipped: `make test-services` says so."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Turn a skip into a failure where the service it waits for is required."""
    report = yield
    if report.skipped and any(item.get_closest_marker(name) for name in REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"required, but skipped: {report.longrepr[2]}"
    return report


def pytest_terminal_summary(terminalreporter):
    """Say in the closing lines how many tests were skipped for which reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, n in reasons.most_common():
        terminalreporter.write_line(f"{n} skipped: {reason}")


@pytest.fixture(scope="session")
def postgres_url():
    """URL of a fresh PostgreSQL database with the newest schema; dropped after the run."""
    server = os.environ.get("TOCSIN_TEST_POSTGRES")
    if not server:
        pytest.skip("TOCSIN_TEST_POSTGRES is not set: no PostgreSQL to test on")
    name = f"tocsin_test_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        engine = connect(url)
        migrations.upgrade(engine)
        engine.dispose()
        yield url
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


@pytest.fixture
def postgres_engine(postgres_url):
    """Engine on the run's PostgreSQL database, its tables emptied."""
    engine = connect(postgres_url)
    empty(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    engine = connect(f"sqlite:///{path}")
    migrations.upgrade(engine)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(_migrated_sqlite, tmp_path):
    """URL of a fresh SQLite file with the newest schema."""
    path = tmp_path / "tocsin.sqlite"
    shutil.copyfile(_migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def sqlite_engine(sqlite_url):
    """Engine on a fresh SQLite file with the newest schema."""
    engine = connect(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_engine(request):
    """Engine on an empty store with the newest schema: once on SQLite, once on PostgreSQL."""
    name = "sqlite_engine" if request.param == "sqlite" else "postgres_engine"
    return request.getfixturevalue(name)


def empty(engine):
    """Delete everything from the store; on tables this small far faster than TRUNCATE."""
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
