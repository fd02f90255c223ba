"""The addresses of the front page: the page, its parts as JSON, traces, sign-in, circuits and the filled-in docs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, unquote, urlencode

from local.front.collector import CommandRefused, FrontCollector, read_circuits
from local.front.docs_page import fill_in_token
from local.front.model import PARTS
from local.front.page import FORCES, render_front, render_trace
from local.front.people import ROLES, SignedIn, read_sign_in, sign_in_person
from local.http_server import HttpRequest, HttpResponse
from local.stack import Stack
from local.tokens import TokenError

FRONT = "/_local/"
PAGES = ("/", FRONT, f"{FRONT}index.json")
TRACES = f"{FRONT}requests/"
FIND = f"{FRONT}requests"
COOKIE = "local_sign_in"
JSON = ("Content-Type", "application/json")
JOBS = f"{FRONT}jobs"
LONGEST_ID = 200  # characters of an id that is looked up
LONGEST_COUNT = 9  # digits of a number of jobs

Form = dict[str, str]
CallApi = Callable[[HttpRequest], Awaitable[HttpResponse]]


class FrontRoutes:
    """The handler of these routes. `find_port` returns the gateway's port, `call_api` answers a request to the API."""

    def __init__(
        self, stack: Stack, collector: FrontCollector, find_port: Callable[[], int], call_api: CallApi
    ) -> None:
        self._stack = stack
        self._collector = collector
        self._find_port = find_port
        self._call_api = call_api

    async def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response; None for another route."""
        path = request.path
        if path == FRONT.rstrip("/"):
            return _redirect(FRONT, HTTPStatus.PERMANENT_REDIRECT)
        if request.method in ("GET", "HEAD"):
            return await self._read(request, path)
        if request.method == "POST" and path in self._actions:
            return await self._actions[path](request, _read_form(request))
        if path in PAGES or path in self._actions:
            return _respond_json({"message": "Method not allowed"}, HTTPStatus.METHOD_NOT_ALLOWED)
        return None

    @property
    def _actions(self) -> dict[str, Callable[[HttpRequest, Form], Awaitable[HttpResponse]]]:
        return {
            f"{FRONT}sign-in": self._sign_in,
            f"{FRONT}sign-out": self._sign_out,
            f"{FRONT}circuits": self._force_circuit,
        }

    @property
    def _front_url(self) -> str:
        return f"http://127.0.0.1:{self._find_port()}"

    @property
    def _cookie(self) -> str:
        """Browsers keep one set of cookies for all ports of a host: another local cloud has another name."""
        return f"{COOKIE}_{self._find_port()}"

    async def _read(self, request: HttpRequest, path: str) -> HttpResponse | None:
        if path == "/" and not _wants_json(request):
            return _redirect(FRONT)  # below which the cookie of a sign-in is sent
        if path in PAGES:
            return await self._show_front(request)
        if path == f"{FRONT}docs":
            return await self._show_docs(request)
        if path == FIND:
            wanted = parse_qs(request.query).get("id", [""])[0].strip()
            return _redirect(TRACES + quote(wanted, safe="") if wanted else f"{FRONT}#requests")
        if path.startswith(TRACES):
            return await self._show_trace(request, path.removeprefix(TRACES))
        if path == JOBS:
            return await self._list_jobs(request)
        part = path.removeprefix(FRONT).removesuffix(".json")
        if part in PARTS and path == f"{FRONT}{part}.json":
            return _respond_json(asdict(await self._collector.collect_part(part)))
        return None

    async def _show_front(self, request: HttpRequest, *, problem: str = "") -> HttpResponse:
        view = await self._collector.collect()
        if _wants_json(request):
            return _respond_json(view.to_json())
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        return render_front(
            view,
            api=f"{self._front_url}/{self._stack.stage}",
            signed_in=self._read_cookie(request),
            notice=query.get("done", ""),
            circuit=query.get("circuit", ""),
            released=_read_count(query.get("released", "")),
            woken="late" not in query,
            problem=problem,
        )

    async def _show_trace(self, request: HttpRequest, name: str) -> HttpResponse:
        wanted = unquote(name.removesuffix(".json"))[:LONGEST_ID]
        view = await self._collector.trace(wanted)
        if not _wants_json(request):
            return render_trace(view)
        is_known = view.steps.found or view.requests
        return _respond_json(asdict(view), HTTPStatus.OK if is_known else HTTPStatus.NOT_FOUND)

    async def _show_docs(self, request: HttpRequest) -> HttpResponse:
        address = f"/{self._stack.stage}/docs"
        answer = await self._call_api(HttpRequest("GET", address, "", [("Host", "127.0.0.1")], request.peer))
        return fill_in_token(answer, address=address, signed_in=self._read_cookie(request))

    async def _list_jobs(self, request: HttpRequest) -> HttpResponse:
        """Return what the API answers to `GET /jobs` with the query, called as the admin who is signed in."""
        signed_in = self._read_cookie(request)
        token = signed_in.access_token if signed_in and signed_in.role == "admin" else ""
        headers = [("Host", "127.0.0.1"), ("Authorization", f"Bearer {token}")]
        call = HttpRequest("GET", f"/{self._stack.stage}/jobs", request.query, headers, request.peer)
        answer = await self._call_api(call) if token else None
        if answer is None or answer.status == HTTPStatus.UNAUTHORIZED:
            return _redirect(f"{FRONT}?done=admin-needed#sign-in")
        return answer

    async def _sign_in(self, request: HttpRequest, form: Form) -> HttpResponse:
        role = next((role for role in ROLES if role == form.get("role")), None)
        email = form.get("email", "").strip()
        if role is None and not email:
            return await self._refuse(request, f"Say who: a role ({', '.join(ROLES)}) or a mail address.")
        try:
            found = await asyncio.to_thread(sign_in_person, self._stack, self._front_url, role=role, email=email)
        except TokenError as error:
            return await self._refuse(request, f"Nobody was signed in: {error}")
        except Exception as error:  # noqa: BLE001 - botocore's; the emulator may be down
            return await self._refuse(request, f"Nobody was signed in: {type(error).__name__}")
        if _wants_json(request):
            return _respond_json(asdict(found))
        answer = _redirect(f"{FRONT}?done=signed-in#sign-in")
        answer.headers.append(self._set_cookie(f"{quote(found.email)}|{found.access_token}"))
        return answer

    async def _sign_out(self, _request: HttpRequest, _form: Form) -> HttpResponse:
        answer = _redirect(f"{FRONT}?done=signed-out#sign-in")
        answer.headers.append(self._set_cookie("", "; Max-Age=0"))
        return answer

    async def _force_circuit(self, request: HttpRequest, form: Form) -> HttpResponse:
        name, state = form.get("name", ""), form.get("state", "")
        command = {"command": "force-circuit", "name": name, "state": state}
        try:
            answer = await self._collector.run_command(command)
        except (CommandRefused, OSError) as error:
            return await self._refuse(request, f"No circuit was changed: {error}")
        released = answer["released_jobs"]
        if _wants_json(request):
            lines = [asdict(line) for line in read_circuits(answer)]
            return _respond_json({"circuits": lines, "released_jobs": released, "relay_woken": answer["relay_woken"]})
        done = {"done": state if state in FORCES else "", "circuit": name}
        done |= {} if released is None else {"released": released}
        done |= {"late": "1"} if answer["relay_woken"] is False else {}
        return _redirect(f"{FRONT}?{urlencode(done)}#circuits")

    async def _refuse(self, request: HttpRequest, problem: str) -> HttpResponse:
        if _wants_json(request):
            return _respond_json({"message": problem}, HTTPStatus.BAD_GATEWAY)
        return await self._show_front(request, problem=problem)

    def _set_cookie(self, value: str, ending: str = "") -> tuple[str, str]:
        # Lax, not Strict: the button of a mail, which is shown in a frame of its own origin, leads here.
        return "Set-Cookie", f"{self._cookie}={value}; Path={FRONT}; HttpOnly; SameSite=Lax{ending}"

    def _read_cookie(self, request: HttpRequest) -> SignedIn | None:
        try:
            found = SimpleCookie(request.find_header("cookie") or "").get(self._cookie)
        except CookieError:
            return None
        email, _, token = found.value.partition("|") if found else ("", "", "")
        return read_sign_in(unquote(email), token) if token else None


def _wants_json(request: HttpRequest) -> bool:
    """Return whether the address or its Accept asks for JSON; a browser asks for HTML too."""
    accepted = request.find_header("accept") or ""
    return request.path.endswith(".json") or ("application/json" in accepted and "text/html" not in accepted)


def _read_form(request: HttpRequest) -> Form:
    """Return the fields of a form, or of the JSON that stands for it; none if it is neither."""
    if "json" in (request.find_header("content-type") or ""):
        try:
            document = json.loads(request.body)
        except ValueError:
            return {}
        return {str(k): str(v) for k, v in document.items()} if isinstance(document, dict) else {}
    return {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}


def _read_count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= LONGEST_COUNT else None


def _redirect(location: str, status: HTTPStatus = HTTPStatus.SEE_OTHER) -> HttpResponse:
    return HttpResponse(status.value, [("Location", location), ("Cache-Control", "no-store")])


def _respond_json(document: object, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return HttpResponse(status.value, [JSON, ("Cache-Control", "no-store")], json.dumps(document, default=str).encode())
