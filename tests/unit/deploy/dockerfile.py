"""The Dockerfile, as far as tests look at it: its instructions, by stage."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from tests.unit.deploy.compose_file import ROOT

FILE = ROOT / "Dockerfile"
IGNORE = ROOT / ".dockerignore"


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    image: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction):
        """Return what follows each use of an instruction."""
        return [text for name, text in self.instructions if name == instruction]

    def pairs(self, instruction):
        """Return the ``KEY=value`` pairs of ENV, ARG or LABEL, as one mapping."""
        words = (word for text in self.arguments(instruction) for word in shlex.split(text))
        return dict(word.split("=", 1) if "=" in word else (word, "") for word in words)

    def copied(self):
        """Return the sources that COPY takes from the checkout."""
        texts = (text for text in self.arguments("COPY") if "--from=" not in text)
        return [source for text in texts for source in shlex.split(text)[:-1]]


def stages(text):
    """Return the stages of a Dockerfile; instructions before the first FROM are not expected."""
    found = []
    for line in _lines(text):
        name, _, rest = line.partition(" ")
        if name.upper() == "FROM":
            image, *alias = rest.split()
            found.append(Stage(image, alias[1] if alias else ""))
        else:
            found[-1].instructions.append((name.upper(), rest.strip()))
    return found


def _lines(text):
    """Join continued lines; leave comments and blank lines out."""
    joined = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            yield joined
            joined = ""


def sent(path, patterns):
    """Whether .dockerignore lets a file through; patterns without ``*`` are path prefixes.

    As in Docker the last pattern that fits decides.
    """
    through = True
    for line in patterns:
        wanted, pattern = line.startswith("!"), line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        fits = (
            pattern == "*"
            or f"{path}/".startswith(f"{pattern}/")
            or (pattern != anywhere and anywhere in path.split("/"))
        )
        through = wanted if fits else through
    return through


def ignore_patterns():
    """Return the patterns of .dockerignore."""
    lines = IGNORE.read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
