"""/client: the browser client, as files that pages of any origin may import."""

from __future__ import annotations

import os

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

KEPT = "public, max-age=0, must-revalidate"
"""Asked after each time, and answered 304 by its ETag: an update reaches every page at its next load."""


class ClientFiles(StaticFiles):
    """Static files that are asked after each time; `headers.py` lets other origins read them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = KEPT
        return response

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """With the type that browsers want of modules, whatever this machine's table of types says."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if str(full_path).endswith(".js") and "content-type" in response.headers:
            response.headers["Content-Type"] = "text/javascript; charset=utf-8"
        return response
