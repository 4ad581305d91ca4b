"""The face for JavaScript, in real Chromium: camelCase, promises, real errors, and a React component over it."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.console import Console
from tb_browser.testing.pages import pyodide_page
from tests.browser.react import bundle
from tests.browser.site import PythonPage, Site
from tests.browser.static_server import StaticServer

PUBLISH = """
from tb_browser import create_client
from tb_browser.javascript import publish
timeback = create_client()
withdraw = publish(timeback)
"""
LESSON = '{ id: "lesson-1", name: "Fractions", course: { subject: "Math", grade: 3 } }'
MOUNTS_IN_STRICT_MODE = 2
CAUGHT = """(error) => ({ name: error.name, message: error.message, isError: error instanceof Error,
    retryable: error.retryable, field: error.field, url: error.url, status: error.status })"""


class Scripts:
    """JavaScript in a page whose Python has published a client."""

    def __init__(self, page: Page, site: Site) -> None:
        self.python = PythonPage(page, site).open()
        self.python.run(PUBLISH)
        self.page, self.site = page, site

    def run(self, code: str) -> Any:
        """The value of the function's body, awaited; what it throws comes back as what a script sees of it."""
        return self.page.evaluate(f"async () => {{ try {{ {code} }} catch (error) {{ return ({CAUGHT})(error); }} }}")


@pytest.fixture
def scripts(site: Site, real_browser: RealBrowser) -> Scripts:
    return Scripts(real_browser.context.new_page(), site)


def test_a_lesson_in_javascript(scripts: Scripts) -> None:
    """Start, pause, resume, flush, end: JavaScript's own names and kinds of values, and the time arrives."""
    seen = scripts.run(f"""
        const activity = timeback.activity.start({LESSON});
        const facts = [activity.id, activity.name, activity.course.grade, activity.startedAt instanceof Date,
            activity.isPaused, activity.ended, timeback.activity.current === activity];
        await new Promise(resolve => setTimeout(resolve, 50));
        activity.pause();
        const paused = activity.isPaused;
        activity.resume();
        const receipt = await activity.flush();
        const promise = activity.end();
        const endedAtOnce = activity.ended && timeback.activity.current === null;
        return {{ facts, paused, receipt, endedAtOnce, isPromise: promise instanceof Promise, ended: await promise,
            again: await activity.end(), stats: activity.stats, runId: activity.runId, sum: activity.totalActiveMs }};
    """)
    assert seen["facts"] == ["lesson-1", "Fractions", 3, True, False, False, True]
    assert seen["paused"]
    assert seen["endedAtOnce"]
    assert seen["isPromise"]
    assert seen["receipt"]["delivered"]
    assert seen["ended"] == seen["again"]
    assert (seen["ended"]["runId"], seen["ended"]["delivered"]) == (seen["runId"], True)
    assert seen["ended"]["activeMs"] == seen["sum"] >= 45
    assert seen["stats"]["closed"] == seen["stats"]["delivered"]
    assert scripts.site.active_s(seen["runId"]) * 1000 == pytest.approx(seen["sum"], abs=1)


def test_a_completion_in_javascript(scripts: Scripts) -> None:
    """Metrics in camelCase are recorded; the profile, the verification and the links come in JavaScript's way."""
    seen = scripts.run(f"""
        const activity = timeback.activity.start({LESSON});
        return [await activity.end({{ xpEarned: 5, totalQuestions: 4, correctQuestions: 3 }}), activity.runId,
            await timeback.user.verify(), (await timeback.user.me()).courses[0].code,
            timeback.signInUrl({{ returnTo: "/a b" }}), timeback.signInUrl(), timeback.signOutUrl()];
    """)
    receipt, run_id, verified, code, *links = seen
    assert receipt["completed"]
    (completion,) = [event for event in scripts.site.platform.events_of(run_id) if event.kind == "completed"]
    assert completion.metrics == {"xpEarned": 5, "totalQuestions": 4, "correctQuestions": 3}
    assert (verified["verified"], code) == (True, "MATH-3")
    base = f"{scripts.site.url}/api/timeback/identity"
    assert links == [f"{base}/signin?returnTo=%2Fa+b", f"{base}/signin", f"{base}/signout"]


def test_errors_are_real(scripts: Scripts, console: Console) -> None:
    """What goes wrong is an Error with our name, message and fields: thrown where Python raises, else rejected."""
    console.expect("502")
    thrown = scripts.run('timeback.activity.start({ id: "a b", name: "x", course: { code: "MATH-3" } })')
    assert (thrown["name"], thrown["isError"], thrown["field"]) == ("InvalidInputError", True, "id")
    assert thrown["message"].startswith("id: 'a b' has characters that do not belong in a URL.")
    assert scripts.run('timeback.activity.start({ ...1, idd: "x" })')["message"].startswith("idd: there is no such")
    assert scripts.run("timeback.activity.start()")["field"] == "options"
    assert scripts.run("timeback.activity.start(null)")["field"] == "options"
    rejected = scripts.run(
        f"timeback.activity.start({LESSON}); await timeback.activity.current.end({{ xpEarned: 1, xp: 1 }})"
    )
    assert (rejected["name"], rejected["field"]) == ("InvalidInputError", "xp")
    other = scripts.run('timeback.activity.start({ id: "b", name: "B", course: { code: "MATH-3" } })')
    assert other["name"] == "ActivityInProgressError"
    scripts.site.platform.fail_events(500, times=9)
    failed = scripts.run("await timeback.activity.current.end({ xpEarned: 1 })")
    assert (failed["name"], failed["status"], failed["retryable"]) == ("UnavailableError", 502, True)
    assert failed["url"].endswith("/api/timeback/activity/submit")


def test_callbacks_are_javascripts(scripts: Scripts) -> None:
    """Callbacks get JavaScript's values, may return promises, and one that throws is told to onError."""
    seen = scripts.run(f"""
        const seen = [];
        const activity = timeback.activity.start({{ ...{LESSON}, runId: null, time: {{ heartbeatMs: 20000 }},
            onPause: () => seen.push("paused"),
            onResume: async () => {{ await null; throw new RangeError("mine"); }},
            onFlush: (activeMs) => seen.push(typeof activeMs),
            onError: async (error, context) => seen.push([error instanceof Error, error.name, context.during,
                context.activityId, context.runId === activity.runId]),
        }});
        await new Promise(resolve => setTimeout(resolve, 20));
        activity.pause();
        activity.resume();
        await activity.end();
        await new Promise(resolve => setTimeout(resolve, 20));
        return seen;
    """)
    assert "paused" in seen
    assert "number" in seen
    assert [True, "CallbackError", "callback", "lesson-1", True] in seen


def test_a_lesson_that_python_started(scripts: Scripts) -> None:
    """An activity that Python has started is JavaScript's `current` too; starting it again gives the same one."""
    run_id = scripts.python.run(
        'activity = timeback.activity.start(id="lesson-1", name="F", course={"code": "MATH-3"}); activity.run_id'
    )
    assert scripts.run("return timeback.activity.current.runId") == run_id
    assert scripts.run(f"return timeback.activity.start({LESSON}).runId") == run_id
    assert scripts.run("return (await timeback.activity.current.end()).runId") == run_id
    assert scripts.python.run("activity.ended")


def test_what_was_published_can_be_taken_back(scripts: Scripts) -> None:
    """Stores hear of the client's coming and going; another name is free, a taken one is refused."""
    scripts.run("""
        const { timebackStore } = await import("/static/timeback/store.js");
        globalThis.store = timebackStore();
        globalThis.changes = [];
        globalThis.stop = store.subscribe(() => changes.push(store.get() !== null));
    """)
    assert scripts.run("return (await store.ready()) === timeback")
    refused = "try:\n    publish(timeback)\nexcept ValueError as error:\n    said = str(error)\nsaid"
    assert "taken" in scripts.python.run(refused)
    scripts.python.run("publish(timeback, 'school')")
    assert scripts.run("return typeof school.activity.start") == "function"
    scripts.python.run("withdraw(); withdraw()")
    assert scripts.run("return [store.get(), 'timeback' in globalThis]") == [None, False]
    scripts.python.run("withdraw = publish(timeback)")
    assert scripts.run("stop(); return changes") == [True, False, True]


def test_python_ends_without_waiting_for_the_loop(scripts: Scripts, console: Console) -> None:
    """`end_sync()` in a page has delivered when it returns; a refusal is seen though urllib raises nothing there."""
    scripts.python.run("""
        with timeback.activity.start(id="lesson-1", name="F", course={"code": "MATH-3"}) as activity:
            import time
            time.sleep(0.1)
        receipt = activity.end_sync()
    """)
    assert scripts.python.run("receipt.delivered")
    assert scripts.site.active_s(scripts.python.run("activity.run_id")) >= 0.09
    console.expect("404")
    told = scripts.python.run("""
        lost = create_client(base_url="/nowhere")
        activity = lost.activity.start(id="lesson-1", name="F", course={"code": "MATH-3"})
        time.sleep(0.01)
        try:
            activity.end_sync(xp_earned=1)
        except Exception as error:
            told = type(error).__name__
        [told, activity.stats.waiting]
    """)
    assert told == ["WrongAddressError", 1]


def test_a_token_follows_no_redirection(scripts: Scripts, static_server: StaticServer, console: Console) -> None:
    """Redirected to another origin, nothing goes there, and the window waits; the guard of Chromium takes the same."""
    console.expect("ERR_FAILED|fetch")
    elsewhere = {"location": f"{static_server.url}/elsewhere", "access-control-allow-origin": "*"}
    scripts.page.route("**/activity/heartbeat", lambda route: route.fulfill(status=307, headers=elsewhere))
    seen = scripts.python.run("""
        import asyncio
        from pyodide.code import run_js
        from tb_browser import bearer
        told = []
        school = create_client(auth=bearer(run_js("async () => 'secret'")), user_key="student")
        lesson = school.activity.start(
            id="lesson-2", name="F", course={"code": "MATH-3"}, on_error=lambda error, context: told.append(error)
        )
        await asyncio.sleep(0.05)
        receipt = await lesson.end()
        [receipt.waiting, [type(error).__name__ for error in told], told[0].status, "secret" in repr([school, told])]
    """)
    assert seen == [1, ["UnavailableError"], 302, False]
    assert not [path for path in static_server.requested if "elsewhere" in path]
    stored = "(await indexedDB.databases()).length && JSON.stringify({ ...localStorage, ...sessionStorage })"
    assert "secret" not in str(scripts.run(f"return {stored}"))
    assert scripts.run("return !globalThis.fetchLater || !!fetchLater('/', { method: 'POST', redirect: 'manual' })")


class School:
    """The page of the React app, and the progress that its own API keeps."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site
        self.saved = list[str]()
        self.asked: list[Route] | None = None
        """Requests for progress that the test answers itself; None: they are answered at once."""
        html = pyodide_page(PUBLISH, body="<main></main>")
        script = bundle()
        page.route("**/react.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.route("**/page.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
        page.route("**/api/progress/*", self._answer)
        page.goto(f"{site.url}/react.html")
        page.add_script_tag(url=f"{site.url}/page.js")

    def _answer(self, route: Route) -> None:
        if route.request.method == "POST":
            self.saved.append(json.loads(route.request.post_data or "")["runId"])
        elif self.asked is not None:
            self.asked.append(route)
            return
        route.fulfill(json={"runId": self.saved[-1]} if self.saved else {})

    def mount(self) -> None:
        self.page.evaluate("mount()")
        expect(self.page.get_by_text("Lesson content...")).to_be_visible()

    def wait_for_python(self) -> None:
        self.page.wait_for_function("globalThis.timeback", timeout=60_000)

    def wait_until_started(self) -> str:
        return str(self.page.wait_for_function("timeback?.activity.current?.runId").json_value())


def test_the_react_component_of_the_documentation(site: Site, real_browser: RealBrowser) -> None:
    """Mounted before Python is there it starts once, strict mode or not; unmounting flushes; mounting again resumes."""
    school = School(real_browser.context.new_page(), site)
    school.mount()
    school.wait_for_python()
    run_id = school.wait_until_started()
    school.page.wait_for_timeout(300)
    assert set(school.saved) == {run_id}
    school.page.evaluate("unmount()")
    (window,) = site.wait_for_times(run_id, 1)
    assert (window.active_seconds or 0) > 0.2
    assert school.page.evaluate("timeback.activity.current") is None

    school.mount()
    assert school.wait_until_started() == run_id
    school.page.wait_for_timeout(100)
    school.page.evaluate("unmount()")
    site.wait_for_times(run_id, 2)
    assert {event.run_id for event in site.platform.events} == {run_id}


def test_a_component_that_is_gone_starts_nothing(site: Site, real_browser: RealBrowser, console: Console) -> None:
    """Unmounted while its progress loads, the component's late start() is refused: nobody would end that activity."""
    console.expect("lesson-1: not started, because its component is gone")
    school = School(real_browser.context.new_page(), site)
    school.wait_for_python()
    school.asked = []
    school.mount()
    while len(school.asked) < MOUNTS_IN_STRICT_MODE:
        school.page.wait_for_timeout(20)
    school.page.evaluate("unmount()")
    school.page.wait_for_function("document.querySelector('main').childElementCount === 0")
    for route in school.asked:
        route.fulfill(json={})
    school.page.wait_for_timeout(200)
    assert school.page.evaluate("timeback.activity.current") is None
    assert school.saved == []
