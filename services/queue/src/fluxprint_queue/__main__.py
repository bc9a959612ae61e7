"""`python -m fluxprint_queue`: serve."""

from fluxprint_common.service import run
from fluxprint_common.settings import load_or_exit
from fluxprint_queue.app import create_app
from fluxprint_queue.settings import QueueSettings

if __name__ == "__main__":
    settings = load_or_exit(QueueSettings)
    run(create_app(settings), settings, service="queue")
