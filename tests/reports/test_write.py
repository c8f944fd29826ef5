"""The page: valid, self-contained, whole, with the numbers of the plan, whatever labels and plans there are."""

import hashlib
import json
import re
import sys
import warnings

import html5lib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.reports.content import _collect, report_content
from bayesmdp.reports.kept_plan import read_plan
from bayesmdp.reports.numbers import percent, short
from bayesmdp.reports.write import SECTIONS, sha256_of, write_report
from tests.command_line import call, told_in_one_line
from tests.offline.test_over_today import arms
from tests.offline.test_plan_log import CORRIDOR, MIXED

HOSTILE = [
    "<script>alert('state')</script>",
    "x" * 200,
    '\u202eétats &amp; "q" $x$',
    " ",
    "{{ 7 * 7 }}",
    "a\nb",
    "日本",
]
ACTIONS = ["</td><b onclick=alert(1)>go</b>", "y" * 200]


def hostile_log(episodes: int = 40) -> pd.DataFrame:
    """Round and round through states whose names do harm where they are not escaped, and one never acted in."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(episodes):
        state = 0
        for step in range(5):
            action = int(rng.integers(2))
            after = (state + 1 + action * int(rng.integers(2))) % (len(HOSTILE) - 1)
            rows.append((HOSTILE[state], ACTIONS[action], rng.normal(action), HOSTILE[after], step == 4))
            state = after
    return pd.DataFrame(rows, columns=["state", "action", "reward", "next_state", "truncated"])


@pytest.fixture(scope="module")
def hostile():
    log = read_log(hostile_log(), states=HOSTILE, actions=ACTIONS)
    return plan_log(log, discount=0.9, draws=40)


@pytest.fixture(scope="module")
def page(hostile, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(hostile, path, command="bayesmdp plan '<log>.csv'", date="2026-11-28", sha256="ab" * 32)
    return path.read_text("utf-8")


def parsed(text: str):
    """The document, of which any error of the HTML is one of the test."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def check_page(text: str) -> None:
    """What holds of every page."""
    document = parsed(text)
    assert [heading.text for heading in document.iter("h2")] == list(SECTIONS.values())
    assert [section.get("id") for section in document.iter("section")] == list(SECTIONS)
    # Nothing is loaded, and nothing runs.
    tags = {element.tag for element in document.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
    ids = []
    for element in document.iter():
        for name, value in element.attrib.items():
            name = name[1] if isinstance(name, tuple) else str(name)
            assert not name.lower().startswith("on"), (element.tag, name)
            if name.rpartition("}")[2] in ("href", "src", "srcset", "data", "action"):
                assert value.startswith("#"), value
            if name == "id":
                ids.append(value)
    assert len(ids) == len(set(ids))
    assert not re.search(r"@import|url\((?!#)|https?:", text)
    targets = set(re.findall(r"(?:href=\"|url\()#([^\")]+)", text))
    assert targets <= set(ids)
    for table in document.iter("table"):
        assert [child.tag for child in table].index("thead") == len(list(table.iter("caption")))
        assert not list(table.iter("caption")) or table[0].tag == "caption"
    # No number that is none, and nothing that was not filled in.
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|Undefined|\{\{ c\.", words_of(document.find("body")))


def test_the_page_is_valid_and_loads_nothing(page):
    check_page(page)


def test_labels_survive_and_do_no_harm(page):
    document = parsed(page)
    told = words_of(document.find("body"))
    for label in ("<script>alert('state')</script>", "x" * 200, "y" * 200, "</td><b onclick=alert(1)>go</b>", "日本"):
        assert label in told
    assert '\\u202eétats &amp; "q" $x$' in told and "(1 blank)" in told and "{{ 7 * 7 }}" in told and "a\\nb" in told
    assert "\u202e" not in page
    assert not list(document.iter("b"))


def test_numbers_are_those_of_the_plan(hostile, page):
    document, attrs, policy = parsed(page), hostile.tree.attrs, hostile.policy
    lead = words_of(document.find(".//p[@class='lead']"))
    assert f"It earns at least {short(hostile.gain)} more than the policy in the log with probability 0.9." in lead
    told = words_of(document.find("body"))
    assert f"this policy earns at least {short(hostile.bound)}" in told
    assert f"the number as first computed held in {attrs['checked_kept']}" in told
    table = document.find(".//table[@class='actions']")
    rows = list(table.find("tbody"))
    acted = policy.isel(state=~policy["terminal"].values & (policy["tried"] > 0).values)
    shown = acted  # in the order of the states, as all of them fit
    assert len(rows) == shown.sizes["state"] == len(HOSTILE) - 1
    for position, row in enumerate(rows):
        cells, own = [words_of(cell) for cell in row], shown.isel(state=position)
        assert f"{int(own['visits']):,} visits" in cells[0]
        assert cells[1].startswith(str(own["action"].values))
        assert f"Tried {int(own['tried']):,} times here" in cells[2]
        worth = [short(float(own[f"worth_{end}"])) for end in ("quantile", "lower", "upper")]
        assert cells[4] == f"{worth[0]} {worth[1]} to {worth[2]}".replace(" ", " ")
    content = report_content(hostile)
    most = {entry["state"]: entry["reason"]["today_action"] for entry in content["policy"]}
    others = [entry for entry in content["policy"] if str(entry["action"]) != str(most[entry["state"]])]
    assert (
        f"In {len(others)} of {len(most)} states the plan takes a different action from the most common one" in told
        if others
        else "always takes the action that is most common there today" in told
    )
    changed = [row for row in content["sensitivity"]["changes"] if row["changed"]]
    assert all(len(row["states"]) == min(row["changed"], 5) for row in changed)
    rows_told = f"{hostile.log['rows']:,} read, {hostile.log['rows']:,} used, 0 left out"
    assert rows_told in told and f"{hostile.log['episodes']}; 0 rows end an episode" in told
    assert "In 1 state no action was ever tried (日本)" in told
    assert "bayesmdp plan '<log>.csv'" in told and "ab" * 32 in told and "2026-11-28" in told
    for check in hostile.tree["log_checks"]["found"].values.tolist():
        assert check.removeprefix("not tested: ") in told


def test_the_same_plan_gives_the_same_bytes(hostile, page, tmp_path):
    path = tmp_path / "again.html"
    write_report(hostile, path, command="bayesmdp plan '<log>.csv'", date="2026-11-28", sha256="ab" * 32)
    assert path.read_text("utf-8") == page
    write_report(hostile, path)  # a report may be written anew
    assert "2026-11-28" not in path.read_text("utf-8")


def test_the_content_is_json_with_what_the_page_tells(hostile, tmp_path):
    path = tmp_path / "report.json"
    write_report(hostile, path)
    content = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    assert content == report_content(hostile)
    assert content["schema"] == {"name": "bayesmdp-report", "version": 1}
    assert content["recommendation"]["gain_bound"] == hostile.gain
    assert content["policy"][0]["state"] == HOSTILE[0]
    gain = hostile.tree["at_start"]["value"] - hostile.tree["at_start"]["today"]
    assert content["recommendation"]["gain"]["mean"] == pytest.approx(float(gain.mean()), rel=1e-12)
    tries = sum(entry["visits"] for entry in content["policy"])
    assert tries == content["log"]["rows"]["used"] == hostile.log["rows"]
    for entry in content["policy"]:
        told = sum(each["times"] for each in entry["followed"])
        assert told == entry["tried"] or entry["followed_more"]


UNORDERED = MIXED
ONE_WAY = CORRIDOR.assign(truncated=[False, False, True] * 6)
SHOP = {"policy": "uniform", "steps": 600, "seed": 0}


def river():
    return bm.collect(bm.environments.riverswim(4), policy="uniform", steps=2_000, seed=0)


def shop():
    return bm.collect(bm.environments.inventory(4), **SHOP)


@pytest.mark.parametrize(
    ("log", "options", "told"),
    [
        (river, {"horizon": 6}, ["The plan is for 6 steps", "Not available: the plan may change from step to step"]),
        pytest.param(
            shop,
            {"discount": 0.9, "aim": "gain", "risk": "mean"},
            ["Do not rely on the plan below yet: its numbers were not checked"],
            marks=pytest.mark.slow,
        ),
        (
            lambda: arms(
                {"old": [1.0] * 10 + [0.0] * 20, "new": [1.0] * 4 + [0.0] * 3, "newer": [1.0] * 3 + [0.0] * 2}
            ),
            {"discount": 0.5, "elsewhere": "none", "aim": "gain", "draws": 60},
            ["Change nothing: the plan is to follow", "old in 71% of cases, otherwise new ("],
        ),
        (
            shop,
            {"discount": 0.9, "baseline": "none", "risk": "mean"},
            [
                "It was not compared with today's policy",
                "Do not rely on the plan below yet: its numbers were not checked on simulated logs like yours (the",
            ],
        ),
        (
            lambda: read_log(UNORDERED, gaps="allow"),
            {"discount": 0.5},
            ["the log does not show where episodes start", "No other action was tried here"],
        ),
        (lambda: read_log(ONE_WAY), {"discount": 0.5, "elsewhere": "none"}, ["Change nothing: the plan"]),
        (
            lambda: read_log(CORRIDOR, gaps="allow", states=["a", "b", "c", "d"]),
            {"discount": 0.5, "initial": "a"},
            ["In 1 state no action was ever tried (d)"],
        ),
    ],
    ids=["horizon", "gain", "mixed", "no baseline", "no start", "as today", "never acted"],
)
def test_every_kind_of_plan_has_a_page(log, options, told, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        report = plan_log(log(), **({"draws": 20, "calibration": 0} | options))
    path = tmp_path / "report.html"
    write_report(report, path)
    text = path.read_text("utf-8")
    check_page(text)
    words = words_of(parsed(text).find("body"))
    for each in told:
        assert each in words


def test_a_log_that_paid_nothing_tells_no_action_from_another(tmp_path):
    log = bm.collect(bm.environments.frozen_lake(), steps=300, seed=0)
    assert not log["reward"].any()
    report = plan_log(log, discount=0.9, draws=20, calibration=3)
    content = report_content(report)
    told = content["recommendation"]
    # Not "Change nothing": the plan does something else, which is worth the same.
    assert report.tree.attrs["initial_unchanged"] == 0 and report.gain == 0
    assert any(entry["today"] < 0.5 for entry in content["policy"])
    assert told["status"] == "no difference" and "it earns the same as the policy in the log" in told["sentence"]
    assert "not shown: in every draw it earns the same" in told["words"]["better"]
    assert told["cautions"][0].startswith("Every row of the log has the same reward, 0.000: the log does not show that")
    write_report(report, tmp_path / "report.html")
    words = words_of(parsed((tmp_path / "report.html").read_text("utf-8")).find("body"))
    assert "It earns the same as “" in words and "Too close to call" not in words and "Change nothing" not in words
    assert "is enough to choose" not in words


@pytest.mark.parametrize(("paid", "same"), [(np.random.default_rng(0).normal(size=30), False), (np.ones(5), True)])
def test_rewards_that_are_drawn_are_said_to_be_the_same_where_the_log_paid_the_same(paid, same):
    rows = [("s", "a", reward, "s", False, False) for reward in paid]
    frame = pd.DataFrame(rows, columns=["state", "action", "reward", "next_state", "terminated", "truncated"])
    report = plan_log(read_log(frame), discount=0.5, draws=20, calibration=0)
    assert "reward" in report.tree["parameters"]
    cautions = report_content(report)["recommendation"]["cautions"]
    assert any("has the same reward" in caution for caution in cautions) is same


def test_as_frequent_as_any_today_is_not_told_as_another(tmp_path):
    log = bm.collect(bm.environments.riverswim(4), steps=400, seed=0)
    report = plan_log(log, discount=0.9, draws=20, calibration=0, baseline="uniform")
    content = report_content(report)
    assert all(entry["reason"]["today_action"] == entry["action"] for entry in content["policy"])
    assert all(entry["reason"]["today_share"] == entry["today"] == 0.5 for entry in content["policy"])


def test_mixed_actions_are_told_with_their_shares(tmp_path):
    log = arms({"old": [1.0] * 10 + [0.0] * 20, "new": [1.0] * 4 + [0.0] * 3, "newer": [1.0] * 3 + [0.0] * 2})
    report = plan_log(log, discount=0.5, elsewhere="none", aim="gain", draws=60, calibration=0)
    content = report_content(report)
    (entry,) = content["policy"]
    shares = {each["action"]: each["probability"] for each in entry["shares"]}
    probability = report.tree["plan"]["probability"].sel(state=entry["state"])
    assert shares == {action: float(probability.sel(action=action)) for action in shares} and len(shares) == 3
    assert next(iter(shares)) == entry["action"] and sum(shares.values()) == pytest.approx(1)
    assert {each["action"]: each["tried"] for each in entry["shares"]} == {"old": 30, "new": 7, "newer": 5}
    # All that the plan may do is on its way.
    assert [(pair["action"], pair["tried"]) for pair in content["thin"]["pairs"]] == [
        ("newer", 5),
        ("new", 7),
        ("old", 30),
    ]
    assert content["thin"]["pairs_on_path"] == 3
    write_report(report, tmp_path / "report.html")
    words = words_of(parsed((tmp_path / "report.html").read_text("utf-8")).find("body"))
    others = entry["shares"][1:]
    assert f"otherwise {', '.join(f'{each["action"]} ({percent(each["probability"])})' for each in others)}" in words


def test_more_pairs_than_are_listed_are_counted(monkeypatch):
    log = bm.collect(bm.environments.inventory(10), policy="uniform", steps=600, seed=0)
    kept = read_plan(plan_log(log, discount=0.9, draws=10, calibration=0).tree)
    whole = _collect(kept, 10)
    assert whole["helped"] > whole["sure"] == len(whole["pairs"]) > 2
    assert all(pair["gain"] > 2 * pair["error"] for pair in whole["pairs"])
    # Actions are text, as in the other parts of the content, also where their labels are numbers.
    assert {type(pair["action"]) for pair in whole["pairs"]} == {str}
    monkeypatch.setattr("bayesmdp.reports.content.PAIRS", 2)
    few = _collect(kept, 10)
    assert few["sure"] == whole["sure"] and few["pairs"] == whole["pairs"][:2]


def test_long_tables_are_folded_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesmdp.reports.write.SHOWN", 2)
    report = plan_log(read_log(ONE_WAY), discount=0.5, draws=20, calibration=0)
    write_report(report, tmp_path / "report.html")
    document = parsed((tmp_path / "report.html").read_text("utf-8"))
    folded = [each for each in document.iter("details") if "1 more state, visited" in words_of(each)]
    assert len(folded) == 1 and len(list(folded[0].find("table").find("tbody"))) == 1
    assert folded[0].get("class") is None and not document.findall(".//div[@class='paper']")
    # Of more states than are printed as they stand, paper has what to do in each, and says where the rest is.
    monkeypatch.setattr("bayesmdp.reports.write.PRINTED", 0)
    write_report(report, tmp_path / "report.html", tmp_path / "report.json")
    document = parsed((tmp_path / "report.html").read_text("utf-8"))
    (last,) = json.loads((tmp_path / "report.json").read_text("utf-8"))["policy"][2:]
    assert len(document.findall(".//details[@class='screen']/table")) == 1
    (paper,) = document.findall(".//div[@class='paper']")
    assert words_of(paper).startswith("1 more states, visited less often Only what to do in them is printed here")
    assert [words_of(each) for each in paper.iter("li")] == [f"{last['state']}: {last['action']} ({last['visits']})"]


def test_what_is_no_target_is_refused_before_anything_is_computed(tmp_path):
    other = tmp_path / "mine.html"
    other.write_text("<p>something else")
    for path, message in (
        (other, "exists and is not a report"),
        (tmp_path / "report.pdf", "a report is written to NAME.html"),
        (tmp_path / "no" / "report.html", "there is no folder"),
    ):
        with pytest.raises(ValueError, match=message):
            write_report(None, path)  # type: ignore[arg-type]
    assert other.read_text() == "<p>something else"


def test_a_missing_package_is_told_with_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r'jinja2 is not installed; pip install "bayesmdp\[report\]" brings it'):
        write_report(None, tmp_path / "report.html")  # type: ignore[arg-type]


def test_the_digest_of_several_files_is_that_of_their_list(tmp_path):
    """As ``sha256sum`` lists them in their folder; another name, another order or other bytes are another digest."""
    folder = tmp_path / "log"
    (folder / "b").mkdir(parents=True)
    contents = {"a.csv": b"1", "b/a.csv": b"2", "c.csv": b"3"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    listed = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    assert sha256_of(folder) == hashlib.sha256(listed.encode()).hexdigest()
    first, last = listed.splitlines(keepends=True)[::2]
    assert sha256_of(folder / "*.csv") == hashlib.sha256((first + last).encode()).hexdigest()
    assert sha256_of(folder / "c.csv") == hashlib.sha256(b"3").hexdigest()
    assert sha256_of(folder / "none.csv") == ""


def test_the_command_writes_both(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bayesmdp", "plan", "my log.csv"])
    log, page, content = tmp_path / "log.csv", tmp_path / "r.html", tmp_path / "r.json"
    ONE_WAY.to_csv(log, index=False)
    options = ("--discount", "0.5", "--draws", "20", "--no-calibration", "--out", tmp_path)
    out, _ = call("plan", log, *options, "--unit", "<b>euros", "--report", page, "--json", content)
    assert f"report   {page}" in out and f"json     {content}" in out
    assert "<b>euros with probability 0.9 (sum of rewards discounted" in " ".join(out.split())
    check_page(page.read_text("utf-8"))
    assert "&lt;b&gt;euros" in page.read_text("utf-8") and "units of reward" not in page.read_text("utf-8")
    told = json.loads(content.read_text("utf-8"))
    assert told["log"]["sha256"] == hashlib.sha256(log.read_bytes()).hexdigest()
    assert told["made"]["command"] == "bayesmdp plan 'my log.csv'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["made"]["date"])
    assert "must end in .json" in told_in_one_line("plan", log, *options, "--json", page)
    assert "must end in .html" in told_in_one_line("plan", log, *options, "--report", content)
    assert "unit is a word or two" in told_in_one_line("plan", log, *options, "--unit", "euros\n")


@pytest.mark.parametrize(
    "options",
    [pytest.param(("--draws", "60", "--aim", "gain", "--no-calibration"), marks=pytest.mark.slow), ("--draws", "20")],
    ids=["gain", "checked"],
)
def test_the_file_of_a_plan_tells_the_same(options, tmp_path):
    log, page, content = tmp_path / "log.csv", tmp_path / "r.html", tmp_path / "r.json"
    ONE_WAY.to_csv(log, index=False)
    call("plan", log, "--discount", "0.5", *options, "--out", tmp_path, "--json", content)
    told = json.loads(content.read_text("utf-8"))
    out, progress = call("report", tmp_path / "log-plan.nc", page, content, "--log", log)
    assert "writing the report: other assumptions, and what to collect next, which takes" in progress
    assert f"report   {page}" in out and f"json     {content}" in out
    again = json.loads(content.read_text("utf-8"))
    assert told["made"].pop("not_kept") == [] and again["made"].pop("not_kept") == ["the command", "the date"]
    told["made"] |= {"command": None, "date": None}
    assert again == told
    check_page(page.read_text("utf-8"))
    with xr.open_datatree(tmp_path / "log-plan.nc", engine="h5netcdf") as opened:
        bm.write_report(opened, page, date="today")
    words = words_of(parsed(page.read_text("utf-8")))
    assert "from the plan's file, which does not contain the command, the SHA-256 of the log." in words
    assert "not known: the plan's file does not contain it" in words


def test_what_is_no_plan_is_refused(tmp_path):
    page = tmp_path / "r.html"
    with pytest.raises(TypeError, match="a plan is the path of its file, a DataTree or a Report; got dict"):
        bm.write_report({}, page)
    with pytest.raises(ValueError, match="this DataTree was not written by `bayesmdp plan`"):
        bm.write_report(xr.DataTree(), page)
    with pytest.raises(ValueError, match=r"this DataTree is an incomplete plan: .*'log'.*; plan again"):
        empty = xr.DataTree.from_dict({"policy": xr.Dataset(), "plan": xr.Dataset()})
        empty.attrs["made_by"] = "bayesmdp plan"
        bm.write_report(empty, page)
    (tmp_path / "no.nc").write_text("no")
    for path, told in ((tmp_path / "none.nc", "no file"), (tmp_path / "no.nc", "is not the file of a plan")):
        assert told in told_in_one_line("report", path, page)
    assert "a report is written to NAME.html" in told_in_one_line("report", tmp_path / "no.nc", tmp_path / "r.pdf")
    assert "--log: no file" in told_in_one_line("report", tmp_path / "no.nc", page, "--log", tmp_path / "none.csv")
    assert not page.exists()
