"""Tickets and proofs: answered once, by whom they were given to, for what they were given."""

import pytest

from app.stores.factors import JudgedAnswer
from app.stores.keys import unprefixed as keys
from app.stores.session_records import Client
from app.stores.tickets import Ticket
from app.stores.users import Change

SESSION = "S" * 43 + "="
OTHER = "O" * 43 + "="
RIGHT, WRONG = JudgedAnswer("password", {}), JudgedAnswer("totp")
NOTHING = Change(same_credentials=True)  # what a right answer changes


@pytest.fixture(autouse=True)
def a_user_with_sessions(users, sessions, clock):
    users.create("1", "a@example.com", email="", username="", global_name=None, password_hash="", created_at=0)
    for id_hash in (SESSION, OTHER):
        sessions.open("1", id_hash, int(clock()), Client(), "1", 50)


@pytest.fixture
def opened(tickets):
    """A step-up ticket of SESSION and a login ticket."""
    tickets.open("1", "step", Ticket("step_up", SESSION, "1", ""), 300)
    tickets.open("1", "login", Ticket("login", "", "1", "instance"), 300)


@pytest.fixture
def answer(tickets):
    def answer_one(answer, ticket="step", session=SESSION):
        return tickets.redeem_step_up("1", ticket, answer, session, "proof", 300)

    return answer_one


@pytest.mark.usefixtures("opened")
def test_a_right_answer_counts_once_and_earns_a_proof(answer, redis):
    assert answer(RIGHT) == "right"
    assert redis.get(keys.proof("1", "proof")) == f"password {SESSION} 0"
    assert 298 <= redis.ttl(keys.proof("1", "proof")) <= 300
    assert answer(RIGHT) == "unknown"


@pytest.mark.usefixtures("opened")
def test_tickets_run_out(redis):
    assert 298 <= redis.ttl(keys.ticket("1", "step")) <= 300


@pytest.mark.usefixtures("opened")
def test_five_wrong_answers_use_a_ticket_up(answer, redis):
    """The fifth wrong answer is the last, and a right one after it comes too late."""
    assert [answer(WRONG) for _ in range(5)] == ["wrong"] * 5
    assert answer(RIGHT) == "unknown"
    assert not redis.exists(keys.proof("1", "proof"))


@pytest.mark.usefixtures("opened")
def test_a_ticket_is_its_sessions_and_its_purposes(answer, tickets):
    """Another session's, a login's as step-up and a step-up's as login: all unknown, and the ticket is unharmed."""
    assert answer(RIGHT, session=OTHER) == "unknown"
    assert answer(RIGHT, ticket="login") == "unknown"
    assert answer(RIGHT, ticket="login", session="") == "unknown"
    assert tickets.redeem_login("1", "step", RIGHT, NOTHING) == "unknown"
    assert answer(RIGHT) == "right"


@pytest.mark.usefixtures("opened")
def test_a_ticket_dies_with_its_session(answer, sessions):
    sessions.end("1", [SESSION], "revoked")
    assert answer(RIGHT) == "unknown"


@pytest.mark.usefixtures("opened")
def test_a_password_is_no_answer_where_a_second_factor_is_on(answer, users):
    """Also where it was turned on after the challenge, by another device."""
    users.change("1", Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=["x"]))
    assert answer(RIGHT) == "wrong"


@pytest.mark.usefixtures("opened")
def test_a_totp_step_only_moves_forward(answer, users, tickets):
    """The step that turned the factor on, and every one up to the last accepted, is used up."""
    users.change("1", Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=[]))
    assert [answer(JudgedAnswer("totp", {"step": step, "window": 1, "period_s": 30})) for step in (4, 5, 6)] == [
        "wrong",
        "wrong",
        "right",
    ]
    assert (
        tickets.redeem_login("1", "login", JudgedAnswer("totp", {"step": 6, "window": 1, "period_s": 30}), NOTHING)
        == "wrong"
    )
    assert (
        tickets.redeem_login("1", "login", JudgedAnswer("totp", {"step": 7, "window": 1, "period_s": 30}), NOTHING)
        == "right"
    )


@pytest.mark.usefixtures("opened")
def test_a_backup_code_counts_once(users, tickets, answer):
    users.change("1", Change(set={"totp_secret": "sealed", "totp_step": "5"}, backup_codes=["x", "y"]))
    assert answer(JudgedAnswer("backup", {"code_hashes": ["other key", "x"]})) == "right"
    assert tickets.redeem_login("1", "login", JudgedAnswer("backup", {"code_hashes": ["x"]}), NOTHING) == "wrong"
    assert users.get("1").backup_codes_left == 1


def test_codes_open_nothing_where_no_factor_is_on(tickets, answer, redis):
    """Left-over codes or steps of a factor that was turned off are no way in."""
    redis.sadd(keys.backup_codes("1"), "x")
    tickets.open("1", "step", Ticket("step_up", SESSION, "1", ""), 300)
    assert answer(JudgedAnswer("backup", {"code_hashes": ["x"]})) == "wrong"
    assert answer(JudgedAnswer("totp", {"step": 9, "window": 1, "period_s": 30})) == "wrong"


def test_get_tells_what_a_ticket_is(tickets):
    tickets.open("1", "login", Ticket("login", "", "3", "instance"), 300)
    assert tickets.get("1", "login") == Ticket("login", "", "3", "instance")
    assert tickets.get("1", "nothing") is None


def test_a_session_keeps_its_first_tickets_and_its_newest(tickets, answer, redis, clock):
    """256 stay open, and of more the youngest but one goes; another session's are left alone."""
    tickets.open("1", "others", Ticket("step_up", OTHER, "1", ""), 300)
    for number in range(300):
        tickets.open("1", f"t{number}", Ticket("step_up", SESSION, "1", ""), 300)
        clock.advance(0.001)
    assert len(list(redis.scan_iter("*:ticket:t*"))) == 256
    given = ("t0", "t254", "t255", "t298", "t299")
    assert [answer(RIGHT, ticket=one) for one in given] == ["right", "right", "unknown", "unknown", "right"]
    assert answer(RIGHT, ticket="others", session=OTHER) == "right"
    assert redis.ttl(keys.open_tickets("1", SESSION)) > 0


def test_expired_tickets_take_no_room(tickets, answer, clock):
    """Whoever opened as many as there may be five minutes ago opens as many again."""
    for when in range(2):
        for number in range(256):
            tickets.open("1", f"{when} {number}", Ticket("step_up", SESSION, "1", ""), 300)
        clock.advance(300)
    assert answer(RIGHT, ticket="1 0") == "right"
    assert answer(RIGHT, ticket="1 200") == "right"


@pytest.mark.parametrize("purpose", ["login", "reset"])
def test_who_knows_the_password_pushes_no_other_ticket_out(tickets, clock, purpose):
    """A stranger opens as many as they like: those of a login are of no session, those of a reset of their link."""
    redeem = {
        "login": lambda one: tickets.redeem_login("1", one, RIGHT, NOTHING),
        "reset": lambda one: tickets.redeem_reset("1", one, RIGHT, "own link", NOTHING),
    }[purpose]
    tickets.open("1", "own", Ticket(purpose, "own link" if purpose == "reset" else "", "1", ""), 300)
    for number in range(300):
        clock.advance(0.001)
        given_to = "a stranger's link" if purpose == "reset" else ""
        tickets.open("1", f"t{number}", Ticket(purpose, given_to, "1", ""), 300)
    assert redeem("own") == "right"
