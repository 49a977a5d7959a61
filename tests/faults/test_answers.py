"""The judge of single answers, the journal that they come from, and the time until the service is back."""

from math import inf

import pytest

from app.tokens import id_hash
from scripts.faults.answers import ANSWER_WITHIN_S, AnswerJudge, Outage
from scripts.faults.journal import Journal, Operation, read_all
from scripts.faults.judge import Fault, seconds_until_back
from scripts.faults.runner import document
from tests.faults.stories import EMAIL, USER, token

UNAVAILABLE = '{"code":0,"message":"503: Service Unavailable"}'
STANDARD = {"Cache-Control": "no-store", "X-Request-Id": "a"}
JSON = STANDARD | {"Content-Type": "application/json"}
TOKEN = token()
IDENTITY = STANDARD | {"X-Auth-User-Id": USER, "X-Auth-Session-Id-Hash": id_hash(TOKEN)}


@pytest.fixture(scope="module")
def judge():
    return AnswerJudge(document(), [Outage(100, 110)])


def verify(status=200, headers=IDENTITY, answer="", **more):
    fields = {"id": "1", "op": "verify", "account": EMAIL, "method": "GET", "path": "/gateway/verify", "token": TOKEN}
    fields |= {"sent_at": 1.0, "answered_at": 1.1, "status": status, "headers": headers, "answer": answer}
    return Operation(**fields | more)


def lists(status, answer, headers=JSON):
    return verify(status, headers, answer, op="list", path="/api/v9/auth/sessions")


def made_at(sent_at, op="verify", status=200, problem=""):
    return verify(status, op=op, problem=problem, sent_at=sent_at, answered_at=sent_at + 0.1)


@pytest.mark.parametrize(
    "operation",
    [
        verify(),
        verify(401, JSON | {"WWW-Authenticate": "Bearer"}, '{"code":0,"message":"401: Unauthorized"}'),
        verify(503, JSON | {"Retry-After": "1"}, UNAVAILABLE),
        verify(0, problem="ProtocolError", sent_at=99, answered_at=101),
        verify(0, problem="refused", sent_at=105, answered_at=105),
        lists(200, '{"user_sessions": []}'),
    ],
)
def test_answers_of_the_contract(judge, operation):
    assert judge.judge(operation) == []


@pytest.mark.parametrize(
    "operation",
    [
        verify(503, JSON, UNAVAILABLE),
        verify(500, JSON, '{"code":0,"message":"500: Internal Server Error"}'),
        verify(403, JSON, '{"code":0,"message":"403: Forbidden"}'),
        verify(headers=IDENTITY | {"X-Auth-User-Id": "1001"}),
        verify(headers=IDENTITY | {"X-Auth-Session-Id-Hash": id_hash(token())}),
        verify(answered_at=1.1 + ANSWER_WITHIN_S),
        verify(0, problem="ProtocolError"),
        verify(0, problem="ReadTimeoutError", sent_at=80, answered_at=95),
        verify(0, problem="refused", sent_at=111, answered_at=111),
        verify(0, answered_at=inf, sent_at=111),
        lists(200, '{"sessions": []}'),
        lists(200, "not JSON"),
        lists(404, '{"code":10020,"message":"Unknown Session"}'),
        verify(
            200, JSON, '{"active": true, "sub": "1001"}', op="introspect", method="POST", path="/gateway/introspect"
        ),
    ],
)
def test_answers_that_are_wrong(judge, operation):
    assert {finding.kind for finding in judge.judge(operation)} == {"wrong"}


def test_a_journal_is_read_as_it_was_written(tmp_path):
    """What has no second line has no answer, for ever."""
    journal = Journal(tmp_path / "0.journal")
    request = {"op": "logout", "account": EMAIL, "method": "POST", "path": "/", "token": TOKEN}
    first = journal.note(journal.intend(**request), status=503, headers={"Retry-After": "1"}, answer=UNAVAILABLE)
    journal.intend(**request)
    journal.close()
    read, unanswered = read_all(tmp_path)
    assert read == first
    assert (read.code, read.header("retry-after"), read.is_unknown) == (0, "1", True)
    assert (unanswered.answered_at, unanswered.status, unanswered.is_unknown) == (inf, 0, True)


def test_back_is_when_both_writes_and_checks_succeed_and_go_on_to():
    operations = [
        made_at(0.5),
        made_at(1.0, status=503),
        made_at(1.5),
        made_at(1.5, op="login", status=503),
        made_at(2.0, status=503),
        made_at(2.5),
        made_at(3.0, op="login"),
        made_at(9.0, status=503),
        made_at(9.5),
        made_at(9.5, op="logout", status=0, problem="refused"),
    ]
    assert seconds_until_back(operations, [Fault(1.0)]) == [pytest.approx(2.1)]
    assert seconds_until_back(operations, [Fault(1.0), Fault(8.5)]) == [pytest.approx(2.1), inf]
