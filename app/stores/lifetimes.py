"""How long sessions last, and how long ended sessions are kept. Only this module decides when a session is over.

lua/session.lua (`ends_at`) repeats the rule for the scripts; tests/stores/ compare the two.
"""

from dataclasses import dataclass

RETENTION_S = 30 * 24 * 60 * 60  # default


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """
    Attributes:
        ttl_s: For how many seconds a session lasts after its last use.
        max_age_s: For how many seconds it lasts after its beginning, even if it is used.
        retention_s: For how many seconds ended sessions are kept and shown.
    """

    ttl_s: int
    max_age_s: int
    retention_s: int = RETENTION_S

    def ends_at(self, began_at: float, last_used_at: float) -> float:
        """Return the Unix seconds when a session ends if it is not used again."""
        return min(last_used_at + self.ttl_s, began_at + self.max_age_s)
