"""The services' applications, put together without anything that they need to run: for their routes and documents."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from pydantic import SecretStr

import fluxprint_auth.app
import fluxprint_camera.app
import fluxprint_queue.app
from fluxprint_auth.settings import AuthSettings
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.openapi import document
from fluxprint_common.settings import Environment
from fluxprint_queue.settings import QueueSettings

_DATABASE = SecretStr("postgresql+asyncpg://nobody@127.0.0.1:1/nowhere")
_URL = "http://127.0.0.1:1"


@cache
def create_apps() -> dict[str, FastAPI]:
    """Each HTTP service's application by its name, always the same. They are never started, and not to be changed."""
    for name in list(os.environ):  # what the caller's shell happens to hold must not show in a document
        if name.startswith(("FLUXPRINT_", "AUTH_", "QUEUE_", "CAMERA_")):
            del os.environ[name]
    test = Environment.TEST
    return {
        "auth": fluxprint_auth.app.create_app(
            AuthSettings(environment=test, database_url=_DATABASE, signing_key=SecretStr(_new_key()))
        ),
        "queue": fluxprint_queue.app.create_app(
            QueueSettings(
                environment=test, database_url=_DATABASE, jwks_url=_URL, auth_url=_URL, storage_dir=Path("/nonexistent")
            )
        ),
        "camera": fluxprint_camera.app.create_app(
            CameraSettings(
                environment=test,
                database_url=_DATABASE,
                jwks_url=_URL,
                queue_url=_URL,
                view_token_secret=SecretStr("-" * 32),
            )
        ),
    }


@cache
def documents() -> dict[str, dict[str, Any]]:
    """Each service's part of the API's document by the service's name, always the same and not to be changed."""
    return {name: document(app) for name, app in create_apps().items()}


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
