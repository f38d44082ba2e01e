"""Whatever stands in a name, a template, a CSV file, a field of Salesforce or a mail: on no page does it do anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from connector.people import Person
from tests.browser.center import ADMIN, REP, Center, open_center, task_of
from tests.browser.places import Places, find_places
from tests.browser.window import Window
from tests.world import World

pytestmark = pytest.mark.browser

SCRIPT = "<script>alert(1)</script>"
PICTURE = "<img src=x onerror=alert(2)>"
OUT = '"><svg onload=alert(3)><a href="javascript:alert(4)" onclick="alert(5)">x</a>'
QUOTE = "' onfocus='alert(6)' autofocus x='"
AWAY = "</title></textarea><iframe src=https://evil.example></iframe>"
TEMPLATE = "{{7*7}}{% raw %}{{constructor}}</template><template>"
ADDRESS = "javascript:alert(8)//https://www.linkedin.com/in/x"

HOSTILE = (
    Person(
        email="eve@evil.example",
        first_name=SCRIPT,
        last_name=PICTURE,
        title=TEMPLATE,
        company=OUT,
        phone="javascript:alert(9)",
        linkedin_url=ADDRESS,
        custom={"note": AWAY, PICTURE: QUOTE},
    ),
    Person(
        email="mal'ory+b@evil.example",
        first_name=QUOTE,
        last_name=AWAY,
        company=SCRIPT,
        title=OUT,
        phone=PICTURE,
        linkedin_url="data:text/html,<script>alert(10)</script>",
    ),
    Person(email="trudy@evil.example", first_name=PICTURE, last_name=SCRIPT, company=PICTURE),
)

CAMPAIGN = f"""\
name: {PICTURE!r}
days:
  - day: 1
    steps:
      - email: {{template: intro, send: task}}
      - call: {{name: {SCRIPT + " {{first_name}}"!r}, notes: {OUT!r}}}
  - day: 2
    steps:
      - email: {{template: last, send: task}}
"""

TEMPLATES = {
    "intro.html": f"""---
subject: '{{{{first_name}}}} {SCRIPT}'
---
<p onclick="alert(11)">{{{{first_name}}}} {SCRIPT}<img src="https://evil.example/x" onerror=alert(2)><a href="javascript:alert(12)">{{{{company}}}}</a>
<svg onload=alert(13)></svg><img src="https://evil.example/pixel.png"><iframe src="https://evil.example"></iframe>
<form action="https://evil.example"><input autofocus onfocus=alert(14)></form><style>@import "https://evil.example";</style></p>
""",
    "last.md": "---\nsubject: Last\n---\nDear {{first_name}}, [x](javascript:alert(15)) {{! add <script>alert(16)</script> }}\n",
}


def _happened(world: World) -> None:
    eve, mallory, *_ = HOSTILE
    world.act("rep_sends_draft", rep=REP, person=eve.email)
    world.after(minutes=5)
    assert world.sync().exit_status == 0
    world.act("prospect_writes", person=mallory.email, rep=REP, subject=SCRIPT + PICTURE, text=OUT + AWAY)
    call = task_of(world, eve.email).intent.key
    for field, value in (("Subject", OUT), ("Description", AWAY + SCRIPT)):
        world.act("rep_changes_task", key=call, field=field, value=value)
    world.after(minutes=5)
    assert world.sync().exit_status == 0


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with open_center(
        browser,
        tmp_path_factory.mktemp("hostile"),
        people=HOSTILE,
        campaigns={"hostile": CAMPAIGN},
        templates=TEMPLATES,
        prepare=_happened,
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def places(hostile: Center) -> Places:
    return find_places(hostile, ADMIN)


#: Returns what stands in the document that data may have put there: tags, attributes and addresses of no page of ours.
_INTRUDERS = """() => [...document.querySelectorAll("*")].flatMap((one) => {
  const found = [];
  if (["SCRIPT", "IFRAME", "OBJECT", "EMBED", "BASE", "LINK", "META"].includes(one.tagName)) {
    const from = one.getAttribute("src") || one.getAttribute("href") || one.getAttribute("http-equiv") || "";
    const ours = from === "" || from.startsWith("/");
    if (!ours || (one.tagName === "SCRIPT" && !from) || one.tagName === "IFRAME" && !one.hasAttribute("sandbox")) {
      found.push(one.outerHTML.slice(0, 120));
    }
  }
  for (const {name, value} of one.attributes) {
    if (name.startsWith("on") || name.startsWith("hx-on") || name === "style" || value.includes("allow-scripts")) {
      found.push(`${one.tagName} ${name}=${value.slice(0, 80)}`);
    }
    if (["href", "src", "action", "formaction", "xlink:href"].includes(name)) {
      const scheme = /^\\s*([a-z][a-z0-9+.-]*):/i.exec(value);
      if (scheme && !["https", "mailto", "tel"].includes(scheme[1].toLowerCase()) || /evil\\.example\\/?$/.test(value)
          && scheme && scheme[1] === "https") { found.push(`${one.tagName} ${name}=${value.slice(0, 80)}`); }
    }
  }
  return found;
})"""


def test_nothing_runs_and_nothing_is_put_into_a_page(hostile: Center, places: Places, windows: list[Window]) -> None:
    intruders: dict[str, list[str]] = {}
    for user in (ADMIN, REP):
        window = hostile.window(user)
        windows.append(window)
        for path in places.all if user == ADMIN else find_places(hostile, REP).all[:8]:
            page = window.open(path)
            if found := page.evaluate(_INTRUDERS):
                intruders[path] = found
            # What waits for somebody to point, go on or type is tried too.
            for _ in range(3):
                page.keyboard.press("Tab")
    assert intruders == {}


def test_every_kind_of_page_shows_hostile_data(hostile: Center, places: Places) -> None:
    """So that the test above looks at something."""
    assert {"/feed", "/people", "/people/{email:path}"} <= set(places.pages)
