"""What a data set says, as one number: its content's SHA-256, whatever file holds it.

An archive packed anew has other bytes and the same streams; a converter with a fault has the right
archive and other streams. So what was fetched is compared after it was converted.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


def arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over names, types, shapes and values, in the order of the names.

    Every NaN counts as the same one.

    >>> one, two = np.float32([1.0, np.nan]), np.float32([1.0, -np.nan])
    >>> arrays_sha256({"x": one}) == arrays_sha256({"x": two})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
        head = [name, array.dtype.newbyteorder("<").str, list(arrays[name].shape)]
        digest.update(json.dumps(head).encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def streams_sha256(streams: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 over id, label, split and texts of the streams of a text set, in order.

    White space counts as one space: copies of one collection differ in nothing else.

    >>> line = {"stream_id": "a", "label": "x", "split": "test"}
    >>> wide = {**line, "events": [{"t": 0, "text": "so  far "}]}
    >>> streams_sha256([wide]) == streams_sha256([{**line, "events": [{"text": "so far"}]}])
    True
    """
    digest = hashlib.sha256()
    for stream in streams:
        texts = [" ".join(event["text"].split()) for event in stream["events"]]
        facts = [stream["stream_id"], stream["label"], stream["split"], texts]
        digest.update(json.dumps(facts, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()
