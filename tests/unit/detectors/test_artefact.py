from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from detectors import artefact
from detectors.errors import (
    ArtefactError,
    ManifestError,
    MissingFileError,
    TamperedFileError,
    UnexpectedFileError,
)

FILES = {
    "detector.toml", "thresholds.json", "certificate.json", "card.json", "card.md",
    "classifier/classifier.json", "classifier/weights.safetensors",
}  # fmt: skip


@pytest.fixture
def folder(detector, tmp_path):
    artefact.save(detector, tmp_path / "toy")
    return tmp_path / "toy"


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def rewrite(folder, change, **entries):
    """Change the manifest's list of files, and other entries."""
    document = manifest(folder) | entries
    change(document["files"])
    (folder / "manifest.json").write_text(json.dumps(document))


def test_the_folder_holds_what_the_design_lists_and_nothing_else(folder):
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert present == FILES | {"manifest.json"}
    assert manifest(folder)["files"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES
    }


def test_a_saved_detector_is_loaded_the_same(detector, folder):
    loaded = artefact.load(folder)
    for name in ("name", "version", "config", "horizon", "shadow_share", "certificate", "card"):
        assert getattr(loaded, name) == getattr(detector, name)
    assert np.array_equal(loaded.thresholds, detector.thresholds)
    assert type(loaded.signal) is type(detector.signal)
    state = loaded.classifier.start(1)
    frame = np.ones((1, 1), np.float32)
    ours = detector.classifier.step(detector.classifier.start(1), frame)[1].probabilities
    assert np.array_equal(loaded.classifier.step(state, frame)[1].probabilities, ours)


def test_nothing_in_the_folder_is_a_pickle(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            assert not path.read_bytes().startswith(b"\x80")


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_bit_in_any_file_is_noticed_and_the_file_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(TamperedFileError, match=name) as refusal:
        artefact.load(folder)
    assert "tocsin train" in str(refusal.value)


@pytest.mark.parametrize("name", [*sorted(FILES), "manifest.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        artefact.load(folder)


@pytest.mark.parametrize("name", ["note.txt", "classifier/extra.pkl", ".hidden"])
def test_an_additional_file_is_named(folder, name):
    (folder / name).write_text("x")
    with pytest.raises(UnexpectedFileError, match=name):
        artefact.load(folder)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "classifier/../../outside", "a\\..\\b", "./card.md"]
)
def test_a_manifest_that_names_something_outside_is_refused_before_it_is_read(folder, name):
    (folder.parent / "outside").write_text("secret")
    rewrite(folder, lambda files: files.update({name: "0" * 64}))
    with pytest.raises(ManifestError, match="outside the folder"):
        artefact.load(folder)


def test_a_link_is_refused_even_if_its_target_has_the_right_sum(folder, tmp_path):
    elsewhere = tmp_path / "card.md"
    (folder / "card.md").rename(elsewhere)
    (folder / "card.md").symlink_to(elsewhere)
    with pytest.raises(ManifestError, match=r"card\.md is a link"):
        artefact.load(folder)


def test_a_linked_subfolder_is_refused(folder, tmp_path):
    (folder / "classifier").rename(tmp_path / "elsewhere")
    (folder / "classifier").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError):
        artefact.load(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {"card.md": 3}}']
)
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ManifestError):
        artefact.load(folder)


@pytest.mark.parametrize("name", ["detector.toml", "certificate.json"])
def test_a_manifest_may_not_leave_out_what_every_artefact_has(folder, name):
    (folder / name).unlink()
    rewrite(folder, lambda files: files.pop(name))
    with pytest.raises(ManifestError, match=name):
        artefact.load(folder)


def resign(folder, name, content):
    """Change a file and its sum in the manifest: what a careful forger would do."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(folder, lambda files: files.update({name: digest}))


def test_thresholds_that_do_not_match_their_certificate_are_refused(folder):
    document = json.loads((folder / "thresholds.json").read_text())
    document["thresholds"][0] = 0.0
    resign(folder, "thresholds.json", json.dumps(document).encode())
    with pytest.raises(ManifestError, match=r"thresholds\.json and certificate\.json"):
        artefact.load(folder)


def test_thresholds_changed_together_with_their_certificate_make_another_version(folder, detector):
    for name in ("thresholds.json", "certificate.json"):
        document = json.loads((folder / name).read_text())
        document["thresholds"][0] = 0.0
        resign(folder, name, json.dumps(document).encode())
    with pytest.raises(ManifestError, match=f"its manifest says '{detector.version}'") as refusal:
        artefact.load(folder)
    [found] = re.findall(r"its version is '([0-9a-f]{12})'", str(refusal.value))
    rewrite(folder, lambda _files: None, version=found)
    assert artefact.load(folder).version == found != detector.version


@pytest.mark.parametrize("name", ["detector.toml", "certificate.json", "card.json"])
def test_rubbish_with_the_right_sum_is_still_refused(folder, name):
    resign(folder, name, b"\xffrubbish")
    with pytest.raises(ManifestError):
        artefact.load(folder)


def test_the_version_follows_what_a_detector_answers_and_not_its_card(detector):
    config, classifier = detector.config, detector.classifier
    thresholds = tuple(detector.certificate["thresholds"])
    assert artefact.version_of(config, classifier, thresholds) == detector.version
    assert len(detector.version) == 12
    later = config.resolved(signal="max_probability", horizon=6)
    assert artefact.version_of(later, classifier, thresholds) != detector.version
    lower = (0.5, *thresholds[1:])
    assert artefact.version_of(config, classifier, lower) != detector.version


@pytest.mark.parametrize("said", [{"version": "0" * 12}, {"name": "other"}, {"name": None}])
def test_a_manifest_that_speaks_of_another_detector_is_refused(folder, said):
    rewrite(folder, lambda _files: None, **said)
    with pytest.raises(ManifestError, match=f"its {next(iter(said))} is .*, its manifest says"):
        artefact.load(folder)


def test_a_file_swapped_after_its_check_does_not_count(folder, detector, monkeypatch):
    """The classifier that answers is the one whose SHA-256 was checked."""
    read_config = artefact.configs.parse

    def swap_then_read(*arguments):
        for path in (folder / "classifier").iterdir():
            path.write_bytes(b"somebody else's")
        return read_config(*arguments)

    monkeypatch.setattr(artefact.configs, "parse", swap_then_read)
    loaded = artefact.load(folder)
    thresholds = tuple(loaded.certificate["thresholds"])
    found = artefact.version_of(loaded.config, loaded.classifier, thresholds)
    assert found == loaded.version == detector.version
    with pytest.raises(TamperedFileError):
        artefact.load(folder)


def test_loading_leaves_no_copy_of_the_classifier_behind(folder, tmp_path, monkeypatch):
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    artefact.load(folder)
    assert list(private.iterdir()) == []


def test_saving_the_same_again_changes_nothing(folder, detector):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    artefact.save(detector, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_saving_tells_what_the_folder_holds_now(detector, tmp_path):
    assert artefact.save(detector, tmp_path / "toy") is detector
    later = replace(detector, card={**detector.card, "made_on": "2031-01-01"})
    assert artefact.save(later, tmp_path / "toy").card == detector.card


def test_another_version_is_not_written_over_what_is_there(folder, detector):
    with pytest.raises(ManifestError, match="another version"):
        artefact.save(replace(detector, version="f" * 12), folder)
    assert artefact.load(folder).version == detector.version


def test_a_folder_is_there_whole_or_not_at_all(detector, tmp_path, monkeypatch):
    written = []

    def fail(descriptor):
        written.append(descriptor)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        artefact.save(detector, tmp_path / "deep" / "toy")
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_detector_whose_version_is_not_that_of_its_files_is_not_saved(detector, tmp_path):
    with pytest.raises(ManifestError, match="its version is"):
        artefact.save(replace(detector, version="f" * 12), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()
