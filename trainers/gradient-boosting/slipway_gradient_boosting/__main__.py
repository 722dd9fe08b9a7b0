"""``python -m slipway_gradient_boosting --job job.json``"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from pathlib import Path

from .events import EventStream

EXIT_BAD_INPUT = 64
EXIT_INTERRUPTED = 75


class StopRequest:
    """Remembers SIGTERM; the work looks at it where it can leave."""

    def __init__(self) -> None:
        self._requested = False
        signal.signal(signal.SIGTERM, self._note)

    def __call__(self) -> bool:
        return self._requested

    def _note(self, *_: object) -> None:
        self._requested = True


def main() -> int:
    stop = StopRequest()
    events = EventStream()
    arguments = argparse.ArgumentParser(prog="slipway_gradient_boosting")
    arguments.add_argument("--job", type=Path, required=True)
    options = arguments.parse_args()
    # Imported after the signal handler is in place: they take a third of a second.
    from .boosting import Interrupted  # noqa: PLC0415
    from .parameters import BadInputError  # noqa: PLC0415
    from .training import train  # noqa: PLC0415

    try:
        train(options.job, events, stop)
    except BadInputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except Interrupted:
        events.log("info", "stopped on request; the checkpoint is written")
        return EXIT_INTERRUPTED
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
