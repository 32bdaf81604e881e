"""Examples of what the API takes and gives, for the OpenAPI document; tests hold them true."""

from __future__ import annotations

from pydantic import JsonValue

Example = dict[str, JsonValue]

DECISION: Example = {
    "id": "5b1f7c0e-6f1d-5d0a-9d0f-0d5f4b7f2a11",
    "detector": "pendigits",
    "version": "3f9a1c",
    "stream_id": "pen-17",
    "episode": "pendigits/test/17/1",
    "label": "3",
    "probability": 0.981,
    "halt_step": 4,
    "reason": "threshold",
    "readiness": 0.97,
    "threshold": 0.95,
    "shadow": False,
    "event_time": "2026-11-22T09:30:00Z",
    "decided_at": "2026-11-22T09:30:00.120000Z",
    "top_reasons": [{"step": 3, "weight": 1.7, "evidence": {"x": 81.0, "y": 27.0}}],
}

EVENT: Example = {
    "stream_id": "pen-17",
    "event_id": "pen-17/3",
    "detector": "pendigits",
    "time": "2026-11-22T09:30:00Z",
    "frames": [[47.0, 100.0], [27.0, 81.0]],
    "end": False,
}

EVENTS_OUT: Example = {
    "accepted": 1,
    "rejected": 1,
    "failed": 0,
    "results": [
        {
            "index": 0, "status": "accepted", "event_id": "pen-17/3",
            "partition": 2, "offset": 1041,
        },
        {
            "index": 1, "status": "rejected", "reason": "no_content",
            "detail": "neither content nor an end marker",
        },
    ],
}  # fmt: skip

DECISION_LIST: Example = {"decisions": [DECISION], "next_cursor": "kq0r8m1xVtJc"}

DECISION_DETAIL: Example = {
    "decision": DECISION,
    "explanation": {
        "method": "change of the label's log-odds at each step",
        "contributions": [
            {"step": 3, "weight": 1.7, "evidence": {"x": 81.0, "y": 27.0}}
        ],
        "rest": 0.4,
    },
    "trajectory": [
        {"step": 4, "label": "3", "probability": 0.981, "readiness": 0.97}
    ],
    "certificate": {"control": "conditional", "alpha": 0.1, "delta": 0.05},
    "outcome": {
        "late_label": "3", "late_probability": 0.99, "length": 8,
        "ended_at": "2026-11-22T09:30:04Z",
    },
}  # fmt: skip

STREAM: Example = {
    "stream_id": "pen-17",
    "states": [
        {
            "detector": "pendigits", "version": "3f9a1c", "phase": "halted", "steps": 4,
            "episode": "pendigits/test/17/1", "updated_at": "2026-11-22T09:30:00Z",
        }
    ],
    "decisions": [DECISION],
    "next_cursor": "kq0r8m1xVtJc",
}  # fmt: skip

DETECTOR_DETAIL: Example = {
    "name": "pendigits", "version": "3f9a1c", "status": "active",
    "registered_at": "2026-11-22T09:00:00Z",
    "card": {"purpose": "Says which digit a pen is drawing."},
    "certificate": {"control": "conditional", "alpha": 0.1, "delta": 0.05},
}  # fmt: skip

DETECTOR_LIST: Example = {
    "detectors": [
        {
            "name": "pendigits", "version": "3f9a1c", "status": "active",
            "registered_at": "2026-11-22T09:00:00Z",
            "guarantee": {"control": "conditional", "alpha": 0.1, "delta": 0.05},
            "summary": {"classes": ["0", "1"]},
        }
    ]
}  # fmt: skip

DEAD_LETTER_LIST: Example = {
    "dead_letters": [
        {
            "id": 7, "topic": "tocsin.events", "partition": 3, "offset": 90,
            "detector": "pendigits", "reason": "wrong_width",
            "detail": "3 numbers in a frame; 2 wanted",
            "failed_at": "2026-11-22T09:30:00Z",
        }
    ],
    "next_cursor": "kq0r8m1xVtJc",
}  # fmt: skip

LABEL: Example = {
    "label_id": "visit-204/outcome",
    "stream_id": "pen-17",
    "detector": "pendigits",
    "episode": "pendigits/test/17/1",
    "label": "3",
    "source": "nurse-17",
    "time": "2026-11-22T11:30:00Z",
}

LABELS_OUT: Example = {
    "stored": 1,
    "repeated": 0,
    "rejected": 1,
    "unmatched": 0,
    "results": [
        {"index": 0, "status": "stored", "label_id": "visit-204/outcome", "matched": True},
        {
            "index": 1, "status": "rejected", "label_id": "visit-205/outcome",
            "reason": "unknown_label",
            "detail": "the detector does not know this label; see its classes",
        },
    ],
}  # fmt: skip

LABEL_LIST: Example = {
    "labels": [
        LABEL
        | {
            "received_at": "2026-11-22T11:31:02Z", "via": "api", "key": "k3v9x0q2ab",
            "matched": True,
        }
    ],
    "next_cursor": "kq0r8m1xVtJc",
}  # fmt: skip

_GAP: Example = {
    "k": 3, "n": 48, "share": 0.0625, "interval": [0.013, 0.172], "level": 0.1, "p_value": 0.886,
}  # fmt: skip
_SHARE: Example = {
    "k": 930, "n": 1000, "share": 0.93, "interval": [0.912, 0.945], "level": None, "p_value": None,
}  # fmt: skip

REALISED: Example = {
    "detector": "pendigits",
    "since": None,
    "confidence": 0.95,
    "versions": [
        {
            "version": "3f9a1c", "status": "active", "control": "conditional", "alpha": 0.1,
            "decisions": 3498, "labelled": 1000, "contradicted": 2, "late_known": 48,
            "labelled_by_decision": [{"label": "3", **_SHARE}],
            "accuracy": _SHARE, "late_accuracy": _SHARE, "gap": _GAP,
            "by_step": {
                "halted": {"steps": [{"step": 4, **_GAP}], "worst": None, "p_value": None},
                "stopped_early": {"steps": [], "worst": None, "p_value": None},
            },
            "alarms": None,
            "remarks": ["1000 of 3498 decisions are labelled."],
        }
    ],
}  # fmt: skip
