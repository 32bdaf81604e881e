"""Writing the little TOML that configurations need; Python's own library only reads it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_toml(table: Mapping[str, object]) -> str:
    """Return plain values, and tables one level deep, as TOML; None is left out.

    >>> print(to_toml({"name": "pen", "horizon": None, "rule": {"alpha": 0.1}}))
    name = "pen"
    <BLANKLINE>
    [rule]
    alpha = 0.1
    <BLANKLINE>
    """
    lines = [
        f"{name} = {_value(value)}"
        for name, value in table.items()
        if value is not None and not isinstance(value, dict)
    ]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_value(item)}" for key, item in value.items() if item is not None]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(type(value))
