"""Who asks, and whether they may: ``Authorization: Bearer tocsin_<prefix>_<secret>``."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPBearer

from api.errors import Refused
from api.problems import Kind
from api.services import Services, ServicesDep
from store import keys
from store.errors import StoreError
from store.keys import Key, Refusal, Scope

_log = logging.getLogger("tocsin.api")
_described = HTTPBearer(
    auto_error=False, description="An API key, `tocsin_<prefix>_<secret>`; see `tocsin keys`."
)
"""For the OpenAPI document only: the header is read by `_presented`."""

_REFUSALS = {
    Refusal.UNKNOWN: "This API key is not known here.",
    Refusal.REVOKED: "This API key was revoked.",
    Refusal.EXPIRED: "This API key has expired.",
}
_ADVICE = "Ask an operator for a key (`tocsin keys create`)."


def authenticated(
    request: Request,
    services: ServicesDep,
    _: Annotated[object, Depends(_described)] = None,
) -> Key:
    """Return the key that the request carries; refuse one without a valid key (401)."""
    presented = _presented(request)
    now = services.clock()
    with services.engine.connect() as connection:
        found = keys.verify(connection, presented, services.pepper, now)
    if isinstance(found, Refusal):
        raise Refused(
            Kind.UNAUTHENTICATED,
            f"{_REFUSALS[found]} {_ADVICE}",
            headers={"WWW-Authenticate": 'Bearer realm="tocsin", error="invalid_token"'},
        )
    if found.touch_due(now):
        _touch(services, found)
    return found


KeyDep = Annotated[Key, Depends(authenticated)]


def needs(scope: Scope) -> Dependency:
    """Return a dependency that refuses, with 403, keys that `scope` is not among the scopes of."""

    def allowed(key: KeyDep) -> None:
        if not key.allows(scope):
            raise Refused(
                Kind.FORBIDDEN,
                f"This needs the scope {scope}; the key {key.prefix} has "
                f"{', '.join(sorted(key.scopes)) or 'none'}. {_ADVICE}",
                headers={
                    "WWW-Authenticate": 'Bearer realm="tocsin", error="insufficient_scope", '
                    f'scope="{scope}"'
                },
            )

    return Dependency(allowed)


def _presented(request: Request) -> str:
    headers = request.headers.getlist("authorization")
    scheme, _, presented = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not presented:
        raise Refused(
            Kind.UNAUTHENTICATED,
            f"Send one header `Authorization: Bearer <API key>`. {_ADVICE}",
            headers={"WWW-Authenticate": 'Bearer realm="tocsin"'},
        )
    return presented.strip()


def _touch(services: Services, key: Key) -> None:
    """Note the use of a key; a store that cannot be written does not keep one from reading."""
    now = services.clock()
    try:
        services.transact(lambda connection: keys.touch(connection, key.prefix, now))
    except StoreError as error:
        _log.warning("last use of key %s not noted: %s", key.prefix, type(error).__name__)
