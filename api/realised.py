"""The report on what became of a detector's decisions, from the store's counts."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.label_schemas import Realised, RealisedVersion
from store import detectors
from store.realised import Cell, cells
from store.tables import DetectorVersionRow


def report(
    session: Session, name: str, *, version: str | None = None, since: datetime | None = None
) -> Realised | None:
    """Return the report, version by version; None if no such detector or version is known."""
    from detectors.evaluate import CONFIDENCE  # SciPy's distributions: slow to load

    served = {row.version: row for row in detectors.versions(session) if row.name == name}
    counted: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells(session, name, version=version, since=since):
        counted[cell.version].append(cell)
    known = version in served if version is not None else bool(served)
    if not known and not counted:
        return None
    return Realised(
        detector=name,
        since=since,
        confidence=CONFIDENCE,
        versions=[
            _of_version(each, counted[each], served.get(each))
            for each in (*served, *sorted(set(counted) - set(served)))
            if each in counted
        ],
    )


def _of_version(
    version: str, counted: list[Cell], served: DetectorVersionRow | None
) -> RealisedVersion:
    from detectors.realised import realised

    certificate: dict[str, Any] = {} if served is None else served.certificate
    alpha, control = certificate.get("alpha"), certificate.get("control")
    numbers = realised(
        counted,
        alpha=alpha,
        alarm=None if served is None else served.alarm,
        precision=_precision(certificate),
    )
    return RealisedVersion(
        version=version,
        status=None if served is None else served.status,
        control=control,
        alpha=alpha,
        **numbers,
    )


def _precision(certificate: dict[str, Any]) -> float | None:
    """Return the least share of right ones that is promised among the alarms."""
    promised = (certificate.get("one_sided") or {}).get("precision")
    return None if promised is None else promised["level"]
