"""How long a user waits: from `tocsin up` to the first explained decision, by terminal and REST.

Run as ``python -m bench.start``: a first start in an empty folder (it trains the demo detector),
then a second one. Prints seconds; exit code 1 if a bar is missed (180 s, 10 s).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

FIRST_BAR_S, SECOND_BAR_S = 180.0, 10.0


def start(folder: Path) -> dict[str, float]:
    """Start the service, wait for a decision on the terminal and by REST, stop it; in seconds."""
    began, found = time.perf_counter(), {}
    environment = {**os.environ, "TOCSIN_ADMIN_KEY_FILE": str(folder / "admin-key")}
    command = [sys.executable, "-m", "cli.main", "up", "--port", "0", "--data-dir", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    url = ""
    for line in process.stderr or ():
        if line.startswith("listening on "):
            url, found["listening"] = line.split()[-1], time.perf_counter() - began
        if line.startswith("decision: "):
            found["decision on the terminal"] = time.perf_counter() - began
            break
    key = (folder / "admin-key").read_text().strip()
    newest = ask(url + "/v1/decisions?limit=1", key)["decisions"][0]
    whole = ask(f"{url}/v1/decisions/{newest['id']}", key)
    if whole["explanation"]["contributions"] and whole["certificate"]:
        found["explained decision by REST"] = time.perf_counter() - began
    process.terminate()
    process.communicate(timeout=30)
    return found


def ask(url: str, key: str) -> dict[str, Any]:
    """GET with the key; our own service on loopback."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def main() -> int:
    """Measure both starts."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = start(Path(folder)), start(Path(folder))
    for name, found in (("first start", first), ("second start", second)):
        print(name + ": " + ", ".join(f"{what} {s:.1f} s" for what, s in found.items()))
    kept = (
        first["explained decision by REST"] <= FIRST_BAR_S and second["listening"] <= SECOND_BAR_S
    )
    print(f"bars ({FIRST_BAR_S:.0f} s, {SECOND_BAR_S:.0f} s): {'kept' if kept else 'missed'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
