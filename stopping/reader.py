"""Typed reading of a JSON document that claims to be a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import TypeGuard, TypeVar

from stopping.errors import CertificateError

T = TypeVar("T")


class Reader:
    """Takes fields out of a JSON object, each as its type; refuses with the field's name.

    >>> Reader({"n": 3, "gaps": [0.5, None]}).optional_numbers("gaps")
    (0.5, None)
    """

    def __init__(self, document: object, path: str = "") -> None:
        if not isinstance(document, Mapping):
            raise CertificateError(path or "the document", type(document).__name__, "an object")
        self._document: Mapping[object, object] = document
        self._path = path

    def text(self, name: str) -> str:
        """Return a string."""
        return self._take(name, _is_text, "text")

    def one_of(self, name: str, allowed: Collection[T]) -> T:
        """Return one of the allowed values."""
        value = self._given(name)
        for known in allowed:
            if type(value) is type(known) and value == known:
                return known
        wanted = f"one of: {', '.join(str(known) for known in allowed)}"
        raise CertificateError(self._path + name, _short(value), wanted)

    def share(self, name: str) -> float:
        """Return a number strictly between 0 and 1."""
        return self._take(name, _is_share, "a number above 0 and below 1")

    def number(self, name: str) -> float:
        """Return a finite number."""
        return self._take(name, _is_number, "a finite number")

    def count(self, name: str) -> int:
        """Return an integer of 0 or more."""
        return self._take(name, _is_count, "an integer of 0 or more")

    def optional_count(self, name: str) -> int | None:
        """Return an integer of 0 or more, or None."""
        return None if self._given(name) is None else self.count(name)

    def counts(self, name: str, length: int | None = None) -> tuple[int, ...]:
        """Return integers of 0 or more; of the given number, if one is given."""
        return self._several(name, _is_count, "an integer of 0 or more", length)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return finite numbers."""
        return self._several(name, _is_number, "a finite number", None)

    def optional_numbers(self, name: str, length: int | None = None) -> tuple[float | None, ...]:
        """Return finite numbers, any of which may be None."""
        return self._several(name, _is_number_or_none, "a finite number or null", length)

    def inner(self, name: str) -> Reader:
        """Return a reader of the object that stands under `name`."""
        return Reader(self._given(name), f"{self._path}{name}.")

    def inners(self, name: str) -> list[Reader]:
        """Return a reader of each object in the list under `name`."""
        several = self._take(name, _is_list, "a list")
        return [Reader(item, f"{self._path}{name}[{k}].") for k, item in enumerate(several)]

    def optional_inner(self, name: str) -> Reader | None:
        """Return a reader of the object that stands under `name`, or None for null."""
        return None if self._given(name) is None else self.inner(name)

    def _given(self, name: str) -> object:
        if name not in self._document:
            raise CertificateError(self._path + name, "missing", "there")
        return self._document[name]

    def _take(self, name: str, fits: Callable[[object], TypeGuard[T]], wanted: str) -> T:
        value = self._given(name)
        if not fits(value):
            raise CertificateError(self._path + name, _short(value), wanted)
        return value

    def _several(
        self,
        name: str,
        fits: Callable[[object], TypeGuard[T]],
        wanted: str,
        length: int | None,
    ) -> tuple[T, ...]:
        values: list[T] = []
        for k, value in enumerate(self._take(name, _is_list, "a list")):
            if not fits(value):
                raise CertificateError(f"{self._path}{name}[{k}]", _short(value), wanted)
            values.append(value)
        if length is not None and len(values) != length:
            got = f"a list of {len(values)}"
            raise CertificateError(self._path + name, got, f"of {length}, as many as thresholds")
        return tuple(values)


def _short(value: object) -> str:
    return f"{value!r:.60}"


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_number_or_none(value: object) -> TypeGuard[float | None]:
    return value is None or _is_number(value)


def _is_share(value: object) -> TypeGuard[float]:
    return _is_number(value) and 0 < value < 1


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
