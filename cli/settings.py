"""The one settings class: environment ``TOCSIN_*``, and files for secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cli.errors import CommandError


class Settings(BaseSettings):
    """Everything that can be configured; built at start-up and passed down.

    Each field is read from the environment variable ``TOCSIN_`` + its name in capitals. Fields
    that end in ``_file`` name a file that holds a secret, so that no secret stands in the
    environment or on a command line.
    """

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", extra="ignore")

    profile: Literal["development", "production"] = "development"
    state_dir: Path = Path("var")
    """Folder of the embedded service: store, secrets, artefacts."""
    store_url: str | None = None
    """SQLAlchemy URL without a password in it; default: SQLite below `state_dir`."""
    store_password_file: Path | None = None
    registry: Path | None = None
    """Folder of trained detectors; default: ``detectors`` below `state_dir`."""
    data_dir: Path | None = None
    """Where DATASET names are looked up before the bundled sets."""
    pepper_file: Path | None = None
    """Key under which API keys are hashed; default: ``pepper`` below `state_dir`, made there."""
    admin_key_file: Path | None = None
    """Where the first admin key is written, mode 0600, instead of being printed once."""
    api_key_file: Path | None = None
    """Key that commands show to a remote API."""
    kafka_servers: str | None = None
    """Bootstrap servers, ``host:port,host:port``."""
    topic: str = Field(default="tocsin.events", min_length=1)
    decisions_topic: str = Field(default="tocsin.decisions", min_length=1)
    labels_topic: str = Field(default="tocsin.labels", min_length=1)
    group: str = Field(default="tocsin", min_length=1)
    """Kafka group id of the workers; names the ledger rows too."""
    session_timeout_s: int = Field(default=30, ge=6, le=300)
    tick_s: float = Field(default=10.0, ge=0.0, le=3600.0)
    """Seconds between two ticks; 0 = none, the times of the records are the clock."""
    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    cache_streams: int = Field(default=200_000, ge=1000)
    """States a worker keeps in memory."""
    learn_every: int = Field(default=50, ge=0)
    """Labels after which the embedded service makes a version of a detector that learns; 0 = it
    does not learn."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("store_url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is None:
            return None
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            password = make_url(url).password
        except (ArgumentError, ValueError):  # whose text may quote a password
            message = (
                "it is not of the form postgresql://USER@HOST:PORT/DATABASE or sqlite:///FILE"
            )
            raise ValueError(message) from None
        if password is not None:
            message = (
                "TOCSIN_STORE_URL holds a password; leave it out and name a file that holds it "
                "in TOCSIN_STORE_PASSWORD_FILE"
            )
            raise ValueError(message)
        return url

    @field_validator("decisions_topic")
    @classmethod
    def _another_topic(cls, decisions_topic: str, others: ValidationInfo) -> str:
        if decisions_topic == others.data.get("topic"):
            message = "decisions would be read as events: TOCSIN_TOPIC names the same topic"
            raise ValueError(message)
        return decisions_topic

    @field_validator("labels_topic")
    @classmethod
    def _third_topic(cls, labels_topic: str, others: ValidationInfo) -> str:
        if labels_topic in {others.data.get("topic"), others.data.get("decisions_topic")}:
            message = (
                "labels need a topic of their own: TOCSIN_TOPIC or TOCSIN_DECISIONS_TOPIC names "
                "the same one"
            )
            raise ValueError(message)
        return labels_topic

    def resolved_store_url(self) -> str:
        """Return the URL to connect to, with the password read from its file.

        Raises
        ------
        CommandError
            If that file cannot be read.
        """
        from sqlalchemy.engine import make_url

        if self.store_url is None:
            return f"sqlite:///{(self.state_dir / 'tocsin.sqlite').resolve()}"
        url = make_url(self.store_url)
        if self.store_password_file is not None:
            url = url.set(password=_read_secret(self.store_password_file))
        return url.render_as_string(hide_password=False)

    def resolved_registry(self) -> Path:
        """Return the folder of trained detectors."""
        return self.registry or self.state_dir / "detectors"

    def resolved_pepper_file(self) -> Path:
        """Return the file with the key under which API keys are hashed."""
        return self.pepper_file or self.state_dir / "pepper"


def _read_secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeError) as error:
        trouble = getattr(error, "strerror", None) or type(error).__name__
        message = f"TOCSIN_STORE_PASSWORD_FILE names {path}, which cannot be read: {trouble}"
        raise CommandError(message) from error
