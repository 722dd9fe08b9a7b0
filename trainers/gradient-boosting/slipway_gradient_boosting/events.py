"""The trainer's side of the event stream: one JSON object per line on standard output."""

from __future__ import annotations

import json
import os
import sys


class EventStream:
    """Owns standard output.

    File descriptor 1 is pointed at standard error first, so that a library that prints cannot break it.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def progress(self, fraction: float, message: str) -> None:
        self._emit({"event": "progress", "fraction": round(fraction, 4), "message": message})

    def metric(self, name: str, value: float, step: int) -> None:
        self._emit({"event": "metric", "name": name, "value": value, "step": step})

    def checkpoint(self, path: str, step: int) -> None:
        self._emit({"event": "checkpoint", "path": path, "step": step})

    def log(self, level: str, message: str) -> None:
        self._emit({"event": "log", "level": level, "message": message})

    def _emit(self, event: dict[str, object]) -> None:
        self._out.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        self._out.flush()
