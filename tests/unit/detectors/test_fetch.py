"""Fetching from a server on this machine; upstream archives are tiny and made up here."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import threading
import wave
import zipfile
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.catalogue import stored
from detectors import datasets, fetch
from detectors.archives import read_files
from detectors.download import download
from detectors.errors import DatasetError
from detectors.inventory import listed
from detectors.upstream import SOURCES, held_out

SMS = b"ham\thow  are you\nspam\tfree prize now\nham\tok\nspam\tcall\nham\tc\nham\td e\n"


def zipped(files):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def tarred(files, link=None):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link is not None:
            entry = tarfile.TarInfo(link[0])
            entry.type, entry.linkname = tarfile.SYMTYPE, link[1]
            archive.addfile(entry)
    return raw.getvalue()


def recorded(samples, hz=8000):
    raw = io.BytesIO()
    with wave.open(raw, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(hz)
        sound.writeframes(np.array(samples, dtype="<i2").tobytes())
    return raw.getvalue()


def entry_of(name, archive, folder, **changes):
    """Return the catalogue's entry of `name` with the content of `archive` for its fingerprint."""
    path = folder / "good"
    path.write_bytes(archive)
    made = SOURCES[name].convert(read_files(path, SOURCES[name].wanted))
    path.unlink()
    found = {"fingerprint": fetch.content_sha256(made), **changes}
    return msgspec.structs.replace(fetch.catalogue()[name], **found)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        status, headers, body = self.server.pages[self.path]
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # who asked has seen enough
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Serve pages (status, headers, body) by path; yields a function that returns the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.pages = {}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def add(body, path="/archive", status=200, **headers):
        server.pages[path] = (status, {"Content-Length": str(len(body)), **headers}, body)
        return f"http://127.0.0.1:{server.server_port}{path}"

    yield add
    server.shutdown()
    thread.join()
    server.server_close()


get = partial(fetch.fetch, loopback_http=True)


def test_a_set_is_fetched_converted_compared_and_put_down(serve, tmp_path):
    archive = zipped({"readme": b"x", "SMSSpamCollection": SMS})
    entry = entry_of("sms_spam", archive, tmp_path, url=serve(archive))
    counted = []
    file = get("sms_spam", tmp_path / "data", entry=entry, advance=counted.append)
    assert file == tmp_path / "data" / "sms_spam" / "sms_spam.jsonl.gz"
    assert sum(counted) == len(archive)
    loaded = datasets.load("sms_spam", tmp_path / "data")
    assert sum(len(part) for part in loaded.parts.values()) == 6
    assert loaded.provenance["content_sha256"] == entry.fingerprint
    assert loaded.provenance["licence"] == entry.licence
    assert os.listdir(tmp_path / "data") == ["sms_spam"]  # noqa: PTH208


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "sms_spam").mkdir()
    with pytest.raises(DatasetError, match="there already"):
        fetch.fetch("sms_spam", tmp_path)


def test_a_name_that_is_not_in_the_catalogue_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(DatasetError, match="sms_spam"):
        fetch.fetch("smsspam", tmp_path)


def test_a_set_of_many_files_says_how_it_is_had(tmp_path):
    with pytest.raises(DatasetError, match=r"wget .*training_setB.*--from FOLDER"):
        fetch.fetch("cinc2019_sepsis_setB", tmp_path)


def test_other_content_is_refused_and_leaves_nothing(serve, tmp_path):
    good = zipped({"SMSSpamCollection": SMS})
    changed = zipped({"SMSSpamCollection": SMS.replace(b"prize", b"price")})
    entry = entry_of("sms_spam", good, tmp_path, url=serve(changed))
    with pytest.raises(DatasetError, match="does not hold sms_spam as it is known"):
        get("sms_spam", tmp_path / "data", entry=entry)
    given = tmp_path / "given.zip"
    given.write_bytes(changed)
    with pytest.raises(DatasetError, match=r"given\.zip does not hold"):
        fetch.fetch("sms_spam", tmp_path / "data", entry=entry, given=given)
    assert not (tmp_path / "data").exists()
    assert given.exists()


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (404, {}, b"no", "answered 404"),
        (200, {"Content-Length": "99999999999"}, b"x", "larger than"),
        (200, {}, b"x" * 6_000_000, "larger than"),
        (200, {"Content-Length": None}, b"x" * 6_000_000, "larger than"),
        (200, {"Content-Length": "50"}, b"x" * 10, "broke off|IncompleteRead"),
        (302, {"Location": "file:///etc/hostname"}, b"", "could not be fetched"),
        (302, {"Location": "ftp://127.0.0.1/x"}, b"", "not an https address"),
        (302, {"Location": "http://192.0.2.1/x"}, b"", "not an https address"),
    ],
)
def test_what_cannot_be_had_is_said_with_what_to_do(
    serve, tmp_path, status, headers, body, message
):
    url = serve(body, status=status, **headers)
    entry = msgspec.structs.replace(fetch.catalogue()["sms_spam"], url=url)
    with pytest.raises(DatasetError, match=message) as refusal:
        get("sms_spam", tmp_path / "data", entry=entry)
    assert "--from FILE" in str(refusal.value)
    assert not (tmp_path / "data").exists()


def test_without_a_network_the_way_by_hand_is_named(tmp_path):
    entry = msgspec.structs.replace(fetch.catalogue()["fsdd"], url="http://127.0.0.1:9/x.zip")
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1:9.*--from FILE"):
        get("fsdd", tmp_path / "data", entry=entry)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://example.org/x", "file:///etc/hostname", "https:///x"]
)
def test_only_https_is_asked(tmp_path, url):
    with pytest.raises(DatasetError, match="not an https address"):
        download(url, tmp_path / "x", 10)
    assert list(tmp_path.iterdir()) == []


def test_every_address_of_the_catalogue_is_https():
    for entry in fetch.catalogue().values():
        assert entry.page.startswith("https://")
        assert (entry.url or entry.by_hand).count("https://") == 1
        assert len(bytes.fromhex(entry.fingerprint)) == 32


@pytest.mark.parametrize("name", ["../SMSSpamCollection", "/SMSSpamCollection", "a\\..\\..\\b"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_that_leads_out_of_an_archive_is_refused(tmp_path, pack, name):
    given = tmp_path / "given"
    given.write_bytes(pack({name: SMS, "SMSSpamCollection": SMS}))
    with pytest.raises(DatasetError, match="leads out of it"):
        fetch.fetch("sms_spam", tmp_path / "data", given=given)
    assert not (tmp_path / "data").exists()


def test_an_answer_that_is_no_archive_is_called_by_its_address(serve, tmp_path):
    url = serve(b"<html>moved")
    entry = msgspec.structs.replace(fetch.catalogue()["sms_spam"], url=url)
    with pytest.raises(DatasetError, match=f"^{re.escape(url)} is no .zip"):
        get("sms_spam", tmp_path / "data", entry=entry)
    assert not (tmp_path / "data").exists()


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    given = tmp_path / "given"
    given.write_bytes(tarred({}, link=("SMSSpamCollection", "/etc/hostname")))
    with pytest.raises(DatasetError, match="holds nothing of sms_spam"):
        fetch.fetch("sms_spam", tmp_path / "data", given=given)


def test_an_archive_that_swells_is_refused(tmp_path):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SMSSpamCollection", b"\0" * 5_000_000)
    (tmp_path / "bomb.zip").write_bytes(raw.getvalue())
    assert (tmp_path / "bomb.zip").stat().st_size < 10_000
    with pytest.raises(DatasetError, match="more than 1000 bytes"):
        read_files(tmp_path / "bomb.zip", SOURCES["sms_spam"].wanted, most_bytes=1000)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x1f\x8b half", b"<html>sorry"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DatasetError, match=r"is no \.zip, no \.tar\.gz|cannot be read"):
        fetch.fetch("sms_spam", tmp_path / "data", given=tmp_path / "file")


def test_two_files_of_one_name_are_refused(tmp_path):
    given = tmp_path / "given"
    given.write_bytes(zipped({"a/pendigits.tra": b"", "b/pendigits.tra": b""}))
    with pytest.raises(DatasetError, match=r"two files 'pendigits\.tra'"):
        fetch.fetch("PenDigits", tmp_path / "data", given=given)


def brought(name, archive, folder):
    """Return what stands on disk after `name` was taken from an archive that is not fetched."""
    given = folder / "given"
    if isinstance(archive, bytes):
        given.write_bytes(archive)
        entry = entry_of(name, archive, folder)
    else:
        given = archive
        made = SOURCES[name].convert(read_files(given, SOURCES[name].wanted))
        entry = msgspec.structs.replace(
            fetch.catalogue()[name], fingerprint=fetch.content_sha256(made)
        )
    fetch.fetch(name, folder / "data", given=given, entry=entry)
    return stored(folder / "data", name)


def test_messages_become_streams_of_words(tmp_path):
    lines = brought("sms_spam", zipped({"SMSSpamCollection": SMS}), tmp_path)
    assert [line["label"] for line in lines] == ["ham", "spam", "ham", "spam", "ham", "ham"]
    assert lines[0]["stream_id"] == "sms-1"
    assert lines[0]["events"] == [
        {"t": 0, "text": "how"}, {"t": 1, "text": "are"}, {"t": 2, "text": "you"}
    ]  # fmt: skip
    assert [line["split"] for line in lines].count("test") == 2


def test_the_one_file_of_a_set_may_be_given_as_it_is(tmp_path):
    (tmp_path / "SMSSpamCollection").write_bytes(SMS)
    assert len(brought("sms_spam", tmp_path / "SMSSpamCollection", tmp_path)) == 6


def test_reviews_become_streams_of_lines(tmp_path):
    archive = tarred(
        {
            "txt_sentoken/pos/cv800_1.txt": b"good film .\n\n see it .\n",
            "txt_sentoken/neg/cv000_2.txt": b"bad film .\n",
            "poldata.README.2.0": b"x",
        }
    )
    lines = brought("movie_review_polarity", archive, tmp_path)
    assert [(line["stream_id"], line["split"]) for line in lines] == [
        ("movie-neg-cv000", "train"),
        ("movie-pos-cv800", "test"),
    ]
    assert [event["text"] for event in lines[1]["events"]] == ["good film .", "see it ."]


def test_drawings_become_points(tmp_path):
    row = ", ".join(str(i) for i in range(16))
    archive = zipped({"pendigits.tra": f"{row}, 7\n", "pendigits.tes": f"{row}, 0\n{row}, 1\n"})
    arrays = brought("PenDigits", archive, tmp_path)
    assert arrays["X_train"].shape == (1, 2, 8)
    assert arrays["X_train"][0, :, 1].tolist() == [2.0, 3.0]
    assert arrays["y_test"].tolist() == [0, 1]
    assert len(datasets.load("PenDigits", tmp_path / "data").parts["test"]) == 2


def test_recordings_stand_one_behind_the_other(tmp_path):
    archive = zipped(
        {
            "x-1.0/recordings/3_lucas_5.wav": recorded([1, 2]),
            "x-1.0/recordings/3_lucas_0.wav": recorded([-7]),
            "x-1.0/recordings/0_theo_10.wav": recorded([4, 5, 6]),
            "x-1.0/README.md": b"x",
        }
    )
    arrays = brought("fsdd", archive, tmp_path)
    assert arrays["audio"].tolist() == [4, 5, 6, -7, 1, 2]
    assert arrays["offsets"].tolist() == [0, 3, 4, 6]
    assert arrays["y"].tolist() == [0, 3, 3]
    assert arrays["split"].tolist() == ["train", "test", "train"]
    assert arrays["speaker"].tolist() == ["theo", "lucas", "lucas"]


def test_stays_stand_one_behind_the_other(tmp_path):
    folder = tmp_path / "training_setB"
    folder.mkdir()
    head = "HR|Temp|SepsisLabel\n"
    (folder / "p100002.psv").write_text(head + "80|NaN|0\n81|37.5|1\n82|NaN|1\n")
    (folder / "p100001.psv").write_text(head + "NaN|36.6|0\n")
    arrays = brought("cinc2019_sepsis_setB", folder, tmp_path)
    assert arrays["patient"].tolist() == ["p100001", "p100002"]
    assert arrays["offsets"].tolist() == [0, 1, 4]
    assert arrays["first_positive_row"].tolist() == [-1, 1]
    assert arrays["y"].tolist() == [0, 1]
    assert arrays["columns"].tolist() == ["HR", "Temp"]
    assert np.array_equal(arrays["values"][:, 0], [np.nan, 80, 81, 82], equal_nan=True)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("sms_spam", {"SMSSpamCollection": b"\xff\xfe"}),
        ("sms_spam", {"SMSSpamCollection": b"eggs\tno label of this set\n"}),
        ("PenDigits", {"pendigits.tra": b"1,2\n"}),
        ("PenDigits", {"pendigits.tra": b"a,b\n"}),
        ("PenDigits", {"pendigits.tes": b"1\n"}),
        ("fsdd", {"recordings/3_lucas_5.wav": b"no sound"}),
        ("fsdd", {"recordings/3_lucas_5.wav": recorded([1], hz=16000)}),
        ("cinc2019_sepsis_setB", {"p100001.psv": b"HR\n80\n"}),
        ("cinc2019_sepsis_setB", {"p100001.psv": b"HR|SepsisLabel\n"}),
        ("cinc2019_sepsis_setB", {"p100001.psv": b"HR|SepsisLabel\nhigh|0\n"}),
        (
            "cinc2019_sepsis_setB",
            {"p100001.psv": b"HR|SepsisLabel\n1|0\n", "p100002.psv": b"SBP|SepsisLabel\n1|0\n"},
        ),
    ],
)
def test_files_unlike_the_published_ones_are_refused(tmp_path, name, files):
    given = tmp_path / "given"
    given.write_bytes(zipped(files))
    with pytest.raises(DatasetError, match="is not as published") as refusal:
        fetch.fetch(name, tmp_path / "data", given=given)
    assert "no label of this set" not in str(refusal.value)
    assert not (tmp_path / "data").exists()


def test_the_division_into_parts_is_one_fixed_draw():
    parts = held_out(["b", "a"] * 10, 0.3)
    assert parts == held_out(["b", "a"] * 10, 0.3)
    assert [i for i, part in enumerate(parts) if part == "test"] == [2, 5, 6, 9, 10, 17]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(fetch.catalogue()))
def test_the_fingerprints_are_those_of_known_good_copies(name):
    folder = os.environ.get("TOCSIN_DATA_DIR")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"TOCSIN_DATA_DIR holds no {name}: no good copy to compare with")
    found = fetch.content_sha256(stored(Path(folder), name))
    assert found == fetch.catalogue()[name].fingerprint


def test_every_set_is_listed_once_and_what_is_here_is_not_offered_again(tmp_path):
    brought("sms_spam", zipped({"SMSSpamCollection": SMS}), tmp_path)
    damaged = tmp_path / "data" / "broken"
    damaged.mkdir()
    (damaged / "broken.npz").write_bytes(b"PK")
    rows = {row.name: row for row in listed(tmp_path / "data")}
    assert len(rows) == len(listed(tmp_path / "data"))
    assert rows["pendigits-parts"].streams == 10992
    assert (rows["shop-talk"].modality, rows["shop-talk"].where) == ("text", "bundled")
    assert (rows["sms_spam"].streams, rows["sms_spam"].modality) == (6, "text")
    assert rows["sms_spam"].where.endswith("sms_spam.jsonl.gz")
    assert rows["fsdd"].where == "tocsin datasets fetch fsdd"
    assert rows["cinc2019_sepsis_setB"].where.endswith("--from FOLDER")
    assert (rows["broken"].streams, rows["broken"].modality) == (None, "?")


def test_without_a_folder_of_ones_own_the_rest_is_listed(tmp_path):
    names = [row.name for row in listed(None)]
    assert {"shop-talk", "fsdd"} <= set(names)
    with pytest.raises(DatasetError, match="is not a folder"):
        listed(tmp_path / "nowhere")


def test_a_text_file_that_was_cut_off_is_listed_as_unreadable(tmp_path):
    folder = tmp_path / "talk"
    folder.mkdir()
    raw = gzip.compress(json.dumps({"label": "a"}).encode() * 50)
    (folder / "talk.jsonl.gz").write_bytes(raw[: len(raw) // 2])
    rows = {row.name: row for row in listed(tmp_path)}
    assert rows["talk"].streams is None
