"""`python -m fluxprint_queue`: serve until SIGTERM."""

from fluxprint_common.startup import collection_paused

with collection_paused():
    from fluxprint_common.service import run
    from fluxprint_common.settings import load_or_exit
    from fluxprint_queue.app import create_app
    from fluxprint_queue.settings import QueueSettings

    settings = load_or_exit(QueueSettings)
    app = create_app(settings)

run(app, settings, service="queue")
