"""Checkpoints: one file, replaced as a whole, that only the job which wrote it accepts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "checkpoint.slipway"


@dataclass(frozen=True)
class Checkpoint:
    step: int
    model: bytearray


class CheckpointStore:
    """`fingerprint` stands for all that decides the result: a checkpoint with another is not used."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._fingerprint = fingerprint

    def save(self, checkpoint: Checkpoint) -> None:
        header = {
            "fingerprint": self._fingerprint,
            "step": checkpoint.step,
            "sha256": hashlib.sha256(checkpoint.model).hexdigest(),
        }
        write_atomically(self.path, json.dumps(header).encode() + b"\n" + bytes(checkpoint.model))

    def load(self) -> tuple[Checkpoint | None, str]:
        """The checkpoint, or None and the reason."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None, "there is no checkpoint"
        head, _, model = content.partition(b"\n")
        try:
            header = json.loads(head)
            digest, step, fingerprint = header["sha256"], int(header["step"]), header["fingerprint"]
        except (ValueError, KeyError, TypeError):
            return None, "the checkpoint has no readable header"
        if fingerprint != self._fingerprint:
            return None, "the checkpoint is of another job"
        if hashlib.sha256(model).hexdigest() != digest:
            return None, "the checkpoint is damaged"
        return Checkpoint(step, bytearray(model)), "resumed"


def write_atomically(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never a part, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
