"""From arrays to a certificate, and from a certificate back to the arrays it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.choices import Control
from cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stopping.certificate import Certificate
    from stopping.check import Verdict


class Loss(StrEnum):
    """What an early answer may cost."""

    GAP = "gap"
    DISAGREEMENT = "disagreement"
    MISS = "miss"
    FALSE_ALARM = "false_alarm"


LOSSES = {
    Control.MARGINAL: Loss.GAP,
    Control.CONDITIONAL: Loss.GAP,
    Control.ONE_SIDED: Loss.FALSE_ALARM,
}
"""The loss that each control keeps; there is no choice yet."""


@dataclass(frozen=True)
class Task:
    """What is asked for, checked."""

    alpha: float
    delta: float
    control: str
    mode: str
    loss: str
    seed: int | None
    alarm: int
    precision: float | None


def certify(arrays: Mapping[str, NDArray[Any]], task: Task) -> Certificate:
    """Calibrate on the arrays of a scores file."""
    from stopping.conditional import calibrate_conditional
    from stopping.marginal import calibrate_marginal
    from stopping.onesided import calibrate_one_sided

    seed, shuffle = task.seed or 0, task.seed is not None
    if task.control == Control.ONE_SIDED:
        return calibrate_one_sided(
            arrays["readiness"], _positive(arrays, task.alarm), arrays.get("lengths"),
            task.alpha, task.delta, precision=task.precision, mode=task.mode,
            seed=seed, shuffle=shuffle,
        )  # fmt: skip
    lost, options = _losses(arrays)
    matrices = (arrays["readiness"], lost, arrays.get("lengths"))
    options |= {"mode": task.mode, "loss_name": task.loss}
    if task.control == Control.MARGINAL:
        return calibrate_marginal(*matrices, task.alpha, task.delta, **options)
    return calibrate_conditional(
        *matrices, task.alpha, task.delta, seed=seed, shuffle=shuffle, **options
    )


def verify(certificate: Certificate, arrays: Mapping[str, NDArray[Any]], alarm: int) -> Verdict:
    """Check a certificate against the arrays of a scores file."""
    from stopping.check import check
    from stopping.onesided_check import check_one_sided

    readiness, lengths = arrays["readiness"], arrays.get("lengths")
    if certificate.one_sided is not None:
        return check_one_sided(certificate, readiness, _positive(arrays, alarm), lengths)
    lost, options = _losses(arrays)
    return check(certificate, readiness, lost, lengths, **options)


def _positive(arrays: Mapping[str, NDArray[Any]], alarm: int) -> NDArray[np.bool_]:
    """Say of each stream whether its label is the one that is raised."""
    import numpy as np

    from stopping.errors import LabelError
    from stopping.scores import check_integers

    label = check_integers("label", arrays["label"], arrays["readiness"].shape[:1])
    for stream in np.flatnonzero(label < 0)[:1]:
        raise LabelError("label", int(label[stream]), int(stream))
    positive: NDArray[np.bool_] = label == alarm
    return positive


def _losses(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the loss matrix, and what the certificate says of the majority class is made of."""
    from stopping.losses import accuracy_gap_loss, majority_loss

    classes = (arrays["predicted"], arrays["label"], arrays.get("lengths"))
    return accuracy_gap_loss(*classes), {
        "baseline_loss": majority_loss(*classes),
        "label": arrays["label"],
    }


def read_certificate(path: Path) -> tuple[Certificate, dict[str, Any]]:
    """Return the certificate and the document around it, which is empty if it stands alone."""
    import json

    from stopping.certificate import Certificate

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path} cannot be read as JSON ({error}); give what `--out` wrote"
        raise CommandError(message) from error
    if isinstance(document, dict) and "certificate" in document:
        return Certificate.from_json(document["certificate"]), document
    return Certificate.from_json(document), {}


def whole(value: object, name: str) -> int:
    """Return an integer out of the document around a certificate."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        message = (
            f"the document's {name} is {value!r:.60}, but must be an integer of 0 or more; "
            "give what `--out` wrote, unchanged"
        )
        raise CommandError(message)
    return value
