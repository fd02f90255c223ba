"""The front page: what it shows of a view, what its JSON has, and what a gateway without anything behind it says."""

import base64
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from local.front.docs_page import fill_in_token, hash_source
from local.front.model import PARTS, PagePart
from local.front.page import TEMPLATES, format_age, render_front, render_trace
from local.front.people import ROLES, read_sign_in
from local.http_server import HttpResponse
from local.inbox.messages import InboxMessage
from local.inbox.page import render_page
from tests.local.gateways import ROOT, RunningGateway, make_function, make_route, make_stack, run_gateway
from tests.local.sample_front import MARKUP, REQUEST_ID, SIGNED_IN, make_front_view, make_trace_view

API = "http://127.0.0.1:3000/api"
TOKEN = "e30.eyJleHAiOjE3OTU3ODc0MzgsImNvZ25pdG86Z3JvdXBzIjpbInN0YWZmIl19.x"  # its claims: exp, and the group staff


def read_text(answer: HttpResponse) -> str:
    """Return what a page says, without its markup."""
    body = answer.body.decode().partition("</style>")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_view_shows_every_part_with_an_explanation() -> None:
    """Each part has a heading, and a ? that says in a sentence what it is."""
    page = render_front(make_front_view(), api=API).body.decode()
    headings = ["Sign in", "Last requests", "Outbox, queues", "Circuits", "Environments", "Alarms", "Mails", "Database"]
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", page) == headings
    helps = re.findall(
        r'<details class="help"><summary aria-label="What is this: (.*?)\?">\?</summary><p>(.+?)</p>', page
    )
    assert [title for title, _ in helps] == headings
    assert all(re.fullmatch(r"[A-Z].{40,}\.", text) for _, text in helps)


def test_a_view_says_first_what_is_wrong() -> None:
    """Before everything else it has a sentence for each thing that is wrong, or says that nothing is."""
    text = read_text(render_front(make_front_view(), api=API))
    for sentence in (
        "1 alarm rings : DegradedAlarm",
        "The circuit email is open , because somebody holds it",
        "1 job is failed",
    ):
        assert sentence in text.partition("Sign in")[0]
    calm: dict[str, PagePart[object]] = {name: PagePart([]) for name in ("outbox", "circuits", "alarms")}
    assert "All parts answer, no alarm rings" in read_text(render_front(make_front_view(**calm), api=API))
    silent = make_front_view(**calm | {"queues": PagePart([], "no answer within 10 s")})
    told = read_text(render_front(silent, api=API))
    assert "1 part does not answer" in told
    assert "Nothing can be said of this now: no answer within 10 s" in told
    assert "All parts answer" not in told


def test_a_request_is_shown_with_what_came_of_it() -> None:
    """Function, jobs with their states and mails; a refusal by its type."""
    text = read_text(render_front(make_front_view(), api=API))
    assert f"MembersFunction identity failed, UserPoolGone mail member-welcome done “{MARKUP}”" in text
    assert "refused by the gateway: THROTTLED" in text
    page = render_front(make_front_view(), api=API).body.decode()
    assert f'href="/_local/requests/{REQUEST_ID}"' in page
    assert 'href="/_local/mail?message=m1"' in page


def test_every_part_leads_to_its_json() -> None:
    """Each part has a link to it."""
    page = render_front(make_front_view(), api=API).body.decode()
    assert re.findall(r'href="/_local/(\w+)\.json"', page) == ["index", *PARTS]


def test_what_is_held_is_listed_with_its_reason() -> None:
    """The oldest first, each with the way to the request that wrote it; nothing is said if nothing is held."""
    page = render_front(make_front_view(), api=API)
    assert "Not done yet, the oldest first" in read_text(page)
    assert "pending, circuit-open" in read_text(page)
    assert f'<a href="/_local/requests/{REQUEST_ID}">trace' in page.body.decode().partition('<ol class="jobs"')[2]
    assert "Not done yet" not in read_text(render_front(make_front_view(jobs=PagePart([])), api=API))


def test_what_others_wrote_is_text_on_the_pages() -> None:
    """Subjects, descriptions and ids are escaped; nothing is loaded, and nothing runs."""
    for answer in (
        render_front(make_front_view(), api=API, signed_in=SIGNED_IN, problem=MARKUP),
        render_trace(make_trace_view()),
    ):
        page, headers = answer.body.decode(), dict(answer.headers)
        assert MARKUP not in page
        assert MARKUP in read_text(answer)
        assert "<a" not in read_text(answer), "a link of our own was escaped"
        assert re.findall(r"<script|<link (?!rel=\"icon\" href=\"data:,\")|url\(|@import", page) == []
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        style = page.partition("<style>")[2].partition("</style>")[0]
        assert hash_source(style) in policy
        assert "script-src" not in policy
        assert headers["Cache-Control"] == "no-store"


def test_every_role_has_a_button_and_a_sign_in_shows_its_token() -> None:
    """The token is there to copy, and the way to the docs page, which has it."""
    page = render_front(make_front_view(), api=API).body.decode()
    assert re.findall(r'<button name="role" value="(\w+)"', page) == list(ROLES)
    assert SIGNED_IN.access_token not in page
    page = render_front(make_front_view(), api=API, signed_in=SIGNED_IN).body.decode()
    assert f">{SIGNED_IN.access_token}</textarea>" in page
    assert '<a class="button" href="/_local/docs">' in page


def test_the_choice_of_a_circuit_shows_what_it_is_set_to() -> None:
    """The state it is held in, or auto."""
    page = render_front(make_front_view(), api=API).body.decode()
    chosen = re.findall(r'name="name" value="(\w+)">.*?value="(\w+)" aria-pressed="true"', page, re.DOTALL)
    assert chosen == [("email", "open"), ("identity", "auto")]


def test_the_notice_of_a_form_is_one_of_ours() -> None:
    """An address can't make the page say something."""
    assert "The circuit is held open." in read_text(render_front(make_front_view(), api=API, notice="open"))
    assert "anything" not in read_text(render_front(make_front_view(), api=API, notice="anything"))


@pytest.mark.parametrize(
    ("notice", "circuit", "released", "text"),
    [
        ("closed", "identity", 3, "The circuit is held closed. 3 waiting jobs leave now. List the jobs that wait"),
        ("closed", "identity", 1, "The circuit is held closed. 1 waiting job leaves now. List the jobs that wait"),
        ("closed", "identity", 0, "The circuit is held closed. No job waits for it."),
        ("auto", "identity", None, "The circuit works by itself again. Which jobs wait is not known: the database"),
        (
            "open", "email", 0,
            "The circuit is held open. 3 jobs wait until the circuit is forced closed, or made automatic. List the",
        ),
        ("closed", "nobody", 3, "The circuit is held closed. Sign in ?"),
        ("signed-in", "identity", 3, "Signed in. The docs page has the token. Sign in ?"),
    ],
)  # fmt: skip
def test_the_notice_of_a_circuit_says_which_jobs_leave(
    notice: str, circuit: str, released: int | None, text: str
) -> None:
    """It says what `make circuits` does, with a link to the list; an address can't name another circuit."""
    page = render_front(make_front_view(), api=API, notice=notice, circuit=circuit, released=released)
    assert text in read_text(page)
    told = page.body.decode().partition('role="status">')[2].partition("</p>")[0]
    assert ('href="/_local/jobs?state=pending"' in told) == ("List the" in text)


def test_the_notice_says_so_if_the_relay_was_not_woken() -> None:
    """Then nothing leaves now."""
    page = render_front(make_front_view(), api=API, notice="closed", circuit="identity", released=3, woken=False)
    assert "The circuit is held closed. 3 waiting jobs leave within a minute: " in read_text(page)


def test_a_circuit_leads_to_the_jobs_that_wait_for_it() -> None:
    """With their number; nothing is said if none does, or if nobody knows."""
    page = render_front(make_front_view(), api=API).body.decode()
    assert re.findall(r'<a href="/_local/jobs\?state=pending">(.*?)</a>', page) == ["3 jobs wait"]


def test_the_json_is_the_view() -> None:
    """Every part, field by field, so that a program sees what a person does."""
    document = json.loads(json.dumps(make_front_view().to_json()))
    assert set(document) == {"at", *PARTS}
    assert document["requests"]["found"][0]["jobs"][1]["template"] == "member-welcome"
    assert document["queues"]["found"][1] == {
        "name": "DeadLetterHigh", "waiting": 1, "in_flight": 0, "delayed": 0, "is_dead_letter": True,
    }  # fmt: skip


def test_an_unknown_trace_is_not_found() -> None:
    """The page says so, with the status of it."""
    view = make_trace_view()
    assert render_trace(view).status == 200
    unknown = type(view)("nobody", [], PagePart([]))
    assert render_trace(unknown).status == 404
    assert "Nothing is known of this id" in read_text(render_trace(unknown))


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_an_age_is_read_in_passing(seconds: int | None, text: str) -> None:
    """The age has one unit only."""
    assert format_age(seconds) == text


def test_a_token_says_who_and_until_when() -> None:
    """Its claims are shown, not trusted; anything else in the cookie shows nothing and breaks nothing."""
    found = read_sign_in("staff@interdomestik.test", TOKEN)
    assert (found.role, found.expires_at) == ("staff", "2026-11-27T13:50:38Z")
    for broken in ("", "a.b", "e30.[].x", "é.é.é", "e30.MTI.x"):
        assert read_sign_in("x", broken).role == ""


def test_the_docs_page_gets_the_token_and_may_run_what_was_added() -> None:
    """By a script of its own whose hash the policy names; the page's function is not asked to know of it."""
    policy = "default-src 'none'; script-src 'sha256-page'; style-src 'sha256-css'"
    served = HttpResponse(200, [("Content-Security-Policy", policy), ("Cache-Control", "public")], b"<body><p>x</body>")
    filled = fill_in_token(served, address="/api/docs", signed_in=SIGNED_IN)
    page, headers = filled.body.decode(), dict(filled.headers)
    script = page.partition("<script>")[2].partition("</script>")[0]
    assert json.dumps(SIGNED_IN.access_token) in script
    assert hash_source(script) in headers["Content-Security-Policy"]
    assert "'sha256-page'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert page.endswith("<p>x</body>")
    refused = HttpResponse(429, [], b"{}")
    assert fill_in_token(refused, address="/api/docs", signed_in=SIGNED_IN) is refused


def test_a_mail_s_link_leaves_its_frame() -> None:
    """The button of a mail leads to the front page; only a click of the reader's does so, and no script runs."""
    mail = InboxMessage("m1", "a", ["b"], "s", "t", "<html><head></head><a href='http://x/'>Sign in</a>", "2026", {})
    page = render_page([mail], query="", listed=1).body.decode()
    assert 'sandbox="allow-top-navigation-by-user-activation"' in page
    assert "&lt;head&gt;&lt;base target=&quot;_top&quot;&gt;" in page


def test_nothing_of_the_front_page_is_deployed() -> None:
    """No function, layer or template names it: it exists on the local cloud alone."""
    deployed = [ROOT / "template.yaml", *(ROOT / "templates").rglob("*"), *(ROOT / "layers/shared").rglob("*")]
    deployed += (ROOT / "functions").rglob("*")
    sources = [path for path in deployed if path.suffix in (".py", ".sql", ".yaml", ".toml", ".html", ".json")]
    assert len(sources) > 100
    assert [str(path) for path in sources if "_local/" in path.read_text(encoding="utf-8")] == []
    assert all((TEMPLATES / name).exists() for name in ("front.html.j2", "trace.html.j2", "style.css"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Yield a gateway with a function, and with neither emulator, database nor operations function."""
    with run_gateway(make_stack([make_function("noop")], []), tmp_path_factory.mktemp("front")) as running:
        yield running


def test_a_part_that_does_not_answer_hides_no_other(gateway: RunningGateway) -> None:
    """The page comes, and says of each part why there is nothing."""
    gateway.invoke("noop")
    reply = gateway.call("GET", "/_local/")
    assert reply.status == 200
    document = gateway.call("GET", "/_local/index.json").read_json()
    assert {name for name in PARTS if document[name].get("problem")} == {
        "jobs",
        "outbox",
        "queues",
        "circuits",
        "alarms",
        "mails",
    }
    assert document["outbox"]["problem"] == "this gateway was started without a database"
    assert document["environments"]["found"][0]["function"] == "noop"
    assert document["environments"]["found"][0]["invocations"] == 1
    assert "5 parts do not answer" in unescape(reply.body.decode())


def test_the_addresses_lead_to_one_page(gateway: RunningGateway) -> None:
    """The root and the folder, with or without its slash; and JSON at the same address for whoever asks for it."""
    for path in ("/", "/_local"):
        reply = gateway.call("GET", path)
        assert (reply.status, reply.headers["location"]) == (308 if path == "/_local" else 303, "/_local/")
    for path in ("/", "/_local/"):
        reply = gateway.call("GET", path, Accept="application/json")
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.read_json()) == {"at", *PARTS}
    html = gateway.call("GET", "/_local/", Accept="text/html,application/json;q=0.9")
    assert html.headers["content-type"].startswith("text/html")
    head = gateway.call("HEAD", "/_local/")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_json_at_an_address_of_its_own(gateway: RunningGateway, part: str) -> None:
    """The page's links name these addresses."""
    reply = gateway.call("GET", f"/_local/{part}.json")
    assert reply.status == 200
    whole = gateway.call("GET", "/_local/index.json").read_json()
    assert set(reply.read_json()) == set(whole[part])


@pytest.mark.parametrize("path", ["/_local/nothing.json", "/_local/people", "/_local/templates/style.css"])
def test_other_addresses_are_not_found(gateway: RunningGateway, path: str) -> None:
    """No address leads to a file either."""
    assert gateway.call("GET", path).status == 404


@pytest.mark.parametrize("path", ["/_local/sign-in", "/_local/sign-out", "/_local/circuits"])
def test_a_form_is_taken_from_this_page_alone(gateway: RunningGateway, path: str) -> None:
    """A page of another site, or of another local server, can't send it; nor does a link."""
    own = f"http://127.0.0.1:{gateway.port}"
    for origin in ("https://evil.example", f"http://127.0.0.1:{gateway.port + 1}", "null"):
        assert gateway.call("POST", path, body=b"role=staff", Origin=origin).status == 403
    rebound = f"evil.example:{gateway.port}"  # another's name, which has come to mean this machine
    assert gateway.call("POST", path, body=b"", Origin=f"http://{rebound}", Host=rebound).status == 403
    assert gateway.call("POST", path, body=b"", Origin=own).status in (303, 502)
    assert gateway.call("GET", path).status == 404
    assert gateway.call("PUT", path, body=b"").status == 405


def test_a_form_that_can_t_be_carried_out_says_why(gateway: RunningGateway) -> None:
    """The reason is on the page and in JSON, with the status of a gateway whose service failed."""
    reply = gateway.call("POST", "/_local/sign-in", body=b"")
    assert reply.status == 502
    assert "Say who: a role (member, agent, staff, admin) or a mail address." in unescape(reply.body.decode())
    reply = gateway.call("POST", "/_local/circuits", body=b"name=email&state=open", Accept="application/json")
    assert (reply.status, reply.read_json()) == (
        502,
        {"message": "No circuit was changed: this stack has no AdminFunction"},
    )
    reply = gateway.call("POST", "/_local/sign-in", body=b"role=staff", Accept="application/json")
    assert (reply.status, reply.read_json()["message"][:19]) == (502, "Nobody was signed i")


def make_token(role: str) -> str:
    """Return a token whose claims name a role."""
    claims = base64.urlsafe_b64encode(json.dumps({"cognito:groups": [role]}).encode()).decode()
    return f"e30.{claims}.x"


def test_the_list_of_jobs_is_the_api_s_own_for_the_admin_who_is_signed_in(tmp_path: Path) -> None:
    """With their token and the query; others, and one whose token has ended, are told to sign in."""
    jobs = make_route("GET", "/jobs", "echo")
    with run_gateway(make_stack([make_function("echo")], [jobs]), tmp_path) as running:
        cookie = f"local_sign_in_{running.port}=admin%40interdomestik.test|"
        reply = running.call("GET", "/_local/jobs?state=pending", Cookie=cookie + make_token("admin"))
        event = reply.read_json()["event"]
        assert (event["path"], event["queryStringParameters"]) == ("/jobs", {"state": "pending"})
        assert event["headers"]["Authorization"] == f"Bearer {make_token('admin')}"
        for other in ("", make_token("staff")):
            reply = running.call("GET", "/_local/jobs?state=pending", Cookie=cookie + other)
            assert (reply.status, reply.headers["location"]) == (303, "/_local/?done=admin-needed#sign-in")
        assert "Sign in as admin first" in running.call("GET", "/_local/?done=admin-needed").body.decode()


def test_a_token_that_has_ended_leads_to_the_sign_in(tmp_path: Path) -> None:
    """The authorizer refuses it, as on AWS."""
    jobs = make_route("GET", "/jobs", "echo", authorized=True)
    with run_gateway(make_stack([make_function("echo")], [jobs]), tmp_path) as running:
        cookie = f"local_sign_in_{running.port}=x|{make_token('admin')}"
        reply = running.call("GET", "/_local/jobs", Cookie=cookie)
        assert (reply.status, reply.headers["location"]) == (303, "/_local/?done=admin-needed#sign-in")


def test_a_sign_in_is_kept_for_this_page_and_ended_by_it(gateway: RunningGateway) -> None:
    """In a cookie that no script reads, that no other site's form sends, and that the API never sees."""
    cookie = f"local_sign_in_{gateway.port}=staff%40interdomestik.test|{TOKEN}"
    page = gateway.call("GET", "/_local/", Cookie=cookie).body.decode()
    assert "Signed in as <b>staff@interdomestik.test</b>, staff, until" in page
    assert TOKEN in page
    other = gateway.call("GET", "/_local/", Cookie=f"local_sign_in_1=x|{TOKEN}").body.decode()
    assert TOKEN not in other
    ended = gateway.call("POST", "/_local/sign-out", body=b"")
    assert ended.headers["set-cookie"] == (
        f"local_sign_in_{gateway.port}=; Path=/_local/; HttpOnly; SameSite=Lax; Max-Age=0"
    )


def test_a_trace_is_found_by_its_form(gateway: RunningGateway) -> None:
    """Whatever was pasted into it; an id that nothing names is not found."""
    reply = gateway.call("GET", "/_local/requests?id=%20a%2Fb%20")
    assert (reply.status, reply.headers["location"]) == (303, "/_local/requests/a%2Fb")
    assert gateway.call("GET", "/_local/requests/a%2Fb").status == 404
    reply = gateway.call("GET", "/_local/requests/a%2Fb.json")
    assert (reply.status, reply.read_json()["id"]) == (404, "a/b")
