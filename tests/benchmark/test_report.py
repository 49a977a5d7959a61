"""The benchmark writes a section between its marks and nowhere else, and says which figures are reached."""

import json

import pytest

from scripts.benchmark import report
from scripts.benchmark.load import Request, Run, Series, in_turn
from scripts.benchmark.peers import read_peers
from scripts.benchmark.report import Goal, Section, begin_of

PAGE = f"before\n\n{begin_of('memory')}\n\nold\n\n<!-- to here -->\n\n{begin_of('sizes')}\n\nkept\n\n<!-- to here -->\n"


@pytest.fixture
def page(tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    return page


def test_a_section_stands_between_its_marks_alone(page):
    section = Section("memory", "How.", ("what", "bytes"), [("a session", "300")], [Goal("bytes", 300, at_most=400)])
    section.write()
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", section.text())
    section.write()
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", section.text())


def test_a_section_without_a_place_is_refused(page):
    with pytest.raises(SystemExit, match="crowd"):
        Section("crowd", "How.", ("what",)).write()
    assert page.read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize(
    ("goal", "row"),
    [
        (Goal("ratio", 5, at_least=5), ("ratio", "5 or more", "5.00", "yes")),
        (Goal("ratio", 4.99, at_least=5), ("ratio", "5 or more", "4.99", "**no**")),
        (Goal("bytes", 400, at_most=400, digits=0), ("bytes", "400 or less", "400", "yes")),
        (Goal("bytes", 401, at_most=400, digits=0), ("bytes", "400 or less", "401", "**no**")),
    ],
)
def test_a_goal_is_reached_at_its_bound(goal, row):
    assert goal.row() == row


def test_a_figure_is_the_median_of_its_runs():
    runs = Series([Run(100, 2, 1.0, 9.0, 20.0), Run(300, 2, 3.0, 7.0, 10.0), Run(200, 2, 2.0, 8.0, 60.0)])
    assert (runs.per_second, runs.p50_ms, runs.p99_ms, runs.cpu_us) == (100, 2.0, 8.0, 20.0)


def test_a_request_has_the_length_of_its_body_and_ends_with_it():
    raw = Request("POST", "/auth/logout", "a token", "a proof", '{"a": 1}').raw()
    assert raw.startswith(b"POST /auth/logout HTTP/1.1\r\nHost: ")
    assert raw.endswith(b'\r\nContent-Length: 8\r\n\r\n{"a": 1}')
    assert b"\r\nAuthorization: a token\r\n" in raw
    assert b"\r\nX-Discord-MFA-Authorization: a proof\r\n" in raw
    assert b"Content" not in Request("GET", "/gateway/verify", "a token").raw()


def test_peers_are_compared_by_the_medians_of_their_rounds(tmp_path):
    def measured(per_second):
        return {asked: {"rps": per_second, "cpu_ms": 1} for asked in ("verify", "list", "revoke", "login")}

    rounds = [{"keyrack": measured(10 * rate), "better-auth": measured(rate)} for rate in (1, 3, 2)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rounds), encoding="utf-8")
    section, charts = read_peers(path)
    assert [goal.reached for goal in section.goals] == [10, 10, 10]
    assert [[bar.per_second for bar in chart.bars] for chart in charts] == [[20, 2]] * 3


def test_each_target_is_the_first_in_its_turn():
    orders = [[name for name, _ in in_turn({"a": 1, "b": 2, "c": 3}, number)] for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
