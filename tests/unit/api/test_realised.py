from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from store import detectors
from store.keys import Scope
from store.session import writing
from store.tables import OutcomeTable


@pytest.fixture
def read(api):
    headers = api.headers(Scope.DECISIONS_READ)

    def get(name="pendigits", **query):
        return api.client.get(f"/v1/detectors/{name}/realised", params=query, headers=headers)

    return get


@pytest.fixture
def label(api):
    headers = api.headers(Scope.LABELS_WRITE)

    def send(**truths):
        rows = [{"stream_id": s, "label": y, "source": "nurse"} for s, y in truths.items()]
        assert api.client.post("/v1/labels", json={"labels": rows}, headers=headers).is_success

    return send


@pytest.fixture
def serve(api):
    def register(version="v1", alarm=None, days=0, **certificate):
        now = api.services.clock() + timedelta(days=days)
        with writing(api.services.engine) as connection:
            detectors.register(
                connection, name="pendigits", version=version, card={}, now=now,
                certificate={"alpha": 0.1, "control": "conditional"} | certificate,
                classes=("3", "5"), alarm=alarm,
            )  # fmt: skip

    return register


def end(api, stream_id, episode, late, length):
    row = {
        "detector": "pendigits", "stream_id": stream_id, "episode": episode, "late_label": late,
        "late_probability": 0.9, "length": length, "ended_at": api.services.clock(),
    }  # fmt: skip
    with writing(api.services.engine) as connection:
        connection.execute(insert(OutcomeTable), [row])


def test_an_unknown_detector_or_version_is_not_found(read, serve):
    assert read().status_code == 404
    serve()
    assert read().json()["versions"] == []
    assert read(version="v9").status_code == 404
    assert read(since="yesterday").status_code == 422
    assert read(what="else").status_code == 422


def test_the_word_realised_is_not_taken_for_a_version(api, read, serve):
    serve()
    assert set(read().json()) == {"detector", "since", "confidence", "versions"}
    answer = api.client.get("/v1/detectors/pendigits/v1", headers=api.headers())
    assert answer.json()["version"] == "v1"


def test_what_became_of_decisions_is_told_version_by_version(
    api, read, label, serve, add, make_decision
):
    serve("v1")
    serve("v2", days=1)
    rows = [make_decision(stream_id=f"s{n}", episode="e", shadow=n < 2) for n in range(4)]
    rows.append(make_decision(stream_id="new", version="v2"))
    add(*rows)
    end(api, "s0", "e", "5", 8)
    end(api, "s1", "e", "3", 4)
    label(s0="5", s1="3", s2="3", new="3")
    first, second = read().json()["versions"]
    assert (first["version"], first["status"], first["labelled"]) == ("v2", "active", 1)
    assert (second["version"], second["status"], second["decisions"]) == ("v1", "retired", 4)
    assert second["labelled_by_decision"][0]["share"] == 0.75
    assert (second["accuracy"]["k"], second["accuracy"]["n"]) == (2, 3)
    assert (second["late_accuracy"]["k"], second["late_known"]) == (2, 2)
    gap = second["gap"]
    assert (gap["k"], gap["n"], gap["level"]) == (1, 2, 0.1)
    assert gap["p_value"] == pytest.approx(1 - 0.9**2)
    early = second["by_step"]["stopped_early"]["steps"]
    assert [(row["step"], row["k"], row["n"]) for row in early] == [(4, 1, 1)]
    assert second["alarms"] is None
    assert [v["version"] for v in read(version="v1").json()["versions"]] == ["v1"]
    later = (api.services.clock() + timedelta(seconds=1)).isoformat()
    assert read(since=later).json()["versions"] == []


def test_a_one_sided_detector_tells_of_its_alarms(read, label, serve, add, make_decision):
    serve(alarm="3", control="one-sided", one_sided={"precision": {"level": 0.3}})
    add(
        *(make_decision(stream_id=f"raised{n}") for n in range(3)),
        *(make_decision(stream_id=f"quiet{n}", label="5") for n in range(4)),
    )
    label(raised0="3", raised1="5", quiet0="5", quiet1="3", quiet2="5")
    (version,) = read().json()["versions"]
    alarms = version["alarms"]
    assert alarms["label"] == "3"
    assert (alarms["false_alarm_rate"]["k"], alarms["false_alarm_rate"]["n"]) == (1, 3)
    assert alarms["false_alarm_rate"]["p_value"] == pytest.approx(1 - 0.9**3)
    assert (alarms["precision"]["k"], alarms["precision"]["n"]) == (1, 2)
    assert alarms["precision"]["p_value"] == pytest.approx(1 - 0.3**2)
    assert (alarms["sensitivity"]["k"], alarms["sensitivity"]["n"]) == (1, 2)
    assert version["gap"]["level"] is None
    assert any("66.7%" in remark and "75.0%" in remark for remark in version["remarks"])


def test_it_needs_the_scope_to_read_decisions(api):
    answer = api.client.get(
        "/v1/detectors/pendigits/realised", headers=api.headers(Scope.LABELS_WRITE)
    )
    assert answer.status_code == 403
