"""`python -m fluxprint_camera`: serve until SIGTERM."""

from fluxprint_camera.app import create_app
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.service import run
from fluxprint_common.settings import load_or_exit

if __name__ == "__main__":
    settings = load_or_exit(CameraSettings)
    run(create_app(settings), settings, service="camera")
