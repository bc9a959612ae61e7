"""The two deployments, and what a check must add to them: who runs it has no domain, no .env and no .env.bridge."""

import ipaddress
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fluxprint_local.bootstrap import ROOT
from tools.compose_check.compose import VERSION, Compose

DEVELOPMENT = ROOT / "docker-compose.yml"
PRODUCTION = ROOT / "docker-compose.prod.yml"
OWN_CERTIFICATE = ROOT / "deploy/compose/own-certificate.yml"
SECRETS = (
    "POSTGRES_PASSWORD", "MIGRATE_AUTH_PASSWORD", "MIGRATE_QUEUE_PASSWORD", "MIGRATE_CAMERA_PASSWORD",
    "REDIS_PASSWORD", "CAMERA_VIEW_TOKEN_SECRET", "AUTH_SECRET",
)  # fmt: skip


def development(folder: Path) -> Compose:
    """The file as it is; only the bridge's settings come from `folder`."""
    return _compose(folder, [DEVELOPMENT], {})


def production(folder: Path, address: str) -> Compose:
    """Both files, for a server whose name is the address where containers reach this machine."""
    _certificate(folder, address)
    variables = {
        "FLUXPRINT_DOMAIN": address,
        "TLS_CERTIFICATE_FILE": str(folder / "certificate.pem"),
        "TLS_KEY_FILE": str(folder / "certificate-key.pem"),
        **{name: secrets.token_hex(32) for name in SECRETS},
    }
    # A bridge trusts what the system trusts, and this certificate is our own.
    trust = {
        "volumes": [f"{folder / 'certificate.pem'}:/certificate.pem:ro"],
        "environment": {"SSL_CERT_FILE": "/certificate.pem"},
    }
    return _compose(folder, [DEVELOPMENT, PRODUCTION, OWN_CERTIFICATE], variables, trust)


def _compose(
    folder: Path, files: list[Path], variables: dict[str, str], bridge: Mapping[str, object] | None = None
) -> Compose:
    bridge_env = folder / "bridge.env"
    bridge_env.touch(mode=0o600)
    extra = folder / "check.yml"
    extra.write_text(yaml.safe_dump({"services": {"bridge": {"env_file": [str(bridge_env)], **(bridge or {})}}}))
    env_file = folder / "check.env"
    lines = {"FLUXPRINT_VERSION": VERSION, **variables}
    _private(env_file, "".join(f"{name}={value}\n" for name, value in lines.items()))
    return Compose(files=[*files, extra], env_file=env_file, bridge_file=bridge_env)


def _certificate(folder: Path, address: str) -> None:
    """A certificate that signs itself, for an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fluxprint check")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _private(folder / "certificate-key.pem", _pem(key))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
