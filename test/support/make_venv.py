"""Makes the virtual environment for tests once, and prints the path of its Python.

usage: make_venv.py <requirements.txt>

Progress goes to stderr. The folder is named for the requirements and this Python, so a change of either makes a new
one. A kernel lock (released when its holder dies, however it dies) keeps a second maker waiting; the marker is written
last, so a folder without it was left by a maker that died and is made again.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path


def say(text: str) -> None:
    print(f"test environment: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification says to ignore relative paths.
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".cache") / "slipway"


def make(folder: Path, requirements: Path) -> None:
    say("making it (about 300 MB, once)")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--no-input", "--progress-bar", "off", "--requirement", str(requirements)]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    (folder / "complete").write_text("ok\n")
    say("ready")


def main() -> None:
    if sys.version_info < (3, 10):
        sys.exit(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    requirements = Path(sys.argv[1])
    identity = requirements.read_bytes() + f"{sys.version_info[:2]} {sys.base_prefix}".encode()
    folder = cache_folder() / f"venv-test-{hashlib.sha256(identity).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{folder}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another process is making it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                make(folder, requirements)
    print(folder / "bin" / "python")


main()
