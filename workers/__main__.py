"""`python -m workers`: one worker process, beside any number of others, on one PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import sys

import structlog
from pydantic import ValidationError

from service import lifecycle, logs
from service.config import Settings, explain
from service.files.opening import NotConfigured
from service.store import migrations
from workers.work import work

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = lifecycle.stop_signal()
    await migrations.migrate(settings.database_url)
    log.info("worker.started")
    await lifecycle.until(stop, asyncio.create_task(work(settings)))
    log.info("worker.stopped")


def main() -> None:
    """Check the settings, then run."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(explain(error))
    logs.configure(settings)
    if not (settings.database_url and settings.redis_url):
        sys.exit(
            "A worker of its own needs MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL: "
            "the embedded servers belong to `python -m service`."
        )
    try:
        lifecycle.run(run(settings))
    except NotConfigured as error:
        sys.exit(str(error))
    except (OSError, TimeoutError) as error:
        sys.exit(f"Cannot reach the servers: {error}. Check MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL.")


if __name__ == "__main__":
    main()
