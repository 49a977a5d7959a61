"""The judge finds what a request did that was refused by 503, in a row where such a request does nothing."""

import pytest

from scripts.faults.judge import judge
from tests.faults.stories import Story, token


class Content:
    """Judges no answer by itself."""

    def judge(self, _):
        return []


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def kinds(story):
    return lambda *, refuses_whole: [
        finding.kind for finding in judge(story.operations, Content(), refuses_whole=refuses_whole)
    ]


def test_a_session_that_a_refused_login_left(story, kinds):
    first = story.registers()
    story.tell("login", 503, password="the first one")
    story.lists(first, first, token())
    assert kinds(refuses_whole=True) == ["half done"]
    assert kinds(refuses_whole=False) == []


def test_a_session_that_a_refused_request_ended(story, kinds):
    first, second = story.registers(), story.logs_in()
    story.tell("end_others", 503, token=first)
    story.says(False, second)
    assert kinds(refuses_whole=True) == ["half done"]
    assert kinds(refuses_whole=False) == []


def test_what_is_found_anyway_is_found_once(story, kinds):
    first = story.registers()
    story.says(False, first)
    assert kinds(refuses_whole=True) == ["lost"]


def test_refusals_that_did_nothing(story, kinds):
    first, second = story.registers(), story.logs_in()
    story.tell("logout", 503, token=second)
    story.tell("login", 503, password="the first one")
    story.lists(first, first, second)
    story.says(True, second)
    assert kinds(refuses_whole=True) == []
