"""What a submit becomes: the processor's own retries, and what the caller says instead."""

from __future__ import annotations

from dataclasses import replace

from service.actions.job_requests import JobRequest, prepare
from service.domain.ids import new_id
from service.domain.job import Retry
from workers.registry import discover

PATIENT = Retry(max_attempts=9, first_wait_s=30, longest_wait_s=60, deadline_s=5)


def retry_of(asked: JobRequest) -> Retry:
    catalog = {"echo": replace(discover()["echo"], retry=PATIENT)}
    return prepare(catalog, asked).job(new_id(), new_id()).retry


def test_a_job_is_retried_as_its_processor_says() -> None:
    assert retry_of(JobRequest("echo")) == PATIENT


def test_a_job_may_ask_for_other_retries() -> None:
    asked = JobRequest("echo", retry={"max_attempts": 2, "deadline_s": 1.5})
    assert retry_of(asked) == replace(PATIENT, max_attempts=2, deadline_s=1.5)
