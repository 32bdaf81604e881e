"""A running service takes up new versions, and what becomes of those it cannot use."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from cli.follow import Follower
from cli.serving import announce, follower, load_roster
from cli.settings import Settings
from detectors.config import SourceConfig
from detectors.errors import RegistryStateError
from store import workers
from store.errors import OtherDetectorsError, StoreUnavailableError
from store.session import direct
from streams.roster import KEPT_VERSIONS, Roster
from tests.talk import Serving, registry_with, train_talk, write_talk
from tests.toys import toy_detector


class Versions:
    """A registry in memory: versions of one name, one of them active."""

    def __init__(self, *detectors):
        self.detectors = {detector.version: detector for detector in detectors}
        self.active = detectors[0].version
        self.n_loads = 0

    def entries(self, name):
        return [
            SimpleNamespace(version=v, active=v == self.active, reference=f"{name}@{v}")
            for v in self.detectors
        ]

    def load(self, reference):
        self.n_loads += 1
        found = self.detectors[reference.partition("@")[2]]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def versions():
    return Versions(toy_detector(version="v1"), toy_detector(version="v2"))


def following(versions, *, names=("toy",)):
    told = []
    roster = Roster([versions.detectors["v1"]], following=names)
    return roster, told, Follower(roster, versions, lambda d: told.append(d.version))


def test_a_new_active_version_serves_new_streams_and_the_store_is_told(versions):
    roster, told, follow = following(versions)
    follow()
    assert (told, versions.n_loads) == ([], 0)
    versions.active = "v2"
    follow()
    follow()
    assert roster.active("toy").detector.version == "v2"
    assert roster.engine("toy", "v1").detector.version == "v1"
    assert (told, versions.n_loads) == (["v2"], 1)


def test_going_back_to_an_older_version_is_taken_up_too(versions):
    roster, told, follow = following(versions)
    for version in ("v2", "v1"):
        versions.active = version
        follow()
    assert told == ["v2", "v1"]
    assert roster.active("toy").detector.version == "v1"


def test_a_pinned_detector_is_not_followed(versions):
    roster, told, follow = following(versions, names=())
    versions.active = "v2"
    follow()
    assert roster.active("toy").detector.version == "v1"
    assert told == []


def test_when_no_version_is_active_the_one_that_serves_goes_on(versions):
    roster, _, follow = following(versions)
    versions.active = None
    follow()
    assert roster.active("toy").detector.version == "v1"


@pytest.mark.parametrize(
    "bad",
    [
        ValueError("tampered"),
        toy_detector(version="bad", width=3),
        replace(
            toy_detector(version="bad"),
            config=msgspec.structs.replace(
                toy_detector().config, source=SourceConfig(topic="elsewhere")
            ),
        ),
    ],
    ids=["tampered", "other channels", "other topic"],
)
def test_a_version_that_cannot_serve_is_said_once_and_the_old_one_serves_on(versions, bad, capsys):
    roster, told, follow = following(versions)
    versions.detectors["bad"], versions.active = bad, "bad"
    for _ in range(3):
        follow()
    assert roster.active("toy").detector.version == "v1"
    assert told == []
    assert capsys.readouterr().out.count("version_refused") == 1
    versions.active = "v2"
    follow()
    assert told == ["v2"]


def test_a_registry_that_cannot_be_read_for_a_while_hinders_nothing(versions, monkeypatch, capsys):
    roster, told, follow = following(versions)
    versions.active = "v2"

    def broken(name):
        raise RegistryStateError(name, "half of it")

    monkeypatch.setattr(versions, "entries", broken)
    follow()
    follow()
    assert capsys.readouterr().out.count("version_refused") == 1
    monkeypatch.undo()
    follow()
    assert told == ["v2"]
    assert roster.active("toy").detector.version == "v2"


def test_a_store_that_does_not_answer_is_told_the_next_time(versions):
    told = []

    def tell(detector):
        if not told:
            told.append("tried")
            raise StoreUnavailableError("the store", "gone")  # noqa: TRY003  # place, trouble
        told.append(detector.version)

    follow = Follower(Roster([versions.detectors["v1"]], following=["toy"]), versions, tell)
    versions.active = "v2"
    with pytest.raises(StoreUnavailableError):
        follow()
    follow()
    follow()
    assert told == ["tried", "v2"]


def test_only_the_latest_versions_stay_in_memory_and_others_are_found_again():
    many = [toy_detector(version=f"v{n}") for n in range(KEPT_VERSIONS + 4)]
    found = {d.version: d for d in many}
    roster = Roster(many[:1], lambda _, version: found[version], following=["toy"])
    for detector in many[1:]:
        roster.adopt(detector)
    assert len(roster._engines) == KEPT_VERSIONS
    assert roster.engine("toy", "v0").detector is many[0]
    assert roster.engine("toy", many[-1].version) is roster.active("toy")


def test_a_version_with_shorter_times_stays_for_the_clock_to_know_of():
    quick = toy_detector(version="quick", idle_s=5.0)
    roster = Roster([quick], following=["toy"])
    for n in range(KEPT_VERSIONS + 2):
        roster.adopt(toy_detector(version=f"v{n}", idle_s=500.0))
    assert roster.least_s == 5.0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_talk(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def talk(place):
    return train_talk(place)


def test_a_detector_asked_for_by_name_is_followed_one_by_version_or_folder_is_not(talk, tmp_path):
    registry = registry_with(tmp_path, talk)
    settings = Settings(registry=tmp_path)
    assert load_roster(settings, ["talk"]).following == {"talk"}
    pinned = f"talk@{talk.version}"
    assert load_roster(settings, [pinned]).following == frozenset()
    folder = str(registry.entries("talk")[0].folder)
    assert load_roster(settings, [folder]).following == frozenset()


def test_workers_that_follow_do_not_refuse_each_other_one_that_is_pinned_is_refused(
    talk, tmp_path, store_engine
):
    settings = Settings(registry=tmp_path)
    registry_with(tmp_path, talk)
    before = load_roster(settings, ["talk"])
    serving = Serving(store_engine, tmp_path, talk)
    serving.teach("quokka", "yes", 3)
    list(serving.course().advance(finish=True))
    after = load_roster(settings, ["talk"])
    assert before.active("talk").detector.version != after.active("talk").detector.version
    workers.register(store_engine, "w1", "g", before.fingerprint, 30)
    workers.register(store_engine, "w2", "g", after.fingerprint, 30)
    pinned = load_roster(settings, [f"talk@{talk.version}"])
    with pytest.raises(OtherDetectorsError):
        workers.register(store_engine, "w3", "g", pinned.fingerprint, 30)


def test_the_store_shows_the_new_version_as_active_and_the_old_one_as_retired(
    talk, tmp_path, store_engine
):
    from sqlalchemy.orm import Session

    from store.detectors import versions as stored

    serving = Serving(store_engine, tmp_path, talk)
    settings = Settings(registry=tmp_path)
    roster = load_roster(settings, ["talk"])
    announce(roster, store_engine, direct(store_engine), "g")
    follow = follower(settings, roster, direct(store_engine))
    serving.teach("quokka", "yes", 3)
    (made,) = serving.course().advance(finish=True)
    follow()
    with Session(store_engine) as session:
        found = {row.version: row.status for row in stored(session)}
        learned = {row.version: row.card.get("learned") for row in stored(session)}
    assert found == {made.detector.version: "active", talk.version: "retired"}
    assert learned[made.detector.version]["labels"] == 3
