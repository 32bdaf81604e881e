"""Reading recordings of sound from a flat .npz: a step is one frame of raw samples.

``audio`` holds the 16-bit samples of all recordings one after another, recording i being
``audio[offsets[i]:offsets[i + 1]]``; ``y`` class indices, ``classes`` their names, ``split`` the
part that each recording belongs to (train, test, perhaps val and calibration), ``speaker`` who
speaks (optional) and ``sample_rate`` in Hz.

Nothing is cut off but the last piece of a recording that does not fill a frame: silence at its
end stays, for a stream does not know where the word ends, and so does silence at its beginning.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.datasets import PARTS, Dataset, arrays_of, provenance, refusal
from detectors.scoring import StreamSet, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME_MS = 10
"""Of sound in a step; a record may carry several."""
LEAST_RATE, MOST_RATE = 1000, 192_000
REQUIRED = ("audio", "offsets", "y", "classes", "split", "sample_rate")

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class _Frames:
    """All recordings as frames, before they are told apart by part."""

    name: str
    inputs: NDArray[np.float32]
    steps: NDArray[np.int64]
    """[n + 1], where each recording's frames begin."""
    labels: NDArray[np.int64]
    subjects: NDArray[np.int64] | None
    classes: tuple[str, ...]

    def part(self, split: str, rows: NDArray[np.int64]) -> StreamSet:
        """Return the recordings at `rows`, numbered anew."""
        taken, offsets = rows_of(self.steps, rows)
        own = np.arange(len(rows), dtype=np.int64)
        return StreamSet(
            name=self.name, split=split, modality="frames", ids=own, inputs=self.inputs[taken],
            offsets=offsets, labels=self.labels[rows],
            subjects=own if self.subjects is None else self.subjects[rows],
            classes=self.classes,
            channels=tuple(f"s{k}" for k in range(self.inputs.shape[1])),
        )  # fmt: skip


def read(path: Path) -> Dataset:
    """Return the recordings in `path`, by their part; raises DatasetError.

    Where one speaker is heard in several parts, a promise can only be about further recordings by
    the same speakers, and the set then says so; else the speaker is the subject.
    """
    arrays, names = arrays_of(path, (*REQUIRED, "speaker"))
    for key in REQUIRED:
        if key not in names:
            raise refusal(path, f"it has no array {key!r}", f"all of {', '.join(REQUIRED)}")
    offsets = _offsets(path, arrays)
    n = len(offsets) - 1
    classes = _classes(path, arrays["classes"])
    labels = _labels(path, arrays["y"], n, len(classes))
    split = _one_each(path, arrays, "split", n)
    inputs, steps = _frames(path, arrays, offsets)
    speakers = _one_each(path, arrays, "speaker", n) if "speaker" in arrays else None
    known = speakers is not None and _apart(speakers, split)
    frames = _Frames(
        path.stem, inputs, steps, labels, _numbers(speakers) if known else None, classes
    )
    rows = {part: np.flatnonzero(split == part) for part in PARTS}
    for part in ("train", "test"):
        if not len(rows[part]):
            raise refusal(path, f"no recording is in the part {part!r}", "some of train and test")
    parts = {part: frames.part(part, own) for part, own in rows.items() if len(own)}
    return Dataset(
        name=path.stem,
        parts=parts,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        provenance={**_covers(speakers, known=known), **provenance(path)},
        subjects_known=known,
    )


def _offsets(path: Path, arrays: Arrays) -> NDArray[np.int64]:
    offsets, audio = arrays["offsets"], arrays["audio"]
    if audio.ndim != 1 or audio.dtype != np.int16:
        raise refusal(path, f"audio is {audio.dtype} {audio.shape}", "int16 (samples,)")
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
        raise refusal(path, f"offsets is {offsets.dtype} {offsets.shape}", "integers (n + 1,)")
    ends = offsets.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(audio) or (np.diff(ends) < 0).any():
        got = f"offsets run from {ends[0]} to {ends[-1]}, or fall"
        raise refusal(path, got, f"values that rise from 0 to {len(audio)}, the samples there are")
    return ends


def _classes(path: Path, array: NDArray[Any]) -> tuple[str, ...]:
    names = tuple(map(str, array.tolist())) if array.ndim == 1 else ()
    if not names or len(set(names)) != len(names) or not all(names):
        raise refusal(path, "'classes' is not a list of different names", "one name an entry")
    return names


def _labels(path: Path, array: NDArray[Any], n: int, n_classes: int) -> NDArray[np.int64]:
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise refusal(path, f"y is {array.dtype} {array.shape}", f"integers ({n},)")
    if not (array.min() >= 0 and array.max() < n_classes):
        got = f"y holds values from {array.min()} to {array.max()}"
        raise refusal(path, got, f"values from 0 to {n_classes - 1}")
    return array.astype(np.int64)


def _one_each(path: Path, arrays: Arrays, key: str, n: int) -> NDArray[np.str_]:
    array = arrays[key]
    if array.shape != (n,) or array.dtype.kind not in "U":
        raise refusal(path, f"{key} is {array.dtype} {array.shape}", f"text ({n},)")
    if key == "split" and not np.isin(array, PARTS).all():
        wrong = str(array[~np.isin(array, PARTS)][0])
        raise refusal(path, f"a recording is in the part {wrong!r}", f"one of {', '.join(PARTS)}")
    return array


def _frames(
    path: Path, arrays: Arrays, offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the frames of all recordings, float32 [steps, samples], and where each begins."""
    frame = round(_rate(path, arrays["sample_rate"]) * FRAME_MS / 1000)
    n_frames = np.diff(offsets) // frame
    if not n_frames.all():
        row = int(np.flatnonzero(n_frames == 0)[0])
        got = f"recording {row} (from 0) is shorter than a frame of {FRAME_MS} ms"
        raise refusal(path, got, "recordings of at least that; leave this one out")
    steps = np.concatenate(([0], np.cumsum(n_frames)))
    first = np.repeat(offsets[:-1], n_frames) + frame * (
        np.arange(steps[-1]) - np.repeat(steps[:-1], n_frames)
    )
    return arrays["audio"][first[:, np.newaxis] + np.arange(frame)].astype(np.float32), steps


def _rate(path: Path, array: NDArray[Any]) -> float:
    usable = array.size == 1 and array.dtype.kind in "iuf"
    rate = float(array.reshape(-1)[0]) if usable else 0.0
    if not LEAST_RATE <= rate <= MOST_RATE:
        got = "sample_rate is no usable number"
        raise refusal(path, got, f"one from {LEAST_RATE} to {MOST_RATE} Hz")
    return rate


def _apart(speakers: NDArray[np.str_], split: NDArray[np.str_]) -> bool:
    """Return whether every speaker is heard in one part only."""
    pairs = {*zip(speakers.tolist(), split.tolist(), strict=True)}
    return len(pairs) == len({speaker for speaker, _ in pairs})


def _numbers(speakers: NDArray[np.str_] | None) -> NDArray[np.int64]:
    return np.unique(np.asarray(speakers), return_inverse=True)[1].astype(np.int64)


def _covers(speakers: NDArray[np.str_] | None, *, known: bool) -> dict[str, str]:
    """Return what one stream stands for, as a card says it."""
    if known:
        return {}
    covers = "new recordings made as these were"
    if speakers is not None:
        covers = (
            f"new recordings by the same {len(np.unique(speakers))} speakers, in the proportions "
            "in which they were recorded; nothing is promised for new speakers"
        )
    return {"unit": "recording", "promise_covers": covers}
