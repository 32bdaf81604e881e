from __future__ import annotations

import shutil
from dataclasses import replace

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
