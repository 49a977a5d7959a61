"""How long sessions last, and how long ended sessions are kept. Only this module decides when a session is over.

lua/session.lua (`ends_at`) repeats the rule for the scripts; tests/stores/ compare the two.
"""

from dataclasses import dataclass

from app.stores.session_records import Session

RETENTION_S = 30 * 24 * 60 * 60  # default
PUBLIC_COMPUTER_S = 12 * 60 * 60  # default


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """
    Attributes:
        ttl_s: For how many seconds a session lasts after its last use.
        max_age_s: For how many seconds it lasts after its beginning, even if it is used.
        retention_s: For how many seconds ended sessions are kept and shown.
        public_computer_s: For how many seconds a session on a public computer lasts after its beginning, even if it is
            used.
    """

    ttl_s: int
    max_age_s: int
    retention_s: int = RETENTION_S
    public_computer_s: int = PUBLIC_COMPUTER_S

    def ends_at(self, began_at: float, last_used_at: float, *, on_public_computer: bool = False) -> float:
        """Return the Unix seconds when a session ends if it is not used again."""
        longest_s = min(self.max_age_s, self.public_computer_s) if on_public_computer else self.max_age_s
        return min(last_used_at + self.ttl_s, began_at + longest_s)

    def end_of(self, session: Session) -> float:
        """Return the Unix seconds when a session ends if it is not used again, also if it is adopted.

        Of an adopted one the age counts from the adoption, and its token may have named an end.
        """
        began_at = session.began_at if session.adopted_at is None else session.adopted_at
        ends_at = self.ends_at(began_at, session.last_used_at, on_public_computer=session.on_public_computer)
        if session.adopted_at is None or session.ends_by is None:
            return ends_at
        return min(ends_at, session.ends_by)
