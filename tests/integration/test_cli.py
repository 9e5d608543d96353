"""The `millrace` command as a person or a script uses it: a process of its own, against a running service."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.cli.commands import dataset_name
from service.cli.sse import Message, messages
from tests.conftest import StartService
from tests.running import KEY, ROOT, Json, Service, eventually, imported, post_import, start

GOOD = b"id,name\n1,Ada\n2,Grace\n3,Edsger\n"
RAGGED = b"id,name\n1,Ada\n2\n3,Edsger\n"
MANY_CHUNKS = b"id,name\n" + b"".join(b"%d,somebody\n" % i for i in range(2_000))


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command did."""

    code: int
    out: str
    err: str


async def begin(service: Service | None, *arguments: str, **environment: str) -> Process:
    """Start `python -m service.cli`, knowing where the service is."""
    known = {} if service is None else {"MILLRACE_URL": service.url, "MILLRACE_KEY": service.key}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", *arguments,
        cwd=ROOT, env=inherited | known | environment, stdin=PIPE, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip


async def run(service: Service | None, *arguments: str | Path, stdin: bytes | None = None, **environment: str) -> Ended:
    """Run a command to its end. Whatever happens, it shows no trace."""
    process = await begin(service, *map(str, arguments), **environment)
    out, err = await process.communicate(stdin)
    assert b"Traceback" not in err, err.decode()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A small good file."""
    path = tmp_path / "2024 Käufe.csv"
    path.write_bytes(GOOD)
    return path


@pytest.fixture(scope="module")
async def ragged(service: Service) -> Json:
    """A completed job with one reject."""
    return await imported(service.client, RAGGED, "ragged")


async def test_a_followed_import_ends_with_its_summary(service: Service, people: Path) -> None:
    ended = await run(service, "import", people, "--dataset", "followed", "--follow")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].startswith("completed: 3 rows into followed")


async def test_a_dataset_is_named_after_the_file_unless_told(service: Service, people: Path) -> None:
    ended = await run(service, "import", people, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["dataset"] == "data_2024_kaufe"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("contacts.csv", "contacts"),
        ("Q3 Sales (final).CSV", "q3_sales_final"),
        ("東京.csv", "data"),
        ("__init__.txt", "init"),
        ("x" * 60 + ".csv", "x" * 48),
        ("7.csv", "data_7"),
    ],
)
def test_a_dataset_name_fits_the_pattern(file: str, name: str) -> None:
    assert dataset_name(file) == name


async def test_the_processor_is_chosen_by_the_suffix(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'{"a": 1}\n')
    assert json.loads((await run(service, "import", file, "--json")).out)["processor"] == "ndjson"


async def test_options_and_priority_reach_the_job(service: Service, people: Path) -> None:
    asked = ("--dataset", "optioned", "--option", "delimiter=;", "--option", "header=true", "--priority", "9")
    job = json.loads((await run(service, "import", people, *asked, "--json")).out)
    assert job["options"] == {"delimiter": ";", "header": True}
    assert job["priority"] == 9


async def test_standard_input_is_imported_as_it_comes(service: Service) -> None:
    ended = await run(service, "import", "-", "--dataset", "piped", "--follow", stdin=GOOD)
    assert ended.code == 0, ended.err
    assert "completed: 3 rows into piped" in ended.out


async def test_a_failed_job_says_why_and_exits_1(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "latin1.csv"
    file.write_bytes("id,größe\n1,2\n".encode("latin-1"))
    ended = await run(service, "import", file, "--option", "encoding=utf-8", "--follow")
    assert ended.code == 1
    assert ended.out.splitlines()[-1].startswith("failed: ")
    assert " — " in ended.out.splitlines()[-1]


async def test_following_as_json_prints_each_event_once_and_the_job_last(service: Service, people: Path) -> None:
    ended = await run(service, "import", people, "--dataset", "told", "--follow", "--json")
    *events, job = map(json.loads, ended.out.splitlines())
    assert [event["seq"] for event in events] == list(range(1, job["last_event_id"] + 1))
    assert job["state"] == "completed"


async def test_jobs_can_be_listed_by_state(service: Service, ragged: Json) -> None:
    found = json.loads((await run(service, "jobs", "--state", "completed", "--json", "--limit", "50")).out)
    assert ragged["id"] in [job["id"] for job in found]
    assert {job["state"] for job in found} == {"completed"}
    assert len((await run(service, "jobs", "--limit", "1")).out.splitlines()) == 2


async def test_an_ended_job_can_be_shown_and_followed(service: Service, ragged: Json) -> None:
    assert "completed (partial)" in (await run(service, "job", ragged["id"])).out
    followed = await run(service, "job", ragged["id"], "--follow")
    assert followed.code == 0
    assert "2 rows into ragged · 1 rejected" in followed.out


async def test_rejects_are_shown_with_place_reason_and_text(service: Service, ragged: Json) -> None:
    first, raw = (await run(service, "rejects", ragged["id"])).out.splitlines()
    assert first.startswith("row 2, line 3: ")
    assert raw == "    2"


async def test_rejects_are_printed_as_a_table_corrected_and_sent_back(service: Service, tmp_path: Path) -> None:
    job = await imported(service.client, RAGGED, "sent_back", header="true")
    table = await run(service, "rejects", job["id"], "--csv")
    assert table.out.splitlines()[1].startswith("2,,2,")
    path = tmp_path / "corrected.csv"
    path.write_text(table.out.replace("2,,2,", "2,Grace,2,"))
    sent = await run(service, "correct", job["id"], path)
    assert sent.code == 0, sent.err
    await eventually(lambda: is_whole(service, job))


async def is_whole(service: Service, job: Json) -> bool:
    found: Json = (await service.client.get(job["links"]["self"])).json()
    return bool(found["counts"]["rejected"] == 0 and found["counts"]["inserted"] == 3)


async def test_a_preview_shows_columns_and_counts(service: Service, people: Path) -> None:
    shown = await run(service, "preview", people)
    assert shown.code == 0, shown.err
    assert "3 rows: 3 would go in, 0 be refused" in shown.out
    assert "id\tinteger" in shown.out


async def test_the_same_file_is_imported_again_only_if_asked(service: Service, people: Path) -> None:
    await run(service, "import", people, "--dataset", "same_again", "--follow")
    again = await run(service, "import", people, "--dataset", "same_again")
    assert again.code == 0
    assert "--again" in again.out + again.err
    asked = await run(service, "import", people, "--dataset", "same_again", "--again", "--follow")
    assert asked.code == 0, asked.err
    assert len((await service.client.get("/v1/datasets/same_again/rows")).json()["rows"]) == 6


@pytest.mark.parametrize("limit", [(), ("--limit", "2")])
async def test_rows_come_as_table_json_and_csv(service: Service, ragged: Json, limit: tuple[str, ...]) -> None:
    table = await run(service, "rows", "ragged", *limit)
    assert table.out == "_row\tid\tname\n1\t1\tAda\n3\t3\tEdsger\n"
    array = json.loads((await run(service, "rows", "ragged", "--format", "json", *limit)).out)
    assert [row["name"] for row in array] == ["Ada", "Edsger"]
    assert (await run(service, "rows", "ragged", "--format", "csv", *limit)).out == "id,name\n1,Ada\n3,Edsger\n"


async def test_json_rows_keep_every_digit_over_many_pages(service: Service) -> None:
    wide = b"n,price\n" + b"".join(b"%d,%d.10\n" % (2**62 + i, i) for i in range(2_500))
    await imported(service.client, wide, "digits")
    ended = await run(service, "rows", "digits", "--json")
    rows = json.loads(ended.out, parse_float=str)
    assert [row["n"] for row in rows] == [2**62 + i for i in range(2_500)]
    assert rows[7]["price"] == "7.10"


async def test_a_limit_of_csv_records_counts_no_line_end_inside_quotes(service: Service) -> None:
    await imported(service.client, b'id,note\n1,"two\nlines, ""quoted"""\n2,plain\n', "multiline")
    ended = await run(service, "rows", "multiline", "--format", "csv", "--limit", "1")
    assert ended.out == 'id,note\n1,"two\nlines, ""quoted"""\n'


async def test_following_goes_on_where_a_broken_connection_left_off(
    start_service: StartService, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    file.write_bytes(MANY_CHUNKS)
    service = await start_service(chunk_bytes=512)
    job = json.loads((await run(service, "import", file, "--json")).out)
    async with cut_off_after(service.url, 6_000) as (url, cuts):
        ended = await run(service, "job", job["id"], "--follow", "--json", MILLRACE_URL=url)
    *events, job = map(json.loads, ended.out.splitlines())
    assert cuts
    assert [event["seq"] for event in events] == list(range(1, job["last_event_id"] + 1))
    assert job["counts"]["inserted"] == 2_000


async def test_following_goes_on_without_a_word_when_the_service_restarts(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, MANY_CHUNKS, "restarted")
    process = await begin(service, "job", job["id"], "--follow")
    await _line(process, b"waiting")
    assert await service.process.stop() == 0
    port = {"MILLRACE_PORT": service.url.rpartition(":")[2]}
    again = await start(
        "service again", ["-m", "service", "all"], service.settings | port, service.folder / "again.log"
    )
    service.others.append(again)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"2,000 rows into restarted" in out
    assert b"Trying again" not in out


async def test_ctrl_c_while_following_says_how_to_come_back(start_service: StartService, people: Path) -> None:
    service = await start_service("api")  # nobody works on the job
    process = await begin(service, "import", str(people), "--dataset", "left", "--follow")
    await _line(process, b"waiting")
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert b"goes on without you. Come back with: millrace job " in out
    assert err == b""


async def test_a_terminal_gets_a_live_bar_and_the_summary(service: Service, people: Path) -> None:
    controller, terminal = pty.openpty()
    shown = bytearray()
    asyncio.get_running_loop().add_reader(controller, lambda: shown.extend(os.read(controller, 65_536)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", "--url", service.url, "--key", KEY,
        "import", str(people), "--dataset", "watched", "--follow",
        cwd=ROOT, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"}, stdin=DEVNULL, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    try:
        assert await process.wait() == 0
        await eventually(lambda: b"3 rows into watched" in shown)
        assert "━".encode() in shown
    finally:
        asyncio.get_running_loop().remove_reader(controller)
        os.close(controller)
        os.close(terminal)


async def test_waiting_jobs_are_paused_resumed_and_cancelled_by_their_ids(
    start_service: StartService, people: Path
) -> None:
    service = await start_service("api")  # nobody works on them
    ids = [json.loads((await run(service, "import", people, "--json")).out)["id"] for _ in range(2)]
    for command, state in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued")]:
        ended = await run(service, command, *ids)
        assert (ended.code, ended.out) == (0, "".join(f"{job_id} is {state}\n" for job_id in ids))
    assert (await run(service, "priority", "9", ids[0])).out == f"{ids[0]} has priority 9\n"
    assert json.loads((await run(service, "job", ids[0], "--json")).out)["priority"] == 9


async def test_a_job_that_refuses_is_explained_and_the_others_are_done(service: Service, people: Path) -> None:
    done = await imported(service.client, GOOD, "finished")
    other = await imported(service.client, GOOD, "finished")
    unknown = "01a20594-aee7-73c2-b485-15425946dd2c"
    refused = await run(service, "pause", done["id"])
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"millrace: {done['id']}: This job is completed: pause is not possible now. — ")
    deleted = await run(service, "delete", done["id"], unknown, other["id"])
    assert deleted.code == 1
    assert deleted.out == "".join(f"{job['id']} is deleted; its rows stay\n" for job in (done, other))
    assert deleted.err.startswith(f"millrace: {unknown}: ")


async def test_following_says_that_a_job_is_paused_and_goes_on_when_it_does(
    start_service: StartService, people: Path
) -> None:
    service = await start_service("api")
    job_id = json.loads((await run(service, "import", people, "--dataset", "rested", "--json")).out)["id"]
    process = await begin(service, "job", job_id, "--follow")
    await _line(process, b"waiting")
    await run(service, "pause", job_id)
    await _line(process, f"Job {job_id} is paused; it goes on with: millrace resume {job_id}".encode())
    await run(service, "resume", job_id)
    await _line(process, b"waiting")
    await service.worker()
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines()[-1].startswith("completed: 3 rows into rested")


async def test_following_ends_with_1_when_the_running_job_is_cancelled_and_its_rows_taken_back(
    start_service: StartService, tmp_path: Path
) -> None:
    file = tmp_path / "long.csv"
    file.write_bytes(b"id,name\n" + b"".join(b"%d,somebody\n" % i for i in range(200_000)))
    service = await start_service(chunk_bytes=4096)
    job_id = json.loads((await run(service, "import", file, "--json")).out)["id"]
    process = await begin(service, "job", job_id, "--follow")
    await _line(process, b"importing")
    assert (await run(service, "cancel", job_id, "--remove-rows")).out == f"{job_id} is cancelling\n"
    out, _ = await process.communicate()
    assert process.returncode == 1
    assert out.decode().splitlines()[-1].startswith("cancelled: 0 rows into long")


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["jobs"], {"MILLRACE_KEY": ""}, 2, "There is no key"),
        (["jobs"], {"MILLRACE_KEY": "wrong"}, 1, "This needs a valid key. — Send it as"),
        (["jobs"], {"MILLRACE_URL": "http://127.0.0.1:1"}, 1, "Nothing answers at http://127.0.0.1:1"),
        (["jobs"], {"MILLRACE_URL": "localhost:8000"}, 2, "no address of a service"),
        (["jobs", "--state", "lost"], {}, 1, "'lost' is no state. — Use one of"),
        (["rows", "nowhere"], {}, 1, "There is no dataset nowhere"),
        (["rows", "../jobs"], {}, 2, "neither an id nor a name"),
        (["rows"], {}, 2, "required: NAME"),
        (["pause"], {}, 2, "required: ID"),
        (["cancel", "../imports"], {}, 2, "neither an id nor a name"),
        (["priority", "11", "x"], {}, 2, "invalid choice: 11"),
        (["import", "/nowhere.csv"], {}, 2, "cannot be read: No such file"),
        (["import", "-"], {}, 2, "pass --dataset"),
        (["import", __file__, "--option", "dataset=x"], {}, 2, "no option of a processor"),
        (["import", __file__, "--option", "colour=red", "--dataset", "x"], {}, 1, "Its options are: "),
        ([], {}, 2, "required: COMMAND"),
    ],
)
async def test_a_mistake_is_said_in_a_sentence(
    service: Service, arguments: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    ended = await run(service, *arguments, **environment)
    assert ended.code == code
    assert said in ended.err
    assert ended.err.splitlines()[-1].startswith("millrace")


async def test_a_refused_upload_is_explained_although_the_file_is_large(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    with file.open("wb") as sparse:
        sparse.truncate(64 * 1024 * 1024)
    ended = await run(service, "import", file, "--processor", "csv", MILLRACE_KEY="wrong")
    assert ended.code == 1
    assert "This needs a valid key" in ended.err


async def test_a_reader_that_has_seen_enough_is_no_error(service: Service, ragged: Json) -> None:
    shell = f"{sys.executable} -m service.cli rows ragged --json | true; exit ${{PIPESTATUS[0]}}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", shell, cwd=ROOT, env=os.environ | {"MILLRACE_URL": service.url, "MILLRACE_KEY": KEY}, stderr=PIPE
    )
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_an_event_stream_is_read_as_the_standard_says(piece_bytes: int) -> None:
    body = (
        "\ufeff: a comment\r\nretry: 1500\r\n\r\n"
        "event: snapshot\ndata: {\ndata:  1}\n\n"
        "id: 7\rdata: a\u2028b\r\r"
        "event: x\ndata\nid: bad\0id\nretry: soon\nunknown: field\n\n"
        "event: no data, so no message\n\n"
        "data: never closed"
    ).encode()
    pieces = (body[i : i + piece_bytes] for i in range(0, len(body), piece_bytes))
    assert list(messages(pieces)) == [
        Message("snapshot", "{\n 1}", "", 1500),
        Message("message", "a\u2028b", "7", 1500),
        Message("x", "", "7", 1500),
    ]


async def _line(process: Process, start: bytes) -> None:
    """Wait until a command prints a line that starts so."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (line := await process.stdout.readline()).startswith(start):
            assert line, "ended too early"


@asynccontextmanager
async def cut_off_after(url: str, size_bytes: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to the service that breaks once a connection has carried so many bytes of answers; counts the breaks."""
    host, port = url.removeprefix("http://").split(":")
    cuts: list[int] = []

    async def carry(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(host, int(port))
        forth = asyncio.create_task(_copy(client, requests))
        carried = 0
        while carried < size_bytes and (piece := await answers.read(512)):
            carried += len(piece)
            back.write(piece)
            await back.drain()
        if carried >= size_bytes:
            cuts.append(carried)
        forth.cancel()
        requests.close()
        back.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cuts


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while piece := await source.read(65_536):
        target.write(piece)
        await target.drain()
