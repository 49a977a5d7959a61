"""The judge of credentials finds what is wrong in a journal, and nothing in one where all is well."""

import pytest

from scripts.faults.credentials import CredentialJudge
from scripts.faults.journal import LATE_S
from tests.faults.stories import PASSWORD, Story


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def found(story):
    """The kinds of what is found in the story, in the order of their finding."""
    return lambda: [finding.kind for finding in CredentialJudge().judge(story.operations)]


@pytest.fixture
def enrolled(story):
    """A token of an account with the second factor on, and two backup codes: code 1, code 2."""
    return story.enables(story.registers(), "code 1", "code 2")


def test_a_password_and_its_change(story, found):
    first = story.registers()
    story.is_refused("login", 50035, password="of nobody")
    story.logs_in()
    story.changes_password(first, "new")
    story.is_refused("login", 50035, password=PASSWORD)
    story.logs_in("new")
    assert found() == []


def test_a_user_who_cannot_log_in(story, found):
    """It is said once."""
    story.registers()
    story.is_refused("login", 50035, password=PASSWORD)
    story.is_refused("login", 50035, password=PASSWORD)
    assert found() == ["lost"]


def test_a_new_password_that_is_not_right(story, found):
    first = story.registers()
    story.changes_password(first, "new")
    story.is_refused("login", 50035, password="new")
    assert found() == ["lost"]


def test_an_old_password_that_is_still_right(story, found):
    first = story.registers()
    story.changes_password(first, "new")
    story.logs_in(PASSWORD)
    assert found() == ["lost"]


def test_another_password_that_is_right(story, found):
    story.registers()
    story.logs_in("of nobody")
    assert found() == ["lost"]


def test_a_change_of_unknown_outcome(story, found):
    """The old one may be right, and for a while the new one may come after it; but the old one never again."""
    first = story.registers()
    story.changes_password(first, "new", status=503)
    story.logs_in(PASSWORD)
    story.is_refused("login", 50035, password="new")
    story.logs_in("new")
    assert found() == []
    story.logs_in(PASSWORD)
    assert found() == ["lost"]


def test_a_change_of_unknown_outcome_that_did_not_happen(story, found):
    first = story.registers()
    story.changes_password(first, "new", status=503)
    story.pass_by(LATE_S)
    story.logs_in(PASSWORD)
    assert found() == []
    story.logs_in("new")
    assert found() == ["lost"]


def test_neither_of_two_passwords_is_right(story, found):
    first = story.registers()
    story.changes_password(first, "new", status=503)
    story.pass_by(LATE_S)
    story.is_refused("login", 50035, password="new")
    story.is_refused("login", 50035, password=PASSWORD)
    assert found() == ["lost"]


def test_a_registration_without_an_answer(story, found):
    """Whether it happened a login shows; then it must stay."""
    story.tell("register", 503, password=PASSWORD)
    story.is_refused("login", 50035, password=PASSWORD)
    assert found() == []
    story.logs_in()
    story.is_refused("login", 50035, password=PASSWORD)
    assert found() == ["lost"]


def test_an_address_that_nobody_had_is_taken(story, found):
    story.is_refused("register", 50035, password=PASSWORD)
    assert found() == ["wrong"]


def test_codes_count_once(story, found, enrolled):
    ticket = story.is_asked_for_code()
    story.tell("code_login", 200, {"token": ""}, ticket=ticket, code="code 1", note="backup")
    story.is_refused("code_login", 60006, ticket=ticket, code="code 1", note="backup")
    story.is_refused("code_login", 60008, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    assert found() == []
    story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    assert found() == ["lost"]


def test_a_ticket_counts_once(story, found, enrolled):
    ticket = story.is_asked_for_code()
    story.tell("code_login", 200, {}, ticket=ticket, code="code 1", note="backup")
    story.tell("code_login", 200, {}, ticket=ticket, code="code 2", note="backup")
    assert found() == ["wrong"]


def test_a_used_ticket_that_lives_on(story, found, enrolled):
    ticket = story.is_asked_for_code()
    story.tell("code_login", 200, {}, ticket=ticket, code="code 1", note="backup")
    story.is_refused("code_login", 60008, ticket=ticket, code="code 1", note="backup")
    assert found() == ["wrong"]


def test_a_code_that_was_not_used_is_refused(story, found, enrolled):
    story.is_refused("code_login", 60008, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    assert found() == ["lost"]


def test_a_code_of_the_app_is_good_until_it_is_used(story, found, enrolled):
    story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code="123456", note="totp 7")
    story.is_refused("code_login", 60008, ticket=story.is_asked_for_code(), code="123456", note="totp 7")
    assert found() == []
    story.is_refused("code_login", 60008, ticket=story.is_asked_for_code(), code="654321", note="totp 8")
    assert found() == ["lost"]


def test_a_ticket_that_is_unknown(story, found, enrolled):
    story.is_refused("code_login", 60006, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    assert found() == ["lost"]


def test_a_ticket_dies_with_a_change_and_with_time(story, found, enrolled):
    ticket = story.is_asked_for_code()
    story.tell("end_others", 200, {}, token=enrolled)
    story.is_refused("code_login", 60006, ticket=ticket, code="code 1", note="backup")
    ticket = story.is_asked_for_code()
    story.pass_by(300)
    story.is_refused("code_login", 60006, ticket=ticket, code="code 1", note="backup")
    assert found() == []


def test_an_answer_that_was_not_heard_may_have_used_a_code(story, found, enrolled):
    """Tried once more, the code may be good or not; from then on it is used."""
    story.tell("code_login", 503, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    story.tell("code_login", 503, ticket=story.is_asked_for_code(), code="code 2", note="backup")
    story.is_refused("code_login", 60008, ticket=story.is_asked_for_code(), code="code 1", note="backup")
    story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code="code 2", note="backup")
    assert found() == []
    for code in ("code 1", "code 2"):
        story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code=code, note="backup")
    assert found() == ["lost", "lost"]


def test_an_answer_that_was_not_heard_may_have_used_a_ticket(story, found, enrolled):
    ticket = story.is_asked_for_code()
    story.tell("code_login", 503, ticket=ticket, code="code 1", note="backup")
    story.is_refused("code_login", 60006, ticket=ticket, code="code 1", note="backup")
    assert found() == []
    story.tell("code_login", 200, {}, ticket=ticket, code="code 2", note="backup")
    assert found() == ["wrong"]


def test_old_codes_are_dead(story, found, enrolled):
    proof = story.tell(
        *("finish", 200, {"token": "a proof"}),
        **{"token": enrolled, "ticket": story.is_challenged(enrolled)},
        **{"mfa_type": "backup", "data": "code 1", "note": "backup"},
    ).json["token"]
    story.tell("renew_codes", 200, {"backup_codes": [{"code": "code 3"}]}, token=enrolled, proof=proof)
    story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code="code 3", note="backup")
    assert found() == []
    story.tell("code_login", 200, {}, ticket=story.is_asked_for_code(), code="code 2", note="backup")
    assert found() == ["lost"]


def test_a_second_factor_that_is_not_asked_for(story, found, enrolled):
    story.logs_in()
    assert found() == ["lost"]


def test_a_second_factor_that_nobody_turned_on(story, found):
    story.registers()
    story.is_asked_for_code()
    assert found() == ["lost"]


def test_a_second_factor_of_unknown_outcome(story, found):
    first = story.registers()
    story.tell("enable_totp", 503, token=first, secret="S" * 32)
    story.logs_in()
    story.is_asked_for_code()
    assert found() == []
    story.logs_in()
    assert found() == ["lost"]


def test_a_second_factor_that_may_be_off_again(story, found, enrolled):
    story.tell("disable_totp", 503, token=enrolled)
    story.is_asked_for_code()
    story.logs_in()
    assert found() == []
    story.tell("me", 200, {"mfa_enabled": True}, token=enrolled)
    assert found() == ["lost"]


def test_a_proof_is_good_for_its_session(story, found):
    first = story.registers()
    proof = story.proves(first)
    story.tell("end", 204, token=first, proof=proof, session_id_hashes=[])
    assert found() == []


def test_a_proof_is_good_for_no_other_session(story, found):
    first, second = story.registers(), story.logs_in()
    proof = story.proves(first)
    story.is_challenged(second, proof=proof)
    assert found() == []
    story.tell("verify_proof", 200, token=second, proof=proof)
    assert found() == ["wrong"]


def test_an_ending_without_a_proof(story, found):
    first = story.registers()
    story.tell("end", 204, token=first, session_id_hashes=[])
    assert found() == ["wrong"]


def test_a_proof_that_is_unknown(story, found):
    first = story.registers()
    story.is_challenged(first, proof=story.proves(first))
    assert found() == ["lost"]


def test_a_proof_ends_with_time(story, found):
    first = story.registers()
    proof = story.proves(first)
    story.pass_by(300)
    story.is_challenged(first, proof=proof)
    assert found() == []


def test_a_challenge_counts_once(story, found):
    first = story.registers()
    ticket = story.is_challenged(first)
    story.finishes(first, ticket)
    story.finishes(first, ticket)
    assert found() == ["wrong"]


def test_a_wrong_answer_proves_nothing(story, found):
    first = story.registers()
    ticket = story.is_challenged(first)
    story.is_refused("finish", 60008, token=first, ticket=ticket, mfa_type="password", data="of nobody", note="wrong")
    story.finishes(first, ticket)
    assert found() == []
    told = {"token": "a proof"}
    more = {"token": first, "ticket": story.is_challenged(first), "mfa_type": "password", "data": "of nobody"}
    story.tell("finish", 200, told, **more)
    assert found() == ["lost"]
