"""`python -m fluxprint_camera`: serve until SIGTERM."""

from fluxprint_common.startup import collection_paused

with collection_paused():
    from fluxprint_camera.app import create_app
    from fluxprint_camera.settings import CameraSettings
    from fluxprint_common.service import run
    from fluxprint_common.settings import load_or_exit


def main() -> None:
    """Serve."""
    settings = load_or_exit(CameraSettings)
    with collection_paused():
        app = create_app(settings)
    run(app, settings, service="camera")


if __name__ == "__main__":
    main()
