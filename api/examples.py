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
            "detail": "neither a frame nor an end marker",
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
