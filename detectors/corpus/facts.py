"""What a conversation is about: the thing, the sums, the address. All of it made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.corpus.templates import slots

if TYPE_CHECKING:
    from detectors.corpus.grammar import Draws

_MONEY = ("{}", "{} euros", "{} eur", "{}.00", "€{}", "{} €")
_SAME_ALL_ALONG = ("item", "app", "shop", "courier", "name", "event", "town", "colour", "size")


class Facts:
    """Fills the places of templates; what should not change in a conversation does not.

    Sums, numbers and addresses are drawn in the same way for either class.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        lists = slots()
        price = 20 + 5 * draws.index(80)
        money = draws.one(_MONEY)
        fee = 4 + draws.index(50)
        self._kept = {
            **{name: draws.one(lists[name]) for name in _SAME_ALL_ALONG},
            "price": money.format(price),
            "offer": money.format(_rounded(price * 0.9)),
            "low": money.format(_rounded(price * (0.55 + 0.05 * draws.index(5)))),
            "fee": money.format(fee),
            "code": f"{'ABEKLMRTX'[draws.index(9)]}{1000 + draws.index(9000)}",
            "link": self._address(),
        }

    def __call__(self, place: str) -> str:
        """Return what fills the place of that name."""
        kept = self._kept.get(place)
        return str(self._draws.one(slots()[place])) if kept is None else kept

    def _address(self) -> str:
        hosts, words = slots()["links"]["hosts"], slots()["links"]["words"]
        host, word = self._draws.one(hosts), self._draws.one(words)
        form = self._draws.one(
            ("{h}.example/{w}/{n}", "{w}-{h}.example/{n}", "{h}-{w}.example/{n}")
        )
        return form.format(h=host, w=word, n=100 + self._draws.index(9900))


def _rounded(sum_: float) -> int:
    return max(5, 5 * round(sum_ / 5))
