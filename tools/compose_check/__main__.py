"""Brings a deployment up, prints through it on a real OctoPrint, hurts it, and takes it down."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fluxprint_local import octoprint
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.camera_source import CameraSource
from fluxprint_local.demo_client import DemoClient
from fluxprint_local.demo_screen import Screen
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port
from tools.compose_check import accounts, deployments
from tools.compose_check.accounts import Administrator
from tools.compose_check.compose import CheckFailed, Compose, docker

FILE = ROOT / "tests/fixtures/bracket.gcode"
SERVICES = ("auth", "queue", "camera")
PRINT_TIMEOUT_S = 300
SPOOFED = "203.0.113.9"
figures: dict[str, object] = {}


@contextmanager
def step(text: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"ok  {text} ({time.monotonic() - began:.1f} s)", flush=True)


def expect(fact: bool, text: str) -> None:
    if not fact:
        raise CheckFailed(text)


# -- bringing it up ----------------------------------------------------------------------------------------------------


async def bring_up(compose: Compose, url: str) -> None:
    with step("images built"):
        began = time.monotonic()
        await asyncio.to_thread(compose.run, "--profile", "*", "build")
        figures["build s"] = round(time.monotonic() - began, 1)
    figures["images"] = compose.image_sizes()
    with step("everything is up and healthy, the migration has ended with 0"):
        began = time.monotonic()
        up = asyncio.create_task(asyncio.to_thread(compose.run, "up", "--detach", "--wait"))
        await asyncio.gather(up, *(first_answer(url, service) for service in SERVICES))
        figures["up until healthy s"] = round(time.monotonic() - began, 1)
        expect(compose.container("migrate")["State"]["ExitCode"] == 0, "the migration failed")  # type: ignore[index]


async def first_answer(url: str, service: str, *, status: int = 200, within_s: float = 180) -> None:
    """Wait until a service's health has this status, through Traefik."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=5) as client, asyncio.timeout(within_s):
        while True:
            try:
                if (await client.get(f"{url}/api/v1/{service}/health")).status_code == status:
                    break
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    figures.setdefault(f"first {status} from {service} s", round(time.monotonic() - began, 1))


# -- what holds in both ------------------------------------------------------------------------------------------------


async def check_walls(compose: Compose, url: str) -> None:
    with step("the stores publish nothing and are on the internal network alone"):
        for store in ("postgres", "redis"):
            state = compose.container(store)["NetworkSettings"]
            expect(not any(state["Ports"].values()), f"{store} publishes {state['Ports']}")  # type: ignore[index]
            [network] = state["Networks"]  # type: ignore[index]
            internal = docker(["docker", "network", "inspect", "--format", "{{.Internal}}", network]).strip()
            expect(internal == "true", f"{store} is on {network}")
    with step("Traefik keeps little for viewers on slow lines"):
        names = ("tcp_notsent_lowat", "tcp_rmem")
        kept = compose.run("exec", "--no-TTY", "traefik", "cat", *(f"/proc/sys/net/ipv4/{name}" for name in names))
        expect(kept.split() == ["16384", "4096", "65536", "131072"], f"its sysctls are {kept!r}")
    with step("every container is confined, and ours run as user 10001"):
        for service in (*SERVICES, "traefik", "postgres", "redis"):
            host = compose.container(service)["HostConfig"]
            facts = [host["ReadonlyRootfs"], host["CapDrop"] == ["ALL"], host["Init"], not host["Privileged"]]  # type: ignore[index]
            expect(all(facts), f"{service}: {facts}")
        for service in SERVICES:
            expect(
                compose.run("exec", "--no-TTY", service, "id", "-u").strip() == "10001", f"{service} is another user"
            )
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        with step("metrics and health of the services are not routed, the document is"):
            for path in ("/metrics", "/health", "/", "/ping"):
                expect((await client.get(path)).status_code == 404, f"{path} is routed")
            expect((await client.get("/api/v1/openapi.json")).json()["openapi"].startswith("3."), "no document")
        with step("a client's word on its address is not believed"):
            credentials = {"email": "nobody@example.org", "password": "not a password of anybody"}
            headers = {"X-Forwarded-For": SPOOFED, "X-Request-ID": "compose-check-spoof"}
            answer = await client.post("/api/v1/auth/login", json=credentials, headers=headers)
            expect(answer.status_code == 401, answer.text)
        log = compose.run("logs", "--no-log-prefix", "auth")
        expect(SPOOFED not in log, "the auth service believed a spoofed address")
        networks = compose.container("traefik")["NetworkSettings"]["Networks"]  # type: ignore[index]
        proxy = next(iter(networks.values()))["IPAddress"]
        expect(proxy not in log, "the auth service takes Traefik for the client")


async def check_print(compose: Compose, url: str, folder: Path, gateway: str) -> None:
    """The demo's print, with the bridge in a container and OctoPrint on this machine."""
    printer = OctoPrint(folder / "octoprint", free_port(), host=gateway)
    with step("OctoPrint started"):
        await printer.start()
    try:
        async with CameraSource(host=gateway) as camera, DemoClient(url) as client:
            with step("administrator, bridge and printer created"):
                await client.log_in(compose.create_admin(client.email))
                compose.bridge_file.write_text(
                    f"BRIDGE_AUTH_TOKEN={await client.add_printer()}\n"
                    f"OCTOPRINT_URL=http://host.docker.internal:{printer.port}\n"
                    f"OCTOPRINT_API_KEY={printer.keys.bridge}\n"
                    f"CAMERA_URL=http://host.docker.internal:{camera.port}/?action=stream\n"
                )
            with step("the bridge's container is healthy and its printer online"):
                await asyncio.to_thread(compose.run, "--profile", "bridge", "up", "--detach", "--wait", "bridge")
                await client.printer_is_online(timeout_s=60)
            with step("printed"):
                async with asyncio.timeout(PRINT_TIMEOUT_S):
                    outcome = await client.print_file(FILE, Screen(FILE.name))
            path = f"fluxprint/{time.strftime('%Y-%m', time.gmtime())}/{outcome.attempt_id}{FILE.suffix}"
            history = await printer.successes_and_failures(path)
            figures["print"] = (
                f"{outcome.state}, OctoPrint counts {history[0]} success and {history[1]} failures, "
                f"started after {outcome.start_s:.2f} s, {outcome.viewer_frames} frames seen"
            )
            expect(outcome.state == "completed", f"the job is {outcome.state}: {outcome.reason}")
            expect(history == (1, 0), f"OctoPrint's history: {history}")
            expect(outcome.viewer_frames > 0, "no frame arrived")
            figures["memory"] = compose.memory()
            with step("the bridge ends politely"):
                await asyncio.to_thread(compose.run, "--profile", "bridge", "stop", "bridge")
                code = compose.container("bridge")["State"]["ExitCode"]  # type: ignore[index]
                expect(code == 0, f"the bridge ended with {code}")
    finally:
        await printer.stop()


async def check_accounts(compose: Compose, url: str, host: str) -> None:
    """What the auth service keeps, and what it sends."""
    async with Administrator(url) as person:
        with step("an administrator signed in"):
            await person.sign_in(compose)
            await person.is_believed()
        with step("its token outlives the auth container and a rotation: the signing keys are in the database"):
            await accounts.check_keys(compose, person)
        with step("AUTH_SECRET replaced, nobody signed out"):
            figures["renew-secrets"] = await accounts.check_secret(compose, person)
        with step("an invitation reached a mail server"):
            await accounts.check_mail(compose, person, host, url)


# -- bad days ----------------------------------------------------------------------------------------------------------


async def check_stores_away(compose: Compose, url: str) -> None:
    """Nothing of it restarts a service."""
    with step("without Redis the services go on, degraded"):
        await asyncio.to_thread(compose.run, "stop", "redis")
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{url}/api/v1/queue/health")
            expect((answer.status_code, answer.json()["status"]) == (200, "degraded"), answer.text)
        await asyncio.to_thread(compose.run, "start", "redis")
    with step("without PostgreSQL they say 503, with it they work again"):
        await asyncio.to_thread(compose.run, "stop", "postgres")
        await first_answer(url, "auth", status=503)
        await asyncio.to_thread(compose.run, "start", "postgres")
        await asyncio.gather(*(first_answer(url, service) for service in SERVICES))
    expect(all(compose.restarts(service) == 0 for service in SERVICES), "a service was restarted")
    with step("all of them restarted at once, in any order, as after a reboot"):
        await asyncio.to_thread(compose.run, "restart", "--no-deps", "redis", "postgres", "traefik", *SERVICES)
        await asyncio.gather(*(first_answer(url, service) for service in SERVICES))
    with step("a second `up` migrates again and changes nothing"):
        await asyncio.to_thread(compose.run, "up", "--detach", "--wait")


async def check_restarts(compose: Compose, url: str) -> None:
    with step("a service that is killed is restarted"):
        compose.signal("queue", signal.SIGKILL)
        figures["restarted after kill -9 s"] = round(compose.wait_restarted("queue", within_s=120), 1)
        await first_answer(url, "queue")
    with step("a service that hangs is killed by its health check and restarted"):
        compose.signal("camera", signal.SIGSTOP)
        figures["restarted after a hang s"] = round(compose.wait_restarted("camera", within_s=300), 1)
        await first_answer(url, "camera")


async def check_tls(url: str) -> None:
    with step("http leads to https, whose certificate is trusted; HSTS is on"):
        async with httpx.AsyncClient(timeout=10) as client:
            plain = await client.get(url.replace("https://", "http://") + "/api/v1/auth/health")
            expect(plain.status_code in {301, 308}, f"http answers {plain.status_code}")
            expect(plain.headers["location"] == f"{url}/api/v1/auth/health", plain.headers["location"])
            secure = await client.get(f"{url}/api/v1/auth/health")
            expect(secure.status_code == 200, secure.text)
            expect("max-age=31536000" in secure.headers["strict-transport-security"], "no HSTS")


def check_refusals(folder: Path, gateway: str) -> None:
    with step("production does not start without each of its secrets, and names it"):
        whole = deployments.production(folder, gateway)
        lines = whole.env_file.read_text().splitlines()
        for name in ("FLUXPRINT_DOMAIN", *deployments.SECRETS):
            whole.env_file.write_text("\n".join(line for line in lines if not line.startswith(f"{name}=")))
            try:
                whole.run("config", "--quiet")
            except CheckFailed as failed:
                expect(name in str(failed), str(failed))
            else:
                raise CheckFailed(f"it starts without {name}")
        whole.env_file.write_text("\n".join(lines))


# -- the two -----------------------------------------------------------------------------------------------------------


async def development(folder: Path, gateway: str) -> None:
    compose, url = deployments.development(folder), "http://localhost:8080"
    with taken_down(compose):
        await bring_up(compose, url)
        await check_walls(compose, url)
        await check_print(compose, url, folder, gateway)
        await check_stores_away(compose, url)


async def production(folder: Path, gateway: str) -> None:
    check_refusals(folder, gateway)
    compose, url = deployments.production(folder, gateway), f"https://{gateway}"
    os.environ["SSL_CERT_FILE"] = str(folder / "certificate.pem")  # for every client in here
    with proxy_network(), taken_down(compose):
        await bring_up(compose, url)
        await check_tls(url)
        await check_walls(compose, url)
        await check_print(compose, url, folder, gateway)
        await check_accounts(compose, url, gateway)
        await check_restarts(compose, url)


@contextmanager
def taken_down(compose: Compose) -> Iterator[None]:
    try:
        yield
    except BaseException:
        print(compose.run("logs", "--tail", "20", *SERVICES, "bridge", "migrate"), file=sys.stderr)
        raise
    finally:
        with step("taken down, nothing is left"):
            compose.down()


@contextmanager
def proxy_network() -> Iterator[None]:
    """The network `proxy`, which is the operator's to make."""
    if docker(["docker", "network", "ls", "--quiet", "--filter", "name=^proxy$"]):
        yield
        return
    docker(["docker", "network", "create", "proxy"])
    try:
        yield
    finally:
        docker(["docker", "network", "rm", "proxy"])


def main() -> None:
    deployment = {"development": development, "production": production}.get(" ".join(sys.argv[1:]))
    if deployment is None:
        sys.exit("usage: tools/compose-check development|production")
    octoprint.environment()
    gateway = docker(
        ["docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", "bridge"]
    ).strip()
    folder = Path(tempfile.mkdtemp(prefix="fluxprint-compose-check-"))
    try:
        asyncio.run(deployment(folder, gateway))
    except (CheckFailed, httpx.HTTPError, TimeoutError, subprocess.TimeoutExpired) as error:
        sys.exit(f"FAILED: {error!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in figures.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
