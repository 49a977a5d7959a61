"""The judge of sessions finds what is wrong in a journal, and nothing in one where all is well."""

import pytest

from app.tokens import id_hash
from scripts.faults.journal import LATE_S
from scripts.faults.sessions import judge_sessions
from tests.faults.stories import Story


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def found(story):
    """The kinds of what is found in the story."""
    return lambda: sorted(finding.kind for finding in judge_sessions(story.operations))


def test_a_session_that_is_live_until_its_end_and_over_after_it(story, found):
    first, second = story.registers(), story.logs_in()
    story.says(True, first)
    story.lists(first, first, second)
    story.tell("logout", 204, token=second)
    story.says(False, second)
    story.lists(first, first)
    assert found() == []


def test_yes_after_the_acknowledged_end(story, found):
    first = story.registers()
    story.tell("logout", 204, token=first)
    story.says(True, first)
    assert found() == ["resurrected"]


def test_yes_while_the_end_is_under_way_may_be(story, found):
    first = story.registers()
    story.tell("logout", 204, token=first, at=10, took=1)
    story.says(False, first, at=10.2, took=0.5)
    story.says(True, first, at=10.3, took=0.5)
    assert found() == []


def test_yes_after_a_no_though_nobody_knows_whether_it_was_ended(story, found):
    first = story.registers()
    story.tell("logout", 503, token=first)
    story.says(False, first)
    story.says(True, first)
    assert found() == ["resurrected"]


def test_no_to_a_session_that_nobody_ended(story, found):
    """Its login is lost; where it is live afterwards, the answer was wrong, and the yes after it as well."""
    first = story.registers()
    story.says(False, first)
    assert found() == ["lost"]
    story.says(True, first)
    assert found() == ["resurrected", "wrong"]


def test_no_before_its_end_was_sent(story, found):
    first, second = story.registers(), story.logs_in()
    story.says(False, second)
    story.tell("end_others", 200, {"message": ""}, token=first)
    assert found() == ["lost"]


def test_an_end_of_unknown_outcome_may_come_late(story, found):
    first = story.registers()
    story.tell("logout", 503, token=first)
    story.says(True, first)
    story.says(False, first)
    assert found() == []


def test_but_not_for_ever(story, found):
    """Who is live when nothing is under way any more was not ended."""
    first = story.registers()
    story.tell("logout", 503, token=first)
    story.pass_by(LATE_S)
    story.says(True, first)
    story.says(False, first)
    assert found() == ["lost"]


def test_an_end_that_was_not_sent_did_not_happen(story, found):
    first = story.registers()
    story.tell("logout", 0, token=first)
    object.__setattr__(story.operations[-1], "problem", "refused")
    story.says(False, first)
    assert found() == ["lost"]


@pytest.mark.parametrize("op", ["end_others", "change_password"])
def test_all_others_end(story, found, op):
    first, second = story.registers(), story.logs_in()
    story.tell(op, 200, {"message": ""}, token=first)
    story.says(False, second)
    assert found() == []
    story.says(True, second)
    assert found() == ["resurrected"]


def test_the_one_that_ends_all_others_lives_on(story, found):
    first = story.registers()
    story.tell("end_others", 200, {"message": ""}, token=first)
    story.says(False, first)
    assert found() == ["lost"]


@pytest.mark.parametrize(("seconds", "kinds"), [(0, []), (LATE_S, ["lost"])])
def test_an_end_of_all_others_that_comes_late_ends_whoever_came_meanwhile(story, found, seconds, kinds):
    first = story.registers()
    story.tell("end_others", 503, token=first)
    story.pass_by(seconds)
    second = story.logs_in()
    story.says(False, second)
    assert found() == kinds


@pytest.mark.parametrize("op", ["change_password", "enable_totp", "disable_totp"])
def test_a_session_goes_on_under_another_token(story, found, op):
    first = story.registers()
    second = story.logs_in()
    story.tell(op, 200, {"token": second}, token=first)
    story.says(False, first)
    story.says(True, second)
    assert found() == []
    story.says(True, first)
    assert found() == ["resurrected"]


def test_those_that_are_named_end(story, found):
    first, second, third = story.registers(), story.logs_in(), story.logs_in()
    story.tell("end", 204, token=first, proof="proof", session_id_hashes=[id_hash(second)])
    story.says(False, second)
    story.says(True, third)
    assert found() == []
    story.lists(first, first, second, third)
    assert found() == ["resurrected"]


def test_a_challenge_ends_nothing(story, found):
    first = story.registers()
    story.is_challenged(first)
    story.says(True, first)
    assert found() == []


def test_a_list_that_leaves_one_out(story, found):
    first, second = story.registers(), story.logs_in()
    story.lists(first, first)
    story.says(False, second)
    assert found() == ["lost"]


def test_a_list_with_a_session_that_nobody_opened(story, found):
    """It may be that of a login without an answer."""
    first = story.registers()
    story.lists(first, first, "another")
    assert found() == ["wrong"]
    story.operations.pop()
    story.tell("login", 503)
    story.lists(first, first, "another")
    assert found() == []


def test_introspection_tells_as_well(story, found):
    first = story.registers()
    story.tell("introspect", 200, {"active": False}, token=first)
    story.tell("introspect", 200, {"active": True}, token=first)
    assert found() == ["resurrected", "wrong"]


def test_named_and_unknown(story, found):
    """404 says of each that was named that it is none."""
    first, second = story.registers(), story.logs_in()
    story.is_refused("end", 10020, 404, token=first, proof="proof", session_id_hashes=[id_hash(second)])
    assert found() == ["lost"]
