"""A command center full of what somebody would write to have a page or a draft do something.

Lives here: the data, `happened`, and `intruders_in`, which says what of it became part of a page. Does not live here: the
tests.
"""

from __future__ import annotations

import csv
import email
import email.policy
import io
from collections.abc import Iterable

from playwright.sync_api import Page

from connector.people import Person
from tests.browser.center import REP, task_of
from tests.world import World

SCRIPT = "<script>alert(1)</script>"
PICTURE = "<img src=x onerror=alert(2)>"
OUT = '"><svg onload=alert(3)><a href="javascript:alert(4)" onclick="alert(5)">x</a>'
#: Short enough for a first name of Salesforce.
OUT_SHORT = '"><svg onload=alert(3)>'
QUOTE = "' onfocus='alert(6)' autofocus x='"
AWAY = "</title></textarea><iframe src=https://evil.example></iframe>"
TEMPLATE = "{{7*7}}{% raw %}{{constructor}}</template><template>"
ADDRESS = "javascript:alert(8)//https://www.linkedin.com/in/x"
DATA_ADDRESS = "data:text/html,<script>alert(10)</script>"

EVE = Person(
    email="eve@evil.example",
    first_name=SCRIPT,
    last_name=PICTURE,
    title=TEMPLATE,
    company=OUT,
    phone="javascript:alert(9)",
    linkedin_url=ADDRESS,
    custom={"note": AWAY, PICTURE: QUOTE},
)
MALLORY = Person(
    email="mal'ory+b@evil.example",
    first_name=QUOTE,
    last_name=AWAY,
    company=SCRIPT,
    title=OUT,
    phone=PICTURE,
    linkedin_url=DATA_ADDRESS,
)
TRUDY = Person(email="trudy@evil.example", first_name=PICTURE, last_name=SCRIPT, company=PICTURE)
VIC = Person(email="v&i'c@evil.example", first_name=OUT_SHORT, last_name=QUOTE, company=AWAY)
PEOPLE = (EVE, MALLORY, TRUDY, VIC)

#: Known to the CRM alone.
OSCAR = Person(
    email="oscar@evil.example", first_name=OUT_SHORT, last_name=SCRIPT, company=PICTURE, title=AWAY, phone=QUOTE
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


def people_file(*domains: str) -> str:
    """Return a people file of markup, with one person at each domain and a row that is refused."""
    rows = [
        ["email", "first_name", "last_name", "company", "phone", "linkedin_url", PICTURE],
        *([f"p@{domain}", SCRIPT, QUOTE, OUT, PICTURE, ADDRESS, AWAY] for domain in domains),
        [PICTURE, SCRIPT, "", "", "", "", ""],
    ]
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def happened(world: World) -> None:
    """Let the rep send, somebody write, and somebody put markup into a task of the CRM."""
    world.seed([OSCAR])
    world.act("rep_sends_draft", rep=REP, person=EVE.email)
    world.after(minutes=5)
    assert world.sync().exit_status == 0
    world.act("prospect_writes", person=MALLORY.email, rep=REP, subject=SCRIPT + PICTURE, text=OUT + AWAY)
    call = task_of(world, EVE.email).intent.key
    for field, value in (("Subject", OUT), ("Description", AWAY + SCRIPT)):
        world.act("rep_changes_task", key=call, field=field, value=value)
    world.after(minutes=5)
    assert world.sync().exit_status == 0


def drafts_of(world: World, rep: str) -> dict[str, str]:
    """Return the HTML of the drafts in a rep's mailbox, by recipient."""
    kept = [mail for mail in world.sandbox.world.box_of(rep).mails.values() if mail.place == "drafts"]
    found = {}
    for mail in kept:
        message = email.message_from_bytes(mail.raw, policy=email.policy.default)
        body = message.get_body(("html",))
        assert body is not None
        found[message["To"].addresses[0].addr_spec] = str(body.get_content())
    return found


def intruders_in(page: Page) -> list[str]:
    """Return what stands in a page that data may have put there: tags, attributes and addresses of no page of ours."""
    found: list[str] = page.evaluate(_INTRUDERS, None)
    return found


def intruders_in_mails(page: Page, mails: Iterable[str]) -> list[str]:
    """Return the same of the HTML of mails, as the browser reads it; a mail may have styles of its own."""
    blank = page.context.new_page()  # without a policy, which would tell of these styles
    found = [one for mail in mails for one in blank.evaluate(_INTRUDERS, mail) if " style=" not in one]
    blank.close()
    return found


def intruders_in_previews(page: Page) -> list[str]:
    """Return the same of a mail's previews, which stand in frames."""
    previews = page.locator("iframe").evaluate_all("frames => frames.map((frame) => frame.src)")
    assert previews != []
    return intruders_in_mails(page, [page.context.request.get(src).text() for src in previews])


_INTRUDERS = """(mail) => [
  ...(mail === null ? document : new DOMParser().parseFromString(mail, "text/html")).querySelectorAll("*")
].flatMap((one) => {
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
