"""The kinds of second factor: whoever asks whether a user has one hears the same."""

from typing import get_args

import pytest

from app.rules.keyring import Keyring
from app.rules.second_factor import SecondFactor
from app.stores.factors import KINDS, JudgedAnswer, MfaType
from app.stores.passkeys import Passkey
from app.stores.session_records import Client
from app.stores.tickets import Ticket
from app.stores.users import Change
from app.watch import audit

SESSION = "A" * 43 + "="
PASSKEY = Passkey("cred", "5", "Phone", b"key", 1, ("internal",), False, 7)
ADDS = {  # what gives a user the factor
    "webauthn": Change(add_passkey=PASSKEY),
    "totp": Change(set={"totp_secret": "sealed", "totp_step": "5"}),
}
EVIDENCE = {
    "webauthn": {"cred_id": "cred", "id": "5", "sign_count": 2},
    "totp": {"step": 6, "window": 1, "period_s": 30},
    "backup": {"code_hashes": ["x"]},
}


@pytest.fixture
def answer(users, sessions, tickets, clock):
    """Answers a challenge of a user with one session."""
    users.create(
        "1", "a@x.example", email="a@x.example", username="a", global_name=None, password_hash="h", created_at=7
    )
    sessions.open("1", SESSION, int(clock()), Client(), "1", 50)

    def answer_one(factor, evidence):
        tickets.open("1", "ticket", Ticket("step_up", SESSION, "1", ""), 300)
        return tickets.redeem_step_up("1", "ticket", JudgedAnswer(factor, evidence), SESSION, "proof", 300)

    return answer_one


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_has_a_factor_or_not_in_record_round_trip_and_script(answer, users, sessions, kind):
    def has_mfa():
        [(_, _, by_look)] = sessions.look_up(sessions.last_use_with_proof("1", SESSION, "proof"))
        by_script = answer("password", {}) == "wrong"
        return {users.get("1").has_mfa, by_look, by_script}

    assert has_mfa() == {False}
    users.change("1", ADDS[kind])
    assert users.get("1").factors == {kind}
    assert has_mfa() == {True}
    users.change("1", Change(forget=[kind]))
    assert has_mfa() == {False}


@pytest.mark.parametrize("mfa_type", get_args(MfaType))
def test_an_answer_of_each_kind_is_right_once_and_only_where_a_factor_is_on(answer, users, mfa_type):
    users.change("1", Change(backup_codes=["x", "y"]))
    assert answer(mfa_type, EVIDENCE[mfa_type]) == "wrong"
    users.change("1", ADDS.get(mfa_type, ADDS["totp"]))
    assert answer(mfa_type, None) == "wrong"
    assert answer(mfa_type, EVIDENCE[mfa_type]) == "right"
    assert answer(mfa_type, EVIDENCE[mfa_type]) == ("stale_counter" if mfa_type == "webauthn" else "wrong")


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_every_kind_is_offered_by_the_rules_and_has_a_name_in_the_audit(users):
    factors = SecondFactor(users, Keyring(["k" * 32]), None, 1, 128, None)._factors
    assert [factor.name for factor in factors] == list(get_args(MfaType))
    for names in (audit.How, audit.Method):
        assert set(get_args(MfaType)) <= set(get_args(names))
