"""`flask events`: how receivers are, what waits and what was given up, and how it is sent again."""

import json
import re
import threading

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.stores.job_records import Settled
from app.web.services import EXTENSION
from tests.cli.conftest import Ran
from tests.receivers.conftest import KEYS, WHSEC, Receiver, says


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def app(make_app, receiver):
    urls = f"{receiver.url},http://127.0.0.1:9/away"
    return make_app(WEBHOOK_URLS=urls, WEBHOOK_SECRETS=WHSEC[0], METRICS_SECRET="metrics")


@pytest.fixture
def deliverings(app):
    return app.extensions[EXTENSION].deliverings


@pytest.fixture
def alice(client_of, app):
    """Has registered, which is two events."""
    return client_of(app)


@pytest.fixture
def client_of():
    def make(app):
        form = {"email": "alice@example.com", "username": "alice", "password": "correct horse battery"}
        answer = app.test_client().post("/api/v9/auth/register", json=form)
        assert answer.status_code in (200, 201), answer.json
        return answer.json

    return make


def deliver(deliverings):
    for one in deliverings:
        one.make_worker().deliver_due(threading.Event())


def give_up(delivering, failure):
    while jobs := delivering.queue.turn("a", [], 9, 30):
        delivering.queue.turn("a", [Settled(job, "dead", failure=failure) for job in jobs], 0, 30)


@pytest.mark.usefixtures("alice")
class TestEvents:
    def test_what_waits_is_listed_with_its_text(self, run, deliverings):
        listed = run("events", "list", deliverings[0].receiver.id, "--json").json
        assert [json.loads(row["event"])["type"] for row in listed] == ["user.created", "AUTH_SESSION_CREATE"]
        [first, _] = listed
        assert first.keys() == {"receiver", "entry", "at", "event"}
        assert len(run("events", "list", "--json").json) == 4
        user_id = json.loads(first["event"])["user_id"]
        assert len(run("events", "list", "--json", "--user", user_id, "--limit", "1").json) == 2
        none = run("events", "list", "--user", "1")
        assert (none.exit_code, none.err) == (1, "Error: No event waits.\n")

    def test_the_status_says_who_is_well_and_why_another_is_not(self, run, deliverings, receiver):
        silent = run("events", "status", "--json")
        assert silent.exit_code == 1
        assert [row["trouble"] for row in silent.json] == ["nobody delivers"] * 3
        deliver(deliverings)
        mails, there, away = run("events", "status", "--json").json
        assert (mails["receiver"], mails["url"], mails["trouble"]) == ("mail", None, "nobody delivers")
        assert (there["waiting"], there["delivered"], there["trouble"]) == (0, 2, None)
        assert (away["waiting"], away["delivered"]) == (2, 0)
        assert away["trouble"].endswith(": no connection")
        told = run("events", "status").out
        assert deliverings[0].receiver.id in told
        assert "from=keyrack" not in told  # a query may be a secret
        receiver.answers = [says(410)]
        deliverings[0].queue.put(b'{"id":"evt_1","type":"test","at":"2025-12-01T00:00:00+00:00"}', "7")
        deliver(deliverings)
        off = run("events", "status", "--json").json[1]["trouble"]
        assert off.startswith("switched off since ")
        assert off.endswith("status 410, it wants nothing any more")

    def test_the_doctor_says_who_does_not_get_what(self, run, deliverings, receiver, clock):
        def told():
            found = {row["check"]: row for row in run("doctor", "--json").json}
            return [(found[one.receiver.id]["level"], found[one.receiver.id]["said"]) for one in deliverings]

        assert told()[0] == ("fail", "Nobody delivers; 2 events wait.")
        deliver(deliverings)  # its throw-away user is told of, too
        there, away = told()
        assert there == ("ok", "Somebody delivers; 0 events wait.")
        assert (away[0], away[1].startswith("Away since ")) == ("fail", True)
        assert re.search(r": no connection; [0-9]+ events wait\.$", away[1])
        deliverings[0].queue.put(b"{}", "7")
        deliver(deliverings)
        assert told()[0] == ("warn", "1 event was given up.")
        clock.advance(120)
        for level, said in told():  # who does not deliver does not know whether the other is still away
            assert (level, said.startswith("Nobody delivers since ")) == ("fail", True)

    def test_the_metrics_have_each_queue(self, app, deliverings, clock):
        deliver(deliverings)
        clock.advance(5)
        answer = app.test_client().get("/metrics", headers={"Authorization": "Bearer metrics"})
        figures = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith("keyrack_queue_"))
        there, away = (f'{{queue="{one.receiver.id}"}}' for one in deliverings)
        assert (figures[f"keyrack_queue_waiting{there}"], figures[f"keyrack_queue_waiting{away}"]) == ("0.0", "2.0")
        assert figures[f"keyrack_queue_delivered{there}"] == "2.0"
        assert figures[f"keyrack_queue_receiver_away{away}"] == "1.0"
        assert 5 <= float(figures[f"keyrack_queue_silent_seconds{there}"]) < 6
        assert float(figures[f"keyrack_queue_oldest_age_seconds{away}"]) >= 0
        assert float(figures[f"keyrack_queue_failed_attempts{away}"]) >= 1

    def test_what_was_given_up_is_told_and_can_be_sent_again(self, run, deliverings, receiver):
        one = deliverings[0]
        give_up(one, "status 400, invalid_audience")
        rows = run("events", "dead", one.receiver.id, "--json").json
        assert [(row["attempts"], row["failure"]) for row in rows] == [(1, "status 400, invalid_audience")] * 2
        assert "invalid_audience" in run("events", "dead", one.receiver.url).out
        again = run("events", "retry", one.receiver.id, rows[1]["entry"])
        assert again.out == f"{one.receiver.id}  1 event queued again\n"
        [line] = again.audit
        assert (line["act"], line["receiver"], line["events"]) == ("retry-events", one.receiver.id, 1)
        none = run("events", "retry", one.receiver.id, rows[1]["entry"])
        assert (none.exit_code, none.err) == (1, "Error: No such event was given up.\n")
        for entry in ("evt_1", "-", "0-0-0", "9" * 30, f"{2**64}-0"):
            wrong = run("events", "retry", one.receiver.id, "--", entry)
            assert (wrong.exit_code, f"{entry!r} is no id of an entry" in wrong.err) == (2, True)
        assert run("events", "retry", one.receiver.id).out == f"{one.receiver.id}  1 event queued again\n"
        assert run("events", "dead").exit_code == 1
        deliver(deliverings)
        assert len(receiver.got) == 2

    def test_a_receiver_that_was_switched_off_is_switched_on_by_a_retry(self, run, deliverings, receiver):
        deliverings[0].queue.switch_off("status 410")
        deliver(deliverings)
        assert receiver.got == []
        run("events", "retry", deliverings[0].receiver.id)
        deliver(deliverings)
        assert len(receiver.got) == 2

    def test_a_test_event_goes_past_the_queue(self, run, receiver, deliverings):
        ran = run("events", "send-test", receiver.url)
        [(_, headers, body)] = receiver.got
        assert json.loads(body)["type"] == "test"
        assert (ran.exit_code, ran.out) == (
            0,
            f"{deliverings[0].receiver.id}  took {headers['webhook-id']}, status 204\n",
        )
        receiver.answers = [says(500, "no\x1b[2J\n such\u202e hook".encode() + b"!" * 900)]
        refused = run("events", "send-test", deliverings[0].receiver.id)
        assert refused.out.startswith(f"{deliverings[0].receiver.id}  answered: no [2J such hook!!!")
        assert refused.out.endswith("!!! …\n")
        assert len(refused.out) < 600
        assert refused.err == f"Error: {deliverings[0].receiver.id} did not take it: status 500.\n"
        unknown = run("events", "send-test", "https://other.example.com/")
        assert (unknown.exit_code, unknown.err) == (1, "Error: No receiver of the settings has this id or URL.\n")

    def test_the_queue_of_a_receiver_that_is_gone_is_told_of_and_can_be_deleted(
        self, run, make_app, deliverings, redis
    ):
        deliver(deliverings)
        there, away = deliverings
        refused = run("events", "forget", away.receiver.id, "--yes")
        assert refused.err.startswith("Error: The settings name this receiver")
        later = make_app(SMTP_URL="").test_cli_runner()
        told = Ran(later.invoke(args=["events", "status", "--json"]))
        assert told.exit_code == 1
        assert {row["receiver"]: (row["url"], row["waiting"], row["trouble"]) for row in told.json} == {
            there.receiver.id: (there.receiver.place, 0, "no setting names it any more"),
            away.receiver.id: (away.receiver.place, 2, "no setting names it any more"),
        }
        found = {row["check"]: row for row in Ran(later.invoke(args=["doctor", "--json"])).json}[away.receiver.id]
        assert found["level"] == "warn"
        assert found["said"] == f"Receiver {away.receiver.place}: no setting names it any more; 2 events wait."
        ended = Ran(later.invoke(args=["events", "forget", away.receiver.id, "--yes"]))
        assert (ended.exit_code, ended.out) == (0, "Done.\n")
        [line] = ended.audit
        assert (line["act"], line["receiver"], line["events"]) == ("forget-events", away.receiver.id, 2)
        assert not redis.exists(away.queue.queue.keys.waiting)
        again = Ran(later.invoke(args=["events", "forget", away.receiver.id, "--yes"]))
        assert (again.exit_code, again.err) == (1, "Error: There is no such queue.\n")
        told = Ran(later.invoke(args=["events", "status", "--json"]))
        assert (told.exit_code, [row["receiver"] for row in told.json]) == (0, [there.receiver.id])


@pytest.mark.parametrize("redis", ["fake"], indirect=True)
def test_without_a_receiver_it_says_what_to_set(make_app):
    ended = Ran(make_app().test_cli_runner().invoke(args=["events", "status"]))
    assert ended.exit_code == 1
    for name in ("WEBHOOK_URLS", "BACKCHANNEL_LOGOUT_URLS", "SSF_PUSH_URLS"):
        assert name in ended.err


def test_the_doctor_says_that_a_new_key_does_not_sign_because_nobody_publishes_it(make_app, tmp_path):
    """As where deliver-events was started again with it, and the service was not."""
    path = tmp_path / "signing.pem"
    path.write_bytes(KEYS[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    app = make_app(SIGNING_KEYS=str(path), SSF_PUSH_URLS="http://127.0.0.1:9/away")

    def told():
        ran = Ran(app.test_cli_runner().invoke(args=["doctor", "--json"]))
        return {row["check"]: row["level"] for row in ran.json}["signing keys"]

    assert told() == "warn"
    app.extensions[EXTENSION].signing.note_published()
    assert told() == "ok"
