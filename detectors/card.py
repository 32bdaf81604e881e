"""The model card: what a detector is for, what it was made of and what it promises.

Written by the training run from what it measured; rendered as Markdown for people.
"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from stopping.issue import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.config import DetectorConfig
    from detectors.datasets import Dataset
    from detectors.split import Parts
    from stopping.certificate import Certificate

PACKAGES = (
    "tocsin", "numpy", "scipy", "torch", "scikit-learn", "river", "safetensors", "msgspec",
)  # fmt: skip
MOST_NAMED = 8
"""Channels named in the purpose."""
ONE_SIDED_LIMITS = (
    "It says how many negatives are raised in vain, not how many positives are found: the "
    "sensitivity is measured beside it, on the test streams.",
    "An alarm on a positive stream counts as right however late it comes: see the lead times.",
    "It holds with the stated confidence over the draw of the calibration streams.",
    "It is void when the traffic drifts away from the calibration streams, and when versions are "
    "mixed within a stream; a promised precision also when the prevalence changes.",
)
LIMITS = (
    "It is not an error rate: it compares the early answer with the late one, which may be wrong.",
    "It holds with the stated confidence over the draw of the calibration streams.",
    "It is void when the traffic drifts away from the calibration streams, and when versions are "
    "mixed within a stream.",
    "It says nothing where alpha exceeds the share of the smaller classes.",
)


def write(
    config: DetectorConfig,
    version: str,
    dataset: Dataset,
    parts: Parts,
    certificate: Certificate,
    evaluation: Mapping[str, Any],
    made_on: str,
) -> dict[str, Any]:
    """Return the card as JSON values; `made_on` is the date of the run, as it shall be printed."""
    return {
        "format": 1,
        "detector": config.name,
        "version": version,
        "made_on": made_on,
        "purpose": (
            f"Says which of the classes {', '.join(parts.fit.classes)} a stream of "
            f"{_content(parts)} belongs to, as early as its promise allows."
        ),
        "data": _data(dataset, parts),
        "split": _split(config, parts, dataset),
        "classifier": config.classifier.table(),
        "signal": config.signal,
        "horizon": config.horizon,
        "guarantee": guarantee(certificate, _unit(dataset)),
        "test": dict(evaluation),
        "software": {"python": platform.python_version(), **_versions()},
    }


def guarantee(certificate: Certificate, unit: Mapping[str, str]) -> dict[str, Any]:
    """Return what is promised, on what ground, and what is not."""
    shortfall = certificate.shortfall
    return {
        "statement": statement(certificate),
        "control": certificate.control,
        "mode": certificate.mode,
        "alpha": certificate.alpha,
        "delta": certificate.delta,
        "certifies": certificate.certifies,
        "vacuous": certificate.vacuous,
        "n_calibration": certificate.n,
        "missing_streams": 0 if shortfall is None else shortfall.missing,
        **unit,
        "limits": list(ONE_SIDED_LIMITS if certificate.control == "one-sided" else LIMITS),
    }


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown; an empty card gives a page that says so."""
    if not card:
        return "# Model card\n\nNo training run has written it.\n"
    promise, test, data, split = (card[name] for name in ("guarantee", "test", "data", "split"))
    lines = [
        f"# {card['detector']}, version {card['version']}",
        "",
        f"Made on {card['made_on']}. {card['purpose']}",
        "",
        "## What is promised",
        "",
        promise["statement"],
        "",
        f"Exchangeable unit: {promise['unit']}. The promise covers {promise['promise_covers']}.",
        "",
        *(f"* {limit}" for limit in promise["limits"]),
        *_vacuous(promise),
        "",
        "## What was measured",
        "",
        f"On {test['n']} test streams that nothing was learned from or chosen by:",
        "",
        *_measures(test),
        "",
        "## What it was made of",
        "",
        *(f"* {name.replace('_', ' ')}: {value}" for name, value in data.items()),
        *(f"* {name.replace('_', ' ')}: {value}" for name, value in split.items()),
        f"* classifier: {_pairs(card['classifier'])}",
        f"* signal: {card['signal']}; horizon: {card['horizon']} steps",
        f"* software: {_pairs(card['software'])}",
        *([f"* learned while serving: {_pairs(card['learned'])}"] if "learned" in card else []),
        "",
    ]
    return "\n".join(lines)


def _content(parts: Parts) -> str:
    """Say what a stream holds; of many channels the first ones, and how many there are."""
    modality, channels = parts.fit.modality, parts.fit.channels
    if modality in ("text", "scores"):
        return modality
    named = "/".join(channels[:MOST_NAMED])
    more = f" and {len(channels) - MOST_NAMED} more" if len(channels) > MOST_NAMED else ""
    return f"{named}{more} {'frames' if modality == 'frames' else 'measurements'}"


def _data(dataset: Dataset, parts: Parts) -> dict[str, Any]:
    known = dataset.provenance
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "title": known.get("title", "not stated"),
        "source": known.get("source", "not stated: a file of the user's"),
        "licence": known.get("licence", "not stated: ask whoever gave you the data"),
        "n_test_streams_whose_subject_or_copy_is_in_another_part": parts.repeated,
        **({"left_out": dict(known["left_out"])} if "left_out" in known else {}),
    }


def _split(config: DetectorConfig, parts: Parts, dataset: Dataset) -> dict[str, Any]:
    by = "by subject" if dataset.subjects_known else "by stream (the set names no subjects)"
    own = "the set's own" if parts.own_calibration else "taken from the train part"
    return {
        "rule": f"{by}; equal streams are kept together",
        "calibration_part": own,
        "seed": config.seed,
        "n_fit": len(parts.fit),
        "n_tuning": len(parts.tuning),
        "n_calibration": len(parts.calibration),
        "n_test": len(parts.test),
    }


def _unit(dataset: Dataset) -> dict[str, str]:
    unit = "subject (one stream each)" if dataset.subjects_known else "stream"
    covers = f"new traffic exchangeable with the calibration streams, {unit} by {unit}"
    return {
        "unit": str(dataset.provenance.get("unit", unit)),
        "promise_covers": str(dataset.provenance.get("promise_covers", covers)),
    }


def _measures(test: Mapping[str, Any]) -> list[str]:
    metrics = test["metrics"]
    share = metrics["interval_confidence"]
    rows = [
        ("accuracy of the early answer", test["accuracy"], metrics["accuracy_interval"]),
        ("accuracy of the late answer", test["late_accuracy"], metrics["late_accuracy_interval"]),
        ("accuracy gap", test["gap"], metrics["gap_interval"]),
    ]
    rows += [
        (f"gap among the earliest {float(q):.0%} ({test['gap_n'][q]} streams)", gap,
         metrics["gap_at_interval"][q])
        for q, gap in test["gap_at"].items()
        if float(q) < 1
    ]  # fmt: skip
    rows += _alarms(metrics.get("one_sided"))
    return [
        f"| measure | value | {share:.0%} interval |",
        "| --- | ---: | --- |",
        *(
            f"| {what} | {value:.4f} | {low:.4f} to {high:.4f} |"
            for what, value, (low, high) in rows
        ),
        f"| time used (mean of halt step / length) | {test['time_used']:.4f} | |",
        *_lead(metrics.get("one_sided")),
    ]


def _alarms(found: Mapping[str, Any] | None) -> list[tuple[str, float, list[float]]]:
    """Return what raising alarms gave and cost, with intervals; nothing under other rules."""
    names = {
        "sensitivity": "sensitivity: positives raised",
        "precision": "precision: positives among the raised",
        "false_alarm_rate": "negatives raised",
        "raised_by_event": "positives raised by their event",
        "false_alarms_per_stream_day": "false alarms per stream-day",
    }
    if found is None:
        return []
    return [
        (said, found[name], found[f"{name}_interval"])
        for name, said in names.items()
        if found[name] is not None and found[f"{name}_interval"] is not None
    ]


def _lead(found: Mapping[str, Any] | None) -> list[str]:
    lead = {} if found is None else found["lead_time_h"]
    if lead.get("median") is None:
        return []
    low, high = lead["iqr"]
    return [
        f"| lead time of the {lead['n_detected']} detected, {lead['n_missed']} missed "
        f"(median and quartiles, {(found or {})['lead_time_unit']}) | {lead['median']:.1f} | "
        f"{low:.1f} to {high:.1f} |"
    ]


def _vacuous(promise: Mapping[str, Any]) -> list[str]:
    if not promise["vacuous"] or promise["control"] == "one-sided":  # its statement says it
        return []
    return ["* **Vacuous here:** answering the majority class at step 1 would keep it too."]


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.items())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
