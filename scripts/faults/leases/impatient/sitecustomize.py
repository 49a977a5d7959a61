"""Lets endings wait for nobody, to check that the judge finds what comes of it."""

from app.stores.leases.rounds import Rounds

Rounds.wait = lambda *_: {}  # type: ignore[method-assign]
