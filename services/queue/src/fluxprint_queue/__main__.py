"""`python -m fluxprint_queue`: serve until SIGTERM."""

from fluxprint_common.startup import collection_paused

with collection_paused():
    from fluxprint_common.service import run
    from fluxprint_common.settings import load_or_exit
    from fluxprint_queue.app import create_app
    from fluxprint_queue.settings import QueueSettings


def main() -> None:
    """Serve."""
    settings = load_or_exit(QueueSettings)
    with collection_paused():
        app = create_app(settings)
    run(app, settings, service="queue")


if __name__ == "__main__":
    main()
