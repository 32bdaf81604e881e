"""Writing the little TOML that configurations need; Python's own library only reads it."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_toml(table: Mapping[str, object]) -> str:
    """Return plain values and tables as TOML; None and empty tables are left out.

    >>> print(to_toml({"name": "pen", "horizon": None, "rule": {"alpha": 0.1}}))
    name = "pen"
    <BLANKLINE>
    [rule]
    alpha = 0.1
    <BLANKLINE>
    """
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Mapping[str, object], name: str) -> list[str]:
    plain = [
        f"{_key(key)} = {_value(value)}"
        for key, value in table.items()
        if value is not None and not isinstance(value, dict)
    ]
    lines = ["", f"[{name}]", *plain] if name and plain else plain
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{name}.{_key(key)}" if name else _key(key))
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


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
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(type(value))
