"""The options that the compose files give to Traefik, on the real Traefik: a misspelt one is silently nothing."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, http_status
from fluxprint_local.traefik import find_server
from support.compose import DEVELOPMENT, OWN_CERTIFICATE, PRODUCTION, merged
from support.servers import started

DEMANDED = dict.fromkeys(
    (
        "POSTGRES_PASSWORD", "MIGRATE_AUTH_PASSWORD", "MIGRATE_QUEUE_PASSWORD", "MIGRATE_CAMERA_PASSWORD",
        "REDIS_PASSWORD", "CAMERA_VIEW_TOKEN_SECRET", "AUTH_SECRET",
    ),
    "demanded-by-name",
)  # fmt: skip
DOMAIN = "print.example.org"
ROUTED = 502  # to a service that is not there


@asynccontextmanager
async def traefik(
    files: tuple[str, ...], folder: Path, given: Mapping[str, str] = MappingProxyType({}), **more: str
) -> AsyncIterator[tuple[str, str, str]]:
    """Traefik with the options of these files; the addresses of its entry points web, websecure and internal.

    `given` is what the operator sets, `more` is for Traefik alone.
    """
    variables = {**DEMANDED, "FLUXPRINT_DOMAIN": DOMAIN, "TLS_CERTIFICATE_FILE": "x", "TLS_KEY_FILE": "x", **given}
    environment = merged(files, variables)["services"]["traefik"]["environment"]
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("WEB", "WEBSECURE", "INTERNAL")}
    for name, address in addresses.items():
        if f"TRAEFIK_ENTRYPOINTS_{name}_ADDRESS" in environment:
            environment[f"TRAEFIK_ENTRYPOINTS_{name}_ADDRESS"] = address
    environment |= {f"{service}_URL": "http://127.0.0.1:9" for service in ("AUTH", "QUEUE", "CAMERA")}
    environment["TRAEFIK_PROVIDERS_FILE_DIRECTORY"] = str(ROOT / "deploy/traefik/dynamic")
    storage = "TRAEFIK_CERTIFICATESRESOLVERS_LETSENCRYPT_ACME_STORAGE"
    if storage in environment:
        environment[storage] = str(folder / "acme.json")
    if "TLS_KEY_FILE" in environment:
        environment |= {name: given[name] for name in ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE")}
    internal = int(addresses["INTERNAL"].rpartition(":")[2])

    async def is_ready() -> bool:
        return await http_status("127.0.0.1", internal, "/ping") == 200

    environment |= more
    process = Process(name="traefik", command=[str(find_server())], environment=environment, is_ready=is_ready)
    async with started(process, folder / "traefik.log"):
        yield addresses["WEB"], addresses["WEBSECURE"], addresses["INTERNAL"]


async def routed(client: httpx.AsyncClient, url: str) -> None:
    """Wait until the route file is read, a moment after the entry points listen."""
    async with asyncio.timeout(10):
        while (await client.get(f"{url}/api/v1/auth/health")).status_code != ROUTED:
            await asyncio.sleep(0.02)


async def test_development_routes_on_its_one_entry_point(tmp_path: Path) -> None:
    async with traefik(DEVELOPMENT, tmp_path) as (web, _, internal), httpx.AsyncClient() as client:
        await routed(client, f"http://{web}")
        for path in ("/metrics", "/ping", "/health", "/"):
            assert (await client.get(f"http://{web}{path}")).status_code == 404
        assert "traefik_" in (await client.get(f"http://{internal}/metrics")).text
        assert (await client.get(f"http://{internal}/api/v1/auth/health")).status_code == 404


async def test_production_leads_to_https_and_shows_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    files = {"TLS_CERTIFICATE_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        traefik(OWN_CERTIFICATE, tmp_path, files) as (web, websecure, _),
        httpx.AsyncClient(verify=trusting) as client,
    ):
        async with asyncio.timeout(10):
            while not await _trusted(client, websecure):
                await asyncio.sleep(0.02)
        await routed(client, f"https://{websecure}")
        assert (await client.get(f"https://{websecure}/metrics")).status_code == 404
        answer = await client.get(f"http://{web}/api/v1/jobs?limit=2", headers={"Host": DOMAIN})
        assert answer.status_code in {301, 308}
        assert answer.headers["location"] == f"https://{DOMAIN}/api/v1/jobs?limit=2"


async def test_production_asks_the_certificate_authority(tmp_path: Path) -> None:
    """Only the first call of ACME (RFC 8555, section 7.1.1): this authority has no directory to show."""
    asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()).startswith(b"GET /directory "):
            asked.set()
        writer.write(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    certificate, key = _certificate(tmp_path)
    speaking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    speaking.load_cert_chain(certificate, key)
    port = free_port()
    directory = f"https://127.0.0.1:{port}/directory"
    log = tmp_path / "traefik.log"
    async with (
        await asyncio.start_server(answer, "127.0.0.1", port, ssl=speaking),
        traefik(PRODUCTION, tmp_path, {"ACME_CA_SERVER": directory}, LEGO_CA_CERTIFICATES=str(certificate)),
        asyncio.timeout(20),
    ):
        await asked.wait()
        while f'"domains":["{DOMAIN}"]' not in log.read_text():
            await asyncio.sleep(0.05)
    assert directory in log.read_text()


async def _trusted(client: httpx.AsyncClient, address: str) -> bool:
    try:
        await client.get(f"https://{address}/")
    except httpx.ConnectError:  # Traefik's own certificate, until the file is read
        return False
    return True


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
