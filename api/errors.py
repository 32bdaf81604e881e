"""Errors of the API room.

* ApiError
  - SecretFileError      a file that holds a secret cannot be used
  - CannotListenError    the address cannot be listened on
  - Refused              a request is answered with a problem document
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from api.problems import Kind, ProblemItem


class ApiError(Exception):
    """Root of the errors of this room."""


class SecretFileError(ApiError):
    """A file that holds a secret cannot be used; nothing was changed."""

    def __init__(self, path: Path, got: str, advice: str) -> None:
        super().__init__(f"{path}: {got}. {advice}")


class CannotListenError(ApiError):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, trouble: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port}: {trouble}. Choose another with --host and "
            "--port, or TOCSIN_HOST and TOCSIN_PORT."
        )


class Refused(ApiError):  # noqa: N818  # reads as the answer it is
    """A request is answered with a problem document; raised anywhere below a route."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: tuple[ProblemItem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
