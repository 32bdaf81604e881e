"""Which version scores a stream, and what is refused at start."""

import pytest

from streams.errors import OtherChannelsError, UnknownVersionError
from streams.roster import Roster
from tests.toys import toy_detector


def test_pinned_versions_are_loaded_before_the_first_record():
    asked = []

    def find(name, version):
        asked.append((name, version))
        return toy_detector(version=version)

    roster = Roster([toy_detector(version="v2")], find)
    roster.require([("toy", "v1"), ("toy", "v2"), ("gone", "v1")])
    assert asked == [("toy", "v1")]
    assert roster.engine("toy", "v1").detector.version == "v1"


def test_a_pinned_version_that_cannot_be_loaded_is_named():
    def find(name, version):
        raise FileNotFoundError

    roster = Roster([toy_detector(version="v2")], find)
    with pytest.raises(UnknownVersionError, match=r"toy@v1.*only toy@v2"):
        roster.require([("toy", "v1")])


def test_a_version_that_reads_other_channels_is_refused():
    roster = Roster([toy_detector(version="v2", width=3)], lambda *_: toy_detector(version="v1"))
    with pytest.raises(OtherChannelsError, match="another name"):
        roster.require([("toy", "v1")])


def test_the_fingerprint_names_versions_whatever_their_order():
    one, two = toy_detector(name="a"), toy_detector(name="b")
    assert Roster([one, two]).fingerprint == Roster([two, one]).fingerprint
    assert Roster([one]).fingerprint != Roster([toy_detector(name="a", version="v2")]).fingerprint
