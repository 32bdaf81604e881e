"""What became of a version's decisions, from counts by decided, true and late label.

Everything is an exact statement about counts: intervals are Clopper-Pearson's, p-values are those
of the one-sided binomial test against "the promise holds". A small p speaks against the promise
here; a large one says only that these labels do not refute it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from detectors.evaluate import interval
from stopping.pvalues import p_value_above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Cell(Protocol):
    """Decisions that have all of this in common; `store.realised.Cell` is one."""

    @property
    def decided(self) -> str:
        """The label that was answered."""
        ...

    @property
    def truth(self) -> str | None:
        """The label that came; None = none has."""
        ...

    @property
    def contradicted(self) -> bool:
        """Whether other labels say otherwise."""
        ...

    @property
    def late(self) -> str | None:
        """The late answer; None = not known, for all but shadow streams that have ended."""
        ...

    @property
    def halt_step(self) -> int | None:
        """Step of the decision, where both truth and late answer are known."""
        ...

    @property
    def stopped_early(self) -> bool | None:
        """Whether the stream went on after it, where both are known."""
        ...

    @property
    def n(self) -> int:
        """How many decisions."""
        ...


def realised(
    cells: Sequence[Cell],
    *,
    alpha: float | None = None,
    alarm: str | None = None,
    precision: float | None = None,
) -> dict[str, Any]:
    """Return what became of the decisions of one detector version, as JSON values.

    Parameters
    ----------
    cells
        Decisions of one version, counted; the kinds are disjoint.
    alpha
        Level promised: of the accuracy gap, or of the false alarms under a one-sided rule. None:
        no p-values.
    alarm
        Label that a one-sided rule raises; None under any other rule.
    precision
        Least share of right ones promised among the alarms; None if none is.

    Returns
    -------
    ``decisions``, ``labelled``, ``contradicted``, ``late_known`` (labelled, of shadow streams that
    have ended), ``labelled_by_decision``, ``accuracy`` over all labelled, ``late_accuracy`` and
    ``gap`` over those with a late answer, ``by_step``: the gap by each step that decided a stream,
    over {tau <= t} (``halted``) and {tau <= t, tau < T} (``stopped_early``), ``alarms`` under a
    one-sided rule, and ``remarks`` in words.

    Examples
    --------
    >>> from collections import namedtuple
    >>> Kind = namedtuple("Kind", "decided truth contradicted late halt_step stopped_early n")
    >>> found = realised(
    ...     [
    ...         Kind("a", "a", False, None, None, None, 90),
    ...         Kind("a", "b", False, "b", 2, True, 10),
    ...         Kind("a", None, False, None, None, None, 100),
    ...     ],
    ...     alpha=0.1,
    ... )
    >>> found["labelled"], found["accuracy"]["share"], found["gap"]["k"], found["gap"]["n"]
    (100, 0.9, 10, 10)
    >>> f"{found['gap']['p_value']:.0e}"
    '1e-10'
    """
    labelled = [cell for cell in cells if cell.truth is not None]
    late = [cell for cell in labelled if cell.late is not None]
    gap_level = None if alarm is not None else alpha
    by_decision = _labelled_by_decision(cells)
    numbers: dict[str, Any] = {
        "decisions": _count(cells),
        "labelled": _count(labelled),
        "contradicted": _count(cell for cell in labelled if cell.contradicted),
        "late_known": _count(late),
        "labelled_by_decision": by_decision,
        "accuracy": _share(labelled, _is_right),
        "late_accuracy": _share(late, lambda cell: cell.late == cell.truth),
        "gap": _share(late, _is_lost, gap_level),
        "by_step": {
            "halted": _by_step(late, gap_level),
            "stopped_early": _by_step([cell for cell in late if cell.stopped_early], gap_level),
        },
        "alarms": None if alarm is None else _alarms(labelled, alarm, alpha, precision),
    }
    return numbers | {"remarks": _remarks(numbers)}


def _is_right(cell: Cell) -> bool:
    return cell.decided == cell.truth


def _is_lost(cell: Cell) -> bool:
    """Return whether the late answer is right and the early one wrong."""
    return cell.late == cell.truth != cell.decided


def _count(cells: Iterable[Cell]) -> int:
    return sum(cell.n for cell in cells)


def _share(
    cells: Sequence[Cell], holds: Callable[[Cell], bool], level: float | None = None
) -> dict[str, Any]:
    return _exact(_count(filter(holds, cells)), _count(cells), level)


def _exact(k: int, n: int, level: float | None = None) -> dict[str, Any]:
    """Return a share with its interval and the p-value against "it is at most `level`"."""
    return {
        "k": k,
        "n": n,
        "share": k / n if n else None,
        "interval": interval(k, n) if n else None,
        "level": level,
        "p_value": None if level is None or not n else float(p_value_above(k, n, level)),
    }


def _by_step(cells: Sequence[Cell], level: float | None) -> dict[str, Any]:
    """Return the gap among the streams decided by each step, and where it speaks loudest."""
    halted: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    for cell in cells:
        if cell.halt_step is not None:
            halted[cell.halt_step] += cell.n
            lost[cell.halt_step] += cell.n if _is_lost(cell) else 0
    steps = sorted(halted)
    n_by = accumulate(halted[step] for step in steps)
    k_by = accumulate(lost[step] for step in steps)
    rows = [
        {"step": step, **_exact(k, n, level)} for step, k, n in zip(steps, k_by, n_by, strict=True)
    ]
    tested = [row for row in rows if row["p_value"] is not None]
    worst = min(tested, key=lambda row: row["p_value"], default=None)
    return {
        "steps": rows,
        "worst": worst,
        # one of many was picked: Bonferroni's correction
        "p_value": None if worst is None else min(1.0, worst["p_value"] * len(tested)),
    }


def _alarms(
    labelled: Sequence[Cell], alarm: str, alpha: float | None, precision: float | None
) -> dict[str, Any]:
    raised = [cell for cell in labelled if cell.decided == alarm]
    negative = [cell for cell in labelled if cell.truth != alarm]
    positive = [cell for cell in labelled if cell.truth == alarm]
    right = _share(raised, _is_right)
    if precision is not None and raised:
        n_false = right["n"] - right["k"]
        right["level"] = precision
        right["p_value"] = float(p_value_above(n_false, right["n"], 1.0 - precision))
    return {
        "label": alarm,
        "false_alarm_rate": _share(negative, lambda cell: cell.decided == alarm, alpha),
        "precision": right,
        "sensitivity": _share(positive, _is_right),
    }


def _labelled_by_decision(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return, for each label that was answered, which share of those decisions is labelled."""
    kinds: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        kinds[cell.decided].append(cell)
    return [
        {"label": label, **_share(kinds[label], lambda cell: cell.truth is not None)}
        for label in sorted(kinds)
    ]


def _remarks(numbers: dict[str, Any]) -> list[str]:
    """Say how far the numbers carry."""
    n, n_labelled = numbers["decisions"], numbers["labelled"]
    remarks = [f"{n_labelled} of {n} decisions are labelled."]
    if not n_labelled:
        return remarks
    remarks.append(
        f"The gap is known of {numbers['late_known']} of them: those of shadow streams that have "
        "ended, whose late answer is known."
    )
    shares = sorted((row["share"], row["label"]) for row in numbers["labelled_by_decision"])
    (least, rarest), (most, commonest) = shares[0], shares[-1]
    if least < most:
        remarks.append(
            f"Labelled are {least:.1%} of the decisions for {rarest} and {most:.1%} of those for "
            f"{commonest}. Labels that come for some answers rather than others bias every share "
            "here but that among the decisions for one label (precision): label a random part."
        )
    if numbers["contradicted"]:
        remarks.append(
            f"On {numbers['contradicted']} decisions the sources contradict each other; the "
            "newest label counts."
        )
    return remarks
