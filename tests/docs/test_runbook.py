"""The runbook has a section for each alarm, and no other."""

import re
from collections import defaultdict

from tests.docs.markdown import MarkdownPage
from tests.services import ROOT
from tests.settings.alarms import ALARMS, describe_rule
from tests.settings.deployed import load_template

RUNBOOK = MarkdownPage(ROOT / "docs/how-to/runbook.md")
LINK = re.compile(rf" {re.escape(RUNBOOK.name)}#([a-z-]+)$")
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BEGINNINGS = {
    "wake": "Wakes somebody.",
    "look": "For tomorrow.",
    "release": "For the release in progress: CodeDeploy takes it back, and nobody is woken.",
}
PARTS = ("**Means** ", "**Look** ", "**Do** ")
KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


def read_descriptions() -> dict[str, str]:
    """Return the description of each alarm of the template."""
    resources = load_template()["Resources"].items()
    return {name: each["Properties"]["AlarmDescription"] for name, each in resources if each["Type"] in KINDS}


def find_anchor(description: str) -> str | None:
    """Return the anchor of the runbook that a description ends with."""
    found = LINK.search(description)
    return found[1] if found else None


def read_sections() -> dict[str, str]:
    """Return the text of each section of the runbook, by its anchor."""
    _, *parts = SECTION.split(RUNBOOK.text)
    return {title.lower().replace(" ", "-"): text for title, text in zip(parts[::2], parts[1::2], strict=True)}


def list_alarms_by_section() -> dict[str, list[str]]:
    """Return the alarms on a metric that lead to each section."""
    found = defaultdict(list)
    for name in ALARMS:
        found[find_anchor(read_descriptions()[name]) or ""].append(name)
    return found


def test_every_alarms_description_leads_to_a_section_that_exists() -> None:
    """People who are woken by a mail find the page by this link."""
    assert {name: text for name, text in read_descriptions().items() if find_anchor(text) not in read_sections()} == {}


def test_every_section_belongs_to_an_alarm() -> None:
    """Nobody would find a section that no alarm leads to."""
    assert set(read_sections()) == {find_anchor(text) for text in read_descriptions().values()}


def test_every_section_says_when_its_alarms_ring() -> None:
    """Metric, threshold and periods of each, as they are deployed; and whether somebody is woken."""
    wanted, found = {}, {}
    for anchor, names in list_alarms_by_section().items():
        [group] = {ALARMS[name].group for name in names}
        wanted[anchor] = (BEGINNINGS[group], sorted(map(describe_rule, names)))
        lines = read_sections()[anchor].strip().splitlines()
        found[anchor] = (lines[0], sorted(line[2:] for line in lines if line.startswith("- ")))
    assert found == wanted


def test_every_section_says_what_it_means_where_to_look_and_what_to_do() -> None:
    """Each section says these in this order."""
    texts = {anchor: read_sections()[anchor] for anchor in list_alarms_by_section()}
    assert {
        anchor for anchor, text in texts.items() if re.findall(r"^\*\*\w+\*\* ", text, re.M) != list(PARTS)
    } == set()


def test_a_description_without_a_link_is_found() -> None:
    """A description whose link is not at its end is found as well."""
    assert find_anchor("It fails.") is None
    assert find_anchor(f"It fails. {RUNBOOK.name}#unhealthy") == "unhealthy"
    assert find_anchor(f"It fails. {RUNBOOK.name}#unhealthy or so") is None


def test_the_deployment_guide_counts_what_cloudwatch_is_paid_for() -> None:
    """The alarms, by kind, and the names of our own metrics that they read."""
    guide = (ROOT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    resources = load_template()["Resources"].values()
    plain = [each["Properties"] for each in resources if each["Type"] == KINDS[0]]
    ours = {each["MetricName"] for each in plain if each.get("Namespace") == "Interdomestik"}
    assert sum(each["Type"] == KINDS[1] for each in resources) == 2
    assert f"- {len(plain)} alarms at standard resolution" in guide
    assert f"- {len(ours)} names of metrics of our own" in guide
