"""Errors raised by signals and by calibration.

* StoppingError
  - LevelError           alpha or delta cannot be a level
  - ModeError            a mode of calibration that does not exist (yet)
  - ControlError         a certificate of another control than is checked here
  - ScoresError          the arrays do not describe scored streams
    - ShapeError         an array has the wrong shape or type
    - ReadinessError     a readiness value that no threshold can be compared with
    - LabelError         a class index that cannot be one
  - ThresholdsError      thresholds that do not fit the streams
  - CertificateError     a document that is no certificate
  - SignalError
    - UnknownSignalError no signal has that name
    - SignalParameterError the signal does not take these parameters
    - MissingInputError  the classifier does not give what the signal reads
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class StoppingError(Exception):
    """Root of this room's errors."""


class LevelError(StoppingError, ValueError):
    """`alpha` or `delta` cannot be a level."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(
            f"{name} is {value!r}, but must be a number above 0 and below 1; "
            f"{name} = 0.1 is a common start."
        )


class ModeError(StoppingError, ValueError):
    """A mode of calibration that does not exist (yet)."""

    def __init__(self, mode: object, available: Iterable[str]) -> None:
        super().__init__(
            f"mode {mode!r} is not available; choose one of: {', '.join(sorted(available))}."
        )


class ControlError(StoppingError, ValueError):
    """A certificate of another control than is checked here."""

    def __init__(self, control: str, right_place: str) -> None:
        super().__init__(
            f"a certificate of {control} control is not checked here; use {right_place}."
        )


class ScoresError(StoppingError, ValueError):
    """The arrays do not describe scored streams."""


class ShapeError(ScoresError):
    """An array has the wrong shape or type."""

    def __init__(self, name: str, got: str, wanted: str) -> None:
        super().__init__(f"{name} is {got}, but must be {wanted}.")


class ReadinessError(ScoresError):
    """A readiness value that no threshold can be compared with."""

    def __init__(self, value: float, stream: int, step: int, count: int, wanted: str) -> None:
        more = f" ({count} such values in all)" if count > 1 else ""
        super().__init__(
            f"readiness is {value} at step {step} of stream {stream} (row, from 0){more}: {wanted}"
        )
        self.stream = stream
        self.step = step


class LabelError(ScoresError):
    """A class index that cannot be one."""

    def __init__(self, name: str, value: int, stream: int) -> None:
        super().__init__(
            f"{name} holds {value} for stream {stream} (row, from 0), but must hold class "
            "indices, 0 or above. Leave out streams whose label is not known: they cannot be used."
        )


class ThresholdsError(StoppingError, ValueError):
    """Thresholds that do not fit the streams."""

    def __init__(self, n_thresholds: int, horizon: int) -> None:
        super().__init__(
            f"there are {n_thresholds} thresholds for streams of up to {horizon} steps; "
            "one threshold a step is needed. Were they calibrated for another horizon?"
        )


class CertificateError(StoppingError, ValueError):
    """A document that is no certificate."""

    def __init__(self, field: str, got: str, wanted: str) -> None:
        super().__init__(
            f"this is not a certificate: {field} is {got}, but must be {wanted}. "
            "Use the JSON that calibration wrote, unchanged, or calibrate again."
        )


class SignalError(StoppingError):
    """Something is wrong with a signal's name or surroundings."""


class UnknownSignalError(SignalError, LookupError):
    """No signal has that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no signal {name!r}; choose one of: {', '.join(sorted(known))}."
        )


class SignalParameterError(SignalError, TypeError):
    """The signal does not take these parameters."""

    def __init__(self, name: str, parameters: Iterable[str], problem: str) -> None:
        super().__init__(
            f"signal {name!r} cannot be made with the parameters "
            f"{', '.join(sorted(parameters)) or '(none)'}: {problem}."
        )


class MissingInputError(SignalError):
    """The classifier does not give what the signal reads."""

    def __init__(self, name: str, missing: Collection[str], offered: Iterable[str]) -> None:
        super().__init__(
            f"signal {name!r} reads {', '.join(sorted(missing))}, but the classifier gives only "
            f"{', '.join(sorted(offered)) or 'nothing'}; choose another signal or classifier."
        )
