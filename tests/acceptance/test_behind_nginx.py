"""Through a real nginx with its defaults: events as they happen, over HTTP/1.1 and HTTP/2, and sessions."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.api.auth import COOKIE
from tests.running import DEADLINE_S, Json, Service, eventually

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
CURL = shutil.which("curl")
CONFIG = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass {url}; }} }}
  server {{
    listen 127.0.0.1:{secure} ssl http2;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ proxy_pass {url}; }}
  }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx)")


@dataclass(frozen=True)
class Proxy:
    """Where nginx listens."""

    plain: str
    secure: str


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def certify(folder: Path) -> None:
    """A certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)


@pytest.fixture(scope="module")
async def proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    certify(folder)
    plain, secure = free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, url=service.url, plain=plain, secure=secure))
    assert NGINX is not None
    process = await asyncio.create_subprocess_exec(NGINX, "-c", str(config), "-e", f"{folder}/error.log")
    try:
        await eventually(lambda: _answers(f"http://127.0.0.1:{plain}/livez"))
        yield Proxy(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}")
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(url)).is_success
        except httpx.TransportError:
            return False


async def waiting_job(service: Service) -> Json:
    """A job that has not ended."""
    body = {"processor": "echo", "run_at": "2099-01-01T00:00:00Z"}
    return dict((await service.client.post("/v1/jobs", json=body)).json())


async def changed(service: Service, job: Json, priority: int) -> None:
    """Make an event."""
    assert (await service.client.patch(f"/v1/jobs/{job['id']}", json={"priority": priority})).is_success


@pytest.mark.parametrize("over", ["plain", "secure"])
async def test_events_pass_as_they_happen(service: Service, proxy: Proxy, over: str) -> None:
    job = await waiting_job(service)
    headers = {"Authorization": f"Bearer {service.key}"}
    url = f"{getattr(proxy, over)}/v1/jobs/{job['id']}/events"
    async with (
        httpx.AsyncClient(verify=False, timeout=DEADLINE_S) as client,  # noqa: S501 - it signs itself
        client.stream("GET", url, headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        for priority in (6, 7, 8):  # each is made once the one before has come: nothing is held back
            await changed(service, job, priority)
            async for line in lines:
                if line.startswith("data:") and f'"priority": {priority}' in line and "prioritized" in line:
                    break
        assert (await service.client.post(f"/v1/jobs/{job['id']}/cancel")).is_success
        assert "event: job.cancelled" in [line async for line in lines]


@pytest.mark.skipif(CURL is None, reason="needs curl with HTTP/2 (apt-get install curl)")
async def test_events_pass_over_http_2(service: Service, proxy: Proxy) -> None:
    job = await waiting_job(service)
    assert CURL is not None
    curl = await asyncio.create_subprocess_exec(
        CURL, "-sNki", "--http2", "-H", f"Authorization: Bearer {service.key}",
        f"{proxy.secure}/v1/jobs/{job['id']}/events", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert curl.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        status = await curl.stdout.readline()
        if status.startswith(b"HTTP/1"):
            curl.terminate()
            await curl.wait()
            pytest.skip("this curl speaks no HTTP/2")
        assert status.startswith(b"HTTP/2 200")
        await changed(service, job, 9)
        while b"job.prioritized" not in await curl.stdout.readline():
            pass
        await service.client.post(f"/v1/jobs/{job['id']}/cancel")
        rest = await curl.stdout.read()
    assert b"event: job.cancelled" in rest
    assert await curl.wait() == 0


async def test_a_session_works_although_nginx_changes_the_host(service: Service, proxy: Proxy) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    as_browsers_do = {"Origin": proxy.secure, "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=proxy.secure, verify=context, headers=as_browsers_do) as client:
        told = (await client.post("/v1/session", json={"key": service.key})).json()
        assert client.cookies.get(COOKIE)
        assert (await client.get("/v1/session")).json()["csrf_token"] == told["csrf_token"]
        token = {"X-CSRF-Token": told["csrf_token"]}
        assert (await client.post("/v1/jobs", json={"processor": "echo"}, headers=token)).status_code == 202
        assert (await client.post("/v1/jobs", json={"processor": "echo"})).status_code == 403
        assert (await client.delete("/v1/session", headers=token)).status_code == 204
        assert (await client.get("/v1/session")).status_code == 401


async def test_pings_keep_a_quiet_stream_open(service: Service, proxy: Proxy) -> None:
    job = await waiting_job(service)
    headers = {"Authorization": f"Bearer {service.key}"}
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        client.stream("GET", f"{proxy.plain}/v1/jobs/{job['id']}/events", headers=headers) as answer,
    ):
        async for line in answer.aiter_lines():
            if line == ": ping":
                return
        pytest.fail("the stream ended")
