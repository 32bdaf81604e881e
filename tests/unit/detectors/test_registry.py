from __future__ import annotations

import fcntl
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Thread

import pytest

from detectors import artefact
from detectors.errors import ArtefactError, RegistryError, RegistryStateError, TamperedFileError
from detectors.registry import Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def second(detector):
    """The same detector with another share of shadows: another version."""
    import msgspec

    config = msgspec.structs.replace(detector.config, shadow_share=0.5)
    thresholds = tuple(detector.certificate["thresholds"])
    version = artefact.version_of(config, detector.classifier, thresholds)
    return replace(detector, config=config, shadow_share=0.5, version=version)


class KilledError(BaseException):
    """The process ends here: no handler of the program runs."""


@pytest.fixture
def killed_add(registry, monkeypatch):
    """Return a function that adds and dies as soon as the folder is there, or just before."""
    save = artefact.save

    def add(detector, *, folder_there=True, **options):
        def die(*arguments):
            if folder_there:
                save(*arguments)
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(artefact, "save", die)
            with pytest.raises(KilledError):
                registry.add(detector, **options)

    return add


def state(registry):
    return json.loads((registry.root / "toy" / "state.json").read_text())


def test_an_empty_registry_lists_nothing_and_says_so(registry):
    assert registry.entries() == []
    with pytest.raises(RegistryError, match="tocsin train"):
        registry.resolve("toy")


def test_a_detector_added_is_active_and_found_by_its_name(registry, detector):
    entry = registry.add(detector)
    assert entry.active
    assert registry.resolve("toy") == registry.root / "toy" / detector.version
    assert registry.load("toy").version == detector.version


def test_the_newest_added_is_active_and_the_older_is_still_there(registry, detector, second):
    registry.add(detector)
    registry.add(second)
    assert registry.load("toy").version == second.version
    assert registry.load(f"toy@{detector.version}").version == detector.version
    assert {entry.version: entry.active for entry in registry.entries("toy")} == {
        detector.version: False,
        second.version: True,
    }


def test_a_version_can_be_added_without_becoming_active(registry, detector, second):
    registry.add(detector)
    registry.add(second, activate=False)
    assert registry.load("toy").version == detector.version


def test_adding_the_same_twice_makes_one_entry(registry, detector):
    registry.add(detector)
    registry.add(detector)
    assert len(registry.entries()) == 1


def test_going_back_to_an_older_version(registry, detector, second):
    registry.add(detector)
    registry.add(second)
    registry.activate("toy", detector.version)
    assert registry.load("toy").version == detector.version


def test_retiring_the_active_version_leaves_none_active_but_all_there(registry, detector, second):
    registry.add(detector)
    registry.add(second)
    assert registry.retire("toy", second.version).retired
    with pytest.raises(RegistryError, match="no version of 'toy' is active") as refusal:
        registry.resolve("toy")
    assert f"toy@{detector.version}" in str(refusal.value)
    assert registry.load(f"toy@{second.version}").version == second.version


def test_activating_takes_out_of_retirement(registry, detector):
    registry.add(detector)
    registry.retire("toy", detector.version)
    entry = registry.activate("toy", detector.version)
    assert entry.active
    assert not entry.retired


@pytest.mark.parametrize("reference", ["top", "toy@123456789abc", "toy@", "@", "a/b", ""])
def test_what_is_not_there_is_answered_with_what_is(registry, detector, reference):
    registry.add(detector)
    with pytest.raises(RegistryError) as refusal:
        registry.load(reference)
    assert f"toy@{detector.version} (active)" in str(refusal.value)


def test_an_unknown_version_cannot_become_active(registry, detector):
    registry.add(detector)
    for change in (registry.activate, registry.retire):
        with pytest.raises(RegistryError):
            change("toy", "0" * 12)
    assert registry.load("toy").version == detector.version


def test_a_folder_is_taken_as_it_is(registry, detector, tmp_path):
    artefact.save(detector, tmp_path / "anywhere")
    assert registry.load(str(tmp_path / "anywhere")).version == detector.version
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegistryError, match=r"holds no manifest\.json"):
        registry.load(str(tmp_path / "empty"))


def test_a_damaged_version_is_not_loaded(registry, detector):
    folder = registry.add(detector).folder
    (folder / "thresholds.json").write_text("{}")
    with pytest.raises(TamperedFileError):
        registry.load("toy")


def test_a_folder_under_another_name_than_its_own_is_refused(registry, detector):
    folder = registry.add(detector).folder
    shutil.copytree(folder, folder.with_name("0" * 12))
    registry.activate("toy", "0" * 12)
    with pytest.raises(ArtefactError, match=f"holds toy@{detector.version}"):
        registry.load("toy")


def test_a_draft_left_by_a_crash_is_no_version(registry, detector):
    folder = registry.add(detector).folder
    shutil.copytree(folder, folder.with_name(f".{detector.version}.x1y2"))
    assert [entry.version for entry in registry.entries()] == [detector.version]


def test_a_broken_note_of_what_is_active_says_what_to_do(registry, detector):
    registry.add(detector)
    (registry.root / "toy" / "state.json").write_text("{broken")
    with pytest.raises(RegistryStateError, match="Delete it and activate"):
        registry.resolve("toy")
    (registry.root / "toy" / "state.json").unlink()
    registry.activate("toy", detector.version)
    assert registry.load("toy").version == detector.version


def test_a_version_whose_add_was_killed_before_it_became_active_is_active(
    registry, detector, killed_add
):
    killed_add(detector)
    assert registry.load("toy").version == detector.version
    [entry] = registry.entries()
    assert entry.active
    assert not entry.retired


def test_of_several_killed_adds_the_latest_counts(registry, detector, second, killed_add):
    for nth, each in enumerate((detector, second)):
        killed_add(each)
        made = registry.root / "toy" / each.version / artefact.MANIFEST
        os.utime(made, (1e9 + nth, 1e9 + nth))
    assert registry.load("toy").version == second.version
    assert [entry.version for entry in registry.entries() if entry.active] == [second.version]
    os.utime(registry.root / "toy" / detector.version / artefact.MANIFEST, (2e9, 2e9))
    assert registry.load("toy").version == detector.version


def test_a_killed_add_does_not_take_the_place_of_the_active_version(
    registry, detector, second, killed_add
):
    registry.add(detector)
    killed_add(second)
    assert registry.load("toy").version == detector.version
    registry.add(second)
    assert registry.load("toy").version == second.version


def test_a_new_version_whose_add_was_killed_replaces_a_retired_one(
    registry, detector, second, killed_add
):
    registry.add(detector)
    registry.retire("toy", detector.version)
    killed_add(second)
    assert registry.load("toy").version == second.version


def test_a_version_active_only_because_its_add_was_killed_can_be_retired(
    registry, detector, second, killed_add
):
    for each in (detector, second):
        killed_add(each)
    active = next(entry for entry in registry.entries() if entry.active)
    registry.retire("toy", active.version)
    with pytest.raises(RegistryError, match="no version of 'toy' is active"):
        registry.resolve("toy")


@pytest.mark.parametrize("folder_there", [False, True])
def test_a_version_added_inactive_never_becomes_active_by_itself(
    registry, detector, killed_add, folder_there
):
    killed_add(detector, activate=False, folder_there=folder_there)
    assert not registry.add(detector, activate=False).active
    with pytest.raises(RegistryError, match="no version of 'toy' is active; name one") as refusal:
        registry.resolve("toy")
    assert f"toy@{detector.version}" in str(refusal.value)
    assert registry.load(f"toy@{detector.version}").version == detector.version
    assert registry.activate("toy", detector.version).active


def test_an_inactive_add_killed_before_its_folder_is_there_does_not_bind_a_later_one(
    registry, detector, killed_add
):
    killed_add(detector, activate=False, folder_there=False)
    killed_add(detector)
    assert registry.load("toy").version == detector.version


def test_adding_inactive_what_is_there_changes_nothing(registry, detector, second):
    assert registry.add(detector).written
    registry.add(second)
    registry.retire("toy", detector.version)
    before = {path: path.stat().st_mtime_ns for path in registry.root.rglob("*")}
    for each, active, retired in ((second, True, False), (detector, False, True)):
        entry = registry.add(replace(each, card={}), activate=False)
        assert (entry.active, entry.retired, entry.written) == (active, retired, False)
    assert {path: path.stat().st_mtime_ns for path in registry.root.rglob("*")} == before


def test_a_state_without_the_known_versions_is_still_read(registry, detector, second):
    for each in (detector, second):
        registry.add(each)
    old = {"active": detector.version, "retired": [second.version]}
    (registry.root / "toy" / "state.json").write_text(json.dumps(old))
    assert registry.load("toy").version == detector.version
    assert not registry.retire("toy", detector.version).active


def copies(registry, detector, n):
    """Make n more folders that count as versions; none is loaded."""
    folder = registry.add(detector).folder
    names = [f"{k:012x}" for k in range(n)]
    for name in names:
        shutil.copytree(folder, folder.with_name(name))
    return names


def test_changes_made_at_the_same_time_are_all_kept(registry, detector):
    names = copies(registry, detector, 24)

    def retire(name):
        Registry(registry.root).retire("toy", name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(retire, names))
    assert state(registry)["retired"] == names
    assert registry.load("toy").version == detector.version


@pytest.mark.parametrize("change", ["activate", "retire", "add"])
def test_a_change_waits_for_the_one_under_way(registry, detector, second, change):
    registry.add(detector)
    registry.add(second)
    arguments = [detector] if change == "add" else ["toy", detector.version]
    with (registry.root / "toy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = state(registry)
        other = Thread(target=getattr(registry, change), args=arguments)
        other.start()
        other.join(0.3)
        assert other.is_alive()
        assert state(registry) == before
        assert registry.load("toy").version == second.version
    other.join(10)
    assert not other.is_alive()
    assert state(registry) != before


def test_adding_inactive_what_is_there_needs_no_lock_for_the_registry_may_be_read_only(
    registry, detector
):
    registry.add(detector)
    with (registry.root / "toy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = Thread(target=registry.add, args=[detector], kwargs={"activate": False})
        other.start()
        other.join(10)
        waiting = other.is_alive()
    other.join(10)
    assert not waiting


def test_a_damaged_version_is_not_taken_for_one_that_is_there_already(registry, detector):
    folder = registry.add(detector).folder
    (folder / "card.md").write_text("changed")
    for activate in (False, True):
        with pytest.raises(TamperedFileError):
            registry.add(detector, activate=activate)


def test_the_lock_is_no_version_and_no_name_is_made_by_asking(registry, detector):
    registry.add(detector)
    assert (registry.root / "toy" / ".lock").is_file()
    assert [entry.reference for entry in registry.entries()] == [f"toy@{detector.version}"]
    for change in (registry.activate, registry.retire):
        with pytest.raises(RegistryError):
            change("../elsewhere", detector.version)
    assert [path.name for path in registry.root.iterdir()] == ["toy"]
