"""Makes all rules of the service, on the stores. Other objects that requests need: web/services.py."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from app.rules.accounts import Accounts
from app.rules.activities import Activities
from app.rules.addresses import Addresses
from app.rules.adoption import Adoption
from app.rules.adoption_keys import AdoptionKeys
from app.rules.breached_passwords import BreachedPasswords
from app.rules.devices import Devices
from app.rules.imports import Imports
from app.rules.keyring import Keyring
from app.rules.leaving import Leaving
from app.rules.links import Links
from app.rules.notices import Notices
from app.rules.operators import Operators
from app.rules.own_data import OwnData
from app.rules.passkey_starts import PasskeyStarts
from app.rules.passkeys import Passkeys
from app.rules.passwords import Passwords
from app.rules.profile import Profiles
from app.rules.reauthentication import Reauthentication
from app.rules.recovery import Recovery
from app.rules.relying_party import relying_party
from app.rules.remembered import RememberedDevices
from app.rules.replay import Replay
from app.rules.second_factor import SecondFactor
from app.rules.second_steps import SecondSteps
from app.rules.sign_ins import SignIns
from app.stores.wiring import Stores

log = logging.getLogger(__name__)


class RuleSettings(Protocol):
    """The settings that the rules need. config.py says what each means."""

    @property
    def secret_keys(self) -> Sequence[str]: ...
    @property
    def smtp_url(self) -> object | None: ...
    @property
    def public_url(self) -> str | None: ...
    @property
    def webauthn_rp_id(self) -> str | None: ...
    @property
    def webauthn_origins(self) -> Sequence[str]: ...
    @property
    def service_name(self) -> str: ...
    @property
    def verify_email(self) -> str: ...
    @property
    def deletion_delay_s(self) -> int: ...
    @property
    def max_sessions_per_user(self) -> int: ...
    @property
    def adopt_jwt_key(self) -> AdoptionKeys | None: ...
    @property
    def adopt_jwt_user(self) -> str: ...
    @property
    def adopt_jwt_since(self) -> float | None: ...
    @property
    def adopt_jwt_until(self) -> float | None: ...
    @property
    def mfa_ticket_ttl_s(self) -> int: ...
    @property
    def mfa_proof_ttl_s(self) -> int: ...
    @property
    def remember_ttl_s(self) -> int: ...
    @property
    def totp_window(self) -> int: ...
    @property
    def totp_client_secret_bits(self) -> int: ...
    @property
    def bcrypt_rounds(self) -> int: ...
    @property
    def bcrypt_concurrency(self) -> int: ...
    @property
    def bcrypt_queue(self) -> int: ...
    @property
    def breached_passwords(self) -> Path | None: ...


class Rules:
    def __init__(self, stores: Stores, settings: RuleSettings, clock: Callable[[], float]) -> None:
        users, tickets = stores.users, stores.tickets
        breached = BreachedPasswords(settings.breached_passwords) if settings.breached_passwords else None
        passwords = Passwords(settings.bcrypt_rounds, settings.bcrypt_concurrency, settings.bcrypt_queue, breached)
        self.passwords = passwords
        keyring = Keyring(settings.secret_keys)
        notices = Notices(stores.mails if settings.smtp_url else None, stores.notices, clock)
        self.keyring = keyring
        self.notices = notices
        self.links = Links(stores.links, keyring, clock)
        party = relying_party(
            settings.public_url, settings.webauthn_rp_id, settings.webauthn_origins, settings.service_name
        )
        self.second_factor = SecondFactor(
            users, keyring, notices, settings.totp_window, settings.totp_client_secret_bits, party, clock
        )
        self.devices = Devices(
            stores.sessions,
            stores.lifetimes,
            settings.max_sessions_per_user,
            clock,
            stores.redis_clock,
            _make_adoption(stores, settings, clock),
        )
        self.activities = Activities(stores.activities, stores.sessions, self.devices, stores.lifetimes, clock)
        self.own_data_store = stores.own_data
        self.own_data = OwnData(
            stores.own_data, users, stores.activities, stores.remembered, self.devices, stores.lifetimes, clock
        )
        sign_ins = SignIns(users, self.devices, notices, stores.activities)
        self.addresses = Addresses(
            users,
            stores.addresses,
            self.links,
            self.devices,
            sign_ins,
            notices,
            keyring,
            clock,
            is_required=settings.verify_email == "required",
        )
        self.remembered = RememberedDevices(stores.remembered, self.devices, sign_ins, settings.remember_ttl_s, clock)
        self.reauthentication = Reauthentication(
            users,
            tickets,
            stores.sessions,
            passwords,
            self.second_factor,
            notices,
            ticket_ttl_s=settings.mfa_ticket_ttl_s,
            proof_ttl_s=settings.mfa_proof_ttl_s,
            clock=clock,
        )
        self.second_steps = SecondSteps(
            users,
            tickets,
            self.devices,
            sign_ins,
            self.second_factor,
            notices,
            self.remembered,
            ticket_ttl_s=settings.mfa_ticket_ttl_s,
            clock=clock,
        )
        self.leaving = Leaving(
            users,
            stores.departures,
            stores.mails,
            self.addresses,
            self.links,
            notices,
            clock,
            deletion_delay_s=settings.deletion_delay_s,
        )
        self.accounts = Accounts(
            users,
            self.devices,
            sign_ins,
            self.addresses,
            passwords,
            self.second_steps,
            self.remembered,
            notices,
            clock=clock,
        )
        self.passkeys = Passkeys(
            users,
            tickets,
            self.devices,
            sign_ins,
            self.addresses,
            self.second_factor,
            notices,
            party,
            PasskeyStarts(keyring.start_keys, settings.mfa_ticket_ttl_s, clock),
            ticket_ttl_s=settings.mfa_ticket_ttl_s,
            clock=clock,
        )
        self.profiles = Profiles(users, self.addresses, passwords, notices, stores.activities)
        self.recovery = Recovery(
            users,
            tickets,
            self.accounts,
            self.addresses,
            self.devices,
            sign_ins,
            self.links,
            passwords,
            self.second_factor,
            self.second_steps,
            notices,
            stores.activities,
        )
        self.operators = Operators(
            stores, notices, self.accounts, self.devices, self.leaving, passwords, self.remembered, clock
        )
        self.replay = Replay(users, self.operators, passwords, notices, clock)
        self.imports = Imports(users, keyring, clock)


def _make_adoption(stores: Stores, settings: RuleSettings, clock: Callable[[], float]) -> Adoption | None:
    """Return what adopts tokens of the service before; None if that is off."""
    keys = settings.adopt_jwt_key
    if keys is None:
        return None
    for sentence in keys.passed_over:
        log.warning("ADOPT_JWT_KEY: %s", sentence)
    return Adoption(
        stores.adoptions,
        stores.sessions,
        stores.users,
        keys,
        stores.lifetimes,
        user_claim=settings.adopt_jwt_user,
        since=settings.adopt_jwt_since,
        until=settings.adopt_jwt_until,
        cap=settings.max_sessions_per_user,
        clock=clock,
        redis_clock=stores.redis_clock,
    )
