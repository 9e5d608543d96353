"""/v1/keys: the account's keys, without their secrets."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import access
from service.api.auth import caller_of
from service.api.params import Name, json_of, uuid_of
from service.deps import Deps
from service.domain.access import Role
from service.store import accounts
from service.store.accounts import Key


class KeyBody(BaseModel):
    """The body of POST /v1/keys."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    role: Role = Role.OPERATOR


async def create(request: Request) -> JSONResponse:
    """POST /v1/keys {name, role}: a further key, which is shown in this answer only."""
    body = await json_of(request, KeyBody)
    key, secret = await access.make_key(request.app.state.deps, caller_of(request), body.name, body.role)
    return JSONResponse(_key(key) | {"key": secret}, 201, headers={"Cache-Control": "no-store"})


async def index(request: Request) -> JSONResponse:
    """GET /v1/keys: newest first, those that were revoked too."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await accounts.keys(db)
    return JSONResponse({"keys": [_key(key) for key in found]})


async def delete(request: Request) -> Response:
    """DELETE /v1/keys/{id}: revoke it; sessions that it opened end."""
    await access.revoke_key(request.app.state.deps, caller_of(request), uuid_of(request, "key"))
    return Response(status_code=204)


def _key(key: Key) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "role": key.role,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
    }
