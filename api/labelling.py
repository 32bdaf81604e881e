"""From items to kept labels with what became of each, and from rows to what is shown of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import uuid4

from api.label_schemas import LabelOut, LabelResult
from store.labels import Fate, Filed, Listed, NewLabel, keep
from store.session import Transact
from streams.labels import Unusable, decode_label, refusal, to_keep


def keep_items(
    transact: Transact, items: Sequence[bytes], via: str, key_prefix: str | None = None
) -> list[LabelResult]:
    """Store what is usable of `items`, in one transaction; return what became of every item."""
    decoded = [decode_label(item) for item in items]
    ready = [
        to_keep(label, via, lambda: str(uuid4()), key_prefix=key_prefix)
        for label in decoded
        if not isinstance(label, Unusable)
    ]
    filed = iter(zip(ready, keep(transact, ready), strict=True))
    return [
        _rejected(index, label) if isinstance(label, Unusable) else _result(index, filed)
        for index, label in enumerate(decoded)
    ]


def shown_label(listed: Listed) -> LabelOut:
    """Return what the API shows of a stored label."""
    row = listed.row
    return LabelOut.model_validate(
        {
            "label_id": row.label_id,
            "stream_id": row.stream_id,
            "detector": row.detector,
            "episode": row.episode,
            "label": row.label,
            "source": row.source,
            "time": row.labelled_at,
            "received_at": row.received_at,
            "via": row.via,
            "key": row.key_prefix,
            "matched": listed.matched,
        }
    )


def _result(index: int, filed: Iterator[tuple[NewLabel, Filed]]) -> LabelResult:
    label, (fate, matched) = next(filed)
    refused = refusal(fate)
    if refused is not None:
        return _rejected(index, refused, label.label_id)
    status = "stored" if fate is Fate.STORED else "repeated"
    return LabelResult.model_validate(
        {"index": index, "status": status, "label_id": label.label_id, "matched": matched}
    )


def _rejected(index: int, why: Unusable, label_id: str | None = None) -> LabelResult:
    return LabelResult(
        index=index, status="rejected", label_id=label_id, reason=why.reason, detail=why.detail
    )
