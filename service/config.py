"""Settings: read once from the environment (prefix MILLRACE_) by `__main__`, then passed down."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
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
    store_url: str = Field(
        "",
        pattern="^$|^(s3|gs|az)://[^/]",
        description="Where complete files are kept, `s3://bucket/folder`, `gs://…`, `az://…`; empty: the data folder.",
    )
    store_options: dict[str, str] = Field(
        {}, repr=False, description="Options of that store as JSON; what they lack comes from AWS_… variables and such."
    )
    store_timeout_s: float = Field(30, gt=0, description="A request to the store may take so long.")
    sources: dict[str, dict[str, str]] = Field(
        {}, repr=False, description="Buckets that files may be fetched from, each with its options, as JSON."
    )
    fetch_allow: str = Field("", description="Networks that are not public and may be fetched from all the same.")
    fetch_timeout_s: float = Field(3600, gt=0, description="A file that is fetched has to be there within this time.")
    upload_min_rate: int = Field(
        1000,
        ge=0,
        description="An upload slower than so many bytes a second, on average after its first 30 s, is dropped.",
    )
    keep_unfinished_s: float = Field(
        86400, gt=0, description="An upload that has not come in full is given up when nothing comes for so long."
    )
    free_bytes_floor: int = Field(
        256 * MIB, ge=0, description="Uploads are refused that would leave less space than this on the disk."
    )
    allowed_types: str = Field(
        "", description="Suffixes and kinds that may be uploaded, such as `.csv,text,zip`; empty allows all."
    )
    max_unpacked_bytes: int = Field(100 * 1024 * MIB, ge=1, description="What a zip may come to when it is unpacked.")
    processor_max_bytes: dict[str, int] = Field(
        default_factory=dict, description='Largest file for a processor, as JSON: `{"csv": 1000000}`.'
    )
    scan: str = Field(
        "",
        description="A command that reads a file from stdin, or a URL that it is posted to: is it clean?",
    )
    scan_timeout_s: float = Field(300, gt=0, description="A scan that takes longer has failed.")
    account_bytes: int = Field(1024 * 1024 * MIB, ge=0, description="What an account's files may take together.")
    account_open_uploads: int = Field(1000, ge=0, description="Uploads on their way that an account may have.")
    account_daily_uploads: int = Field(1_000_000, ge=0, description="Uploads that an account may begin in a day (UTC).")
    cors_origins: str = Field(
        "", description="Origins whose pages may call this service, such as `https://app.example`, or `*`."
    )
    master_keys: str = Field(
        "",
        pattern=r"^$|^\s*[0-9a-fA-F]{64}(\s*,\s*[0-9a-fA-F]{64})*\s*$",
        repr=False,
        description="Keys that lock those of files, the current one first; empty keeps one in the file `master-keys`.",
    )
    pack_files: bool = Field(False, description="Compress new files with zstd before they are sealed.")

    keep_completed_s: float = Field(
        3600, ge=0, description="An uploaded file is kept so long after its jobs completed."
    )
    keep_failed_s: float = Field(
        86400, ge=0, description="The same after one failed or was cancelled, or without a job."
    )

    keep_undo_s: float = Field(
        604800, ge=0, description="How long what a job has changed or replaced is kept, so that it can be undone."
    )

    keep_stats_s: float = Field(
        34560000, ge=0, description="How long statistics are kept by the hour; older ones are added up into one sum."
    )

    worker_slots: int = Field(2, ge=1, description="Jobs that one worker process runs at the same time, per queue.")
    io_slots: int = Field(200, ge=1, description="The same for queue `io`, whose jobs only wait for others.")
    ageing_s: float = Field(600, gt=0, description="A waiting job becomes one priority more urgent each time.")
    lease_s: float = Field(10, gt=0, description="A worker silent for this long loses its jobs to another one.")
    sweep_s: float = Field(1, gt=0, description="How often a worker looks into PostgreSQL without being rung.")
    chunk_bytes: int = Field(4 * MIB, ge=1, description="Input that one chunk takes; memory grows with it.")
    chunk_deadline_s: float = Field(120, gt=0, description="A processor silent for this long is ended.")
    job_children: int = Field(
        0, ge=0, description="Processes that read one large file at the same time; 0 is half the cores, at most 4."
    )
    range_bytes: int = Field(
        64 * MIB, ge=1, description="A file at least twice as large is cut into such ranges when several may read it."
    )
    child_memory_bytes: int = Field(2048 * MIB, ge=256 * MIB, description="Address space of a processor's child.")
    child_cpu_s: int = Field(3600, ge=1, description="CPU time of a processor's child.")

    session_idle_s: float = Field(28800, gt=0, description="A session that asks for nothing for so long ends.")
    session_s: float = Field(604800, ge=60, description="A session ends after so long in any case.")
    account_requests: int = Field(
        1000, ge=0, description="Requests a second that an account may make of one API process, on average; 0: any."
    )

    enrich: bool | Literal["auto"] = Field(
        "auto",
        description="Whether the end of a watch history queues a job that adds it up and looks its videos up; auto: "
        "looks them up if there is a key or MILLRACE_OEMBED_URL is set, or where its user asks for that.",
    )
    youtube_key: str = Field("", repr=False, description="A key of the YouTube Data API v3; empty: oEmbed is asked.")
    youtube_url: str = Field("https://www.googleapis.com", description="Where the YouTube Data API is.")
    oembed_url: str = Field("https://www.youtube.com/oembed", description="Where YouTube's oEmbed is.")
    youtube_rate: float = Field(3, gt=0, description="Requests a second that a worker sends to YouTube.")
    youtube_daily_units: int = Field(10_000, ge=0, description="Quota of the key, for a day in California.")
    metrics_key: str = Field("", repr=False, description="What /metrics wants to be shown as a Bearer; empty: nothing.")

    api_connections: int = Field(10, ge=2, description="PostgreSQL connections of one API process.")
    query_s: float = Field(10, gt=0, description="Longest time that finding one page of rows may take.")
    stream_poll_s: float = Field(1, gt=0, description="How often live streams look for events when Redis is silent.")
    stream_ping_s: float = Field(
        10, gt=0, le=12, description="How often a quiet stream gets a comment; finds clients that stand still, too."
    )

    @field_validator("fetch_allow")
    @classmethod
    def _has_networks(cls, given: str) -> str:
        for word in given.replace(",", " ").split():
            ip_network(word)
        return given

    @property
    def children(self) -> int:
        """How many processes may read one file here."""
        return self.job_children or max(1, min(4, (os.cpu_count() or 1) // 2))

    @property
    def looks_up(self) -> bool:
        """Whether videos of histories are asked for although their user has not asked for that."""
        is_told = bool(self.youtube_key) or "oembed_url" in self.model_fields_set
        return is_told if self.enrich == "auto" else self.enrich

    @property
    def files_dir(self) -> Path:
        """Where uploaded files are."""
        return self.data_dir / "files"

    @property
    def keys_file(self) -> Path:
        """Where master keys are, unless they are set."""
        return self.data_dir / "master-keys"


def explain(error: ValidationError) -> str:
    """Settings that do not fit, as one line for a person."""
    faults = (f"MILLRACE_{'_'.join(map(str, f['loc'])).upper()}: {f['msg']}" for f in error.errors())
    return "Settings do not fit: " + "; ".join(faults) + "."
