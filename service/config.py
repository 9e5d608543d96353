"""Settings: read once from the environment (prefix MILLRACE_) by `__main__`, then passed down."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Every knob of Millrace. Each field is documented here and, by test, in the README's table."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", extra="ignore")

    data_dir: Path = Field(Path("data"), description="Where uploaded files and the embedded servers keep their data.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one and prints it.")
    database_url: str = Field("", description="PostgreSQL 15 or newer; empty starts the embedded one.")
    redis_url: str = Field("", description="Redis 6.2, Valkey or newer; empty starts the embedded one.")
    dev_key: str = Field("", description="A fixed key for the first account, `dev`; without it one is made up once.")
    log_format: str = Field("auto", pattern="^(auto|json|console)$", description="`auto` is console on a terminal.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is logged.")

    max_upload_bytes: int = Field(20 * 1024 * MIB, ge=1, description="Largest file that is accepted.")
    upload_idle_s: float = Field(30, gt=0, description="An upload that sends nothing for this long is dropped.")
    upload_threads: int = Field(4, ge=1, description="Threads that write uploads to disk.")

    keep_completed_s: float = Field(
        3600, ge=0, description="An uploaded file is kept so long after its jobs completed."
    )
    keep_failed_s: float = Field(
        86400, ge=0, description="The same after one failed or was cancelled, or without a job."
    )

    keep_undo_s: float = Field(
        604800, ge=0, description="How long what a job has changed or replaced is kept, so that it can be undone."
    )

    worker_slots: int = Field(2, ge=1, description="Jobs that one worker process runs at the same time, per queue.")
    io_slots: int = Field(200, ge=1, description="The same for queue `io`, whose jobs only wait for others.")
    ageing_s: float = Field(600, gt=0, description="A waiting job becomes one priority more urgent each time.")
    lease_s: float = Field(10, gt=0, description="A worker silent for this long loses its jobs to another one.")
    sweep_s: float = Field(1, gt=0, description="How often a worker looks into PostgreSQL without being rung.")
    chunk_bytes: int = Field(6 * MIB, ge=1, description="Input that one chunk takes; memory grows with it.")
    chunk_deadline_s: float = Field(120, gt=0, description="A processor silent for this long is ended.")
    child_memory_bytes: int = Field(2048 * MIB, ge=256 * MIB, description="Address space of a processor's child.")
    child_cpu_s: int = Field(3600, ge=1, description="CPU time of a processor's child.")

    api_connections: int = Field(10, ge=2, description="PostgreSQL connections of one API process.")
    stream_poll_s: float = Field(1, gt=0, description="How often live streams look for events when Redis is silent.")

    @property
    def files_dir(self) -> Path:
        """Where uploaded files are."""
        return self.data_dir / "files"


def explain(error: ValidationError) -> str:
    """Settings that do not fit, as one line for a person."""
    faults = (f"MILLRACE_{'_'.join(map(str, f['loc'])).upper()}: {f['msg']}" for f in error.errors())
    return "Settings do not fit: " + "; ".join(faults) + "."
