from __future__ import annotations

import os
import threading
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

import migrations
from store.errors import SchemaError
from store.session import connect
from store.tables import REVISION, Base


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bare_url(request, tmp_path):
    """URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.sqlite"
        return
    server = os.environ.get("TOCSIN_TEST_POSTGRES")
    if not server:
        pytest.skip("TOCSIN_TEST_POSTGRES is not set: no PostgreSQL to test on")
    name = f"tocsin_bare_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture
def bare(bare_url):
    engine = connect(bare_url)
    yield engine
    engine.dispose()


def tables(engine):
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_the_code_works_with_the_newest_revision():
    assert migrations.head() == REVISION


def test_the_migrated_schema_is_the_one_in_the_tables(bare):
    migrations.upgrade(bare)
    assert migrations.current(bare) == migrations.head()
    assert tables(bare) == set(Base.metadata.tables)
    assert migrations.difference(bare) == []


def test_the_migrated_schema_has_every_check_and_default_of_the_tables(bare_url):
    """What Alembic's comparison does not see: build both schemas and compare the catalogue."""
    found = {}
    for build in (migrations.upgrade, Base.metadata.create_all):
        engine = connect(bare_url)
        build(engine)
        catalogue = inspect(engine)
        found[build] = {
            table: (
                sorted((c["name"], c["sqltext"]) for c in catalogue.get_check_constraints(table)),
                sorted(
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in catalogue.get_columns(table)
                ),
                sorted(
                    (str(f["name"]), f["referred_table"], str(f["options"]))
                    for f in catalogue.get_foreign_keys(table)
                ),
                catalogue.get_pk_constraint(table)["constrained_columns"],
            )
            for table in Base.metadata.tables
        }
        Base.metadata.drop_all(engine)
        engine.dispose()
    by_migration, by_tables = found.values()
    for table in Base.metadata.tables:
        assert by_migration[table] == by_tables[table]


def test_a_downgrade_to_base_leaves_nothing_and_can_be_taken_back(bare):
    migrations.upgrade(bare)
    migrations.downgrade(bare, "base")
    assert tables(bare) == set()
    assert migrations.current(bare) is None
    migrations.upgrade(bare)
    assert migrations.difference(bare) == []


def test_upgrading_what_is_new_already_changes_nothing(bare):
    migrations.upgrade(bare)
    with bare.begin() as connection:
        connection.execute(text("INSERT INTO log_partitions VALUES (0, 'id', 7)"))
    migrations.upgrade(bare)
    with bare.connect() as connection:
        assert connection.execute(text("SELECT next_offset FROM log_partitions")).scalar() == 7


def test_detector_versions_survive_the_way_to_labels_and_back(bare):
    migrations.upgrade(bare, "0001")
    with bare.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO detector_versions (name, version, status, card, certificate, "
                "registered_at) VALUES ('pens', 'v1', 'active', '{}', '{\"alpha\": 0.1}', "
                "'2026-11-22 09:30:00.000000')"
            )
        )
    kept = text("SELECT name, version, status, registered_at FROM detector_versions")

    def rows():
        with bare.connect() as connection:
            return connection.execute(kept).all()

    before = rows()
    migrations.upgrade(bare, "0002")
    assert rows() == before
    with bare.connect() as connection:
        assert connection.execute(text("SELECT alarm FROM detector_versions")).scalar() is None
    migrations.downgrade(bare, "0001")
    assert rows() == before


def test_several_processes_may_upgrade_at_once(bare_url):
    failures, barrier = [], threading.Barrier(4)

    def upgrade():
        engine = connect(bare_url)
        barrier.wait(timeout=20)
        try:
            migrations.upgrade(engine)
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        engine.dispose()

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    engine = connect(bare_url)
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_sqlite_checks_references_again_after_an_upgrade(sqlite_engine):
    migrations.upgrade(sqlite_engine)
    with sqlite_engine.connect() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(bare):
    with bare.begin() as connection:
        connection.execute(text("CREATE TABLE api_keys (in_the_way INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(bare)
    assert tables(bare) == {"api_keys"}
    assert migrations.current(bare) is None


@pytest.mark.parametrize("change", [migrations.upgrade, lambda e: migrations.downgrade(e, "base")])
def test_a_database_of_a_newer_tocsin_is_refused_untouched(bare, change):
    migrations.upgrade(bare)
    with bare.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"revision 9999.*a newer Tocsin wrote it"):
        change(bare)
    assert migrations.current(bare) == "9999"
    assert tables(bare) == set(Base.metadata.tables)
