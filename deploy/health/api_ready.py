"""Health check of the API's container: exit code 0 if /readyz says that store and Kafka answer."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 8.0


def trouble(port: str) -> str | None:
    """Return None if the API on this machine is ready, else why not."""
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        with urllib.request.urlopen(url, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        return f"not ready: {error.read(2000).decode(errors='replace')}"
    except OSError as error:
        return f"no answer on port {port}: {error}"


if __name__ == "__main__":
    sys.exit(trouble(os.environ.get("TOCSIN_PORT", "8600")))
