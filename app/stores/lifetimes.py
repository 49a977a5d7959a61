"""How long sessions last, and how long ended ones are kept: the one place that says when a session is over.

lua/session.lua (`ends_at`) repeats the rule for the scripts; tests/stores/ hold the two against each other.
"""

from dataclasses import dataclass

RETENTION_S = 30 * 24 * 60 * 60  # default for sessions that ended


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """
    Attributes:
        ttl_s: Seconds that a session lasts after its last use.
        max_age_s: Seconds that it lasts after its beginning, whatever its use.
        retention_s: Seconds for which sessions that ended are kept and shown.
    """

    ttl_s: int
    max_age_s: int
    retention_s: int = RETENTION_S

    def ends_at(self, began_at: float, last_used_at: float) -> float:
        """Return when a session ends if it is not used again, in Unix seconds."""
        return min(last_used_at + self.ttl_s, began_at + self.max_age_s)
