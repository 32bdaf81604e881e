"""Options of the classifiers of text, as they stand under ``[classifier]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from models.text.formula import ConfidenceMode, Formula, SignificanceMode


class Ss3Options(Struct, frozen=True, forbid_unknown_fields=True, rename={"lambda_": "lambda"}):
    """How to build an SS3; the defaults are the package's numbers and the paper's functions.

    Source: Burdisso, Errecalde and Montes-y-Gomez (2019), and pyss3 0.6.4.
    """

    sigma: Annotated[float, Meta(gt=0.0, le=2.0)] = 0.45
    """Smoothness: smaller values raise rare words."""
    lambda_: Annotated[float, Meta(gt=0.0, le=10.0)] = 0.5
    """Significance: how far a class must stand out."""
    rho: Annotated[float, Meta(ge=0.0, le=10.0)] = 1.0
    """Sanction: how hard a word is punished for standing out in several classes."""
    sg: SignificanceMode = "vanilla"
    """``xai`` drops words that look like stop words; with three classes strong ones, too."""
    cv: ConfidenceMode = "gv"
    tune: bool = False
    """Whether sigma, lambda and rho are chosen on the tuning streams instead."""

    def formula(self) -> Formula:
        """Return what the values are computed by."""
        return Formula(self.sigma, self.lambda_, self.rho, self.sg, self.cv)
