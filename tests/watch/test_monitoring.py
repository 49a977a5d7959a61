"""What operators are given to watch names what there is: rules, dashboard and page against metrics, events, fields."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.stores.connection.refusals import KINDS
from app.watch import audit, metrics

PAGE = Path("docs/monitoring.md").read_text(encoding="utf-8")
ALERTS = Path("docs/operations/alerts.yaml")
DASHBOARD = Path("docs/operations/dashboard.json")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


def families():
    return [family for family in text_string_to_metric_families(metrics.render().decode()) if family.type in SUFFIXES]


def ours():
    """Name and labels of each metric; the library adds _created to those that it keeps in one process."""
    return [family for family in families() if not family.name.endswith("_created")]


def names():
    return {family.name + suffix for family in ours() for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("path", [ALERTS, DASHBOARD])
def test_rules_and_dashboard_use_metrics_that_exist(path):
    used = set(re.findall(r"\bkeyrack_\w+", path.read_text(encoding="utf-8")))
    assert len(used) >= 8
    assert used - names() == set()


def test_the_dashboard_shows_every_metric():
    expressions = " ".join(
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])
    )
    assert [family.name for family in ours() if family.name not in expressions] == []


def test_what_they_select_are_labels_and_values_that_exist():
    """A rule on a label's value that is never told would never fire."""
    told = {(name, value) for family in ours() for sample in family.samples for name, value in sample.labels.items()}
    told |= {("status", "500"), ("route", "/gateway/verify"), ("job", "keyrack"), ("role", "master")}
    text = ALERTS.read_text(encoding="utf-8")
    selected = re.findall(r'(\w+)=~?"([^"]+)"', text)
    assert len(selected) > 5
    assert {(name, value) for name, values in selected for value in values.split("|")} - told == set()


def test_every_refusal_that_has_a_cause_has_a_rule():
    """The rest, away, late and refused, is in the rule on all kinds together."""
    ruled = {
        kind
        for kinds in re.findall(r'kind=~?"([^"]+)"', ALERTS.read_text(encoding="utf-8"))
        for kind in kinds.split("|")
    }
    assert ruled == {*KINDS, "unconfirmed"} - {"away", "late", "refused"}
    [row] = re.findall(r"^\| `keyrack_redis_errors_total`.*", PAGE, re.MULTILINE)
    assert {*KINDS, "unconfirmed"} <= set(re.findall(r"`(\w+)`", row))


def test_the_page_has_every_metric():
    rows = set(re.findall(r"^\| `(keyrack_\w+)`", PAGE, re.MULTILINE))
    assert rows == {family.name + ("_total" if family.type == "counter" else "") for family in ours()}


def test_the_page_has_every_reason_for_which_a_lease_is_lost():
    source = "".join(path.read_text(encoding="utf-8") for path in Path("app/stores/leases").glob("*.py"))
    given = re.findall(r'(?:lose|_stop_holding|_forget_all)\((".*?")[,)]', source)
    [row] = re.findall(r"^\| `keyrack_leases_lost_total`.*", PAGE, re.MULTILINE)
    assert len(given) > 5
    told = set(re.findall(r"`(\w+)`", row)) - {"keyrack_leases_lost_total", "reason"}
    assert told == set(re.findall(r'"(\w+)"', " ".join(given)))


def test_the_page_has_every_event():
    source = Path(audit.__file__).read_text(encoding="utf-8")
    events = set(re.findall(r'_write(?:_line)?\("(\w+)"', source)) | {
        f"account_{act}" for act in audit.AccountAct.__args__
    }
    section = PAGE[PAGE.index("## Audit") :]
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == events
    for reason in audit.WhyNot.__args__ + audit.How.__args__:
        assert f"`{reason}`" in section
