"""What the lesson page shows, and its calls to the app's own API. Nothing here knows about Timeback."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pyodide.ffi import JsException  # pyright: ignore[reportMissingImports]
from pyscript import document, fetch  # pyright: ignore[reportMissingImports]

Action = Callable[[], Awaitable[object]]

_one_at_a_time = asyncio.Lock()
_tasks: set[asyncio.Task[None]] = set()


class ApiError(Exception):
    """The app's server did not do what was asked; the message is for the learner."""


async def get(path: str) -> Any:
    return await _ask(path)


async def post(path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    return await _ask(path, method="POST", headers=headers, body=json.dumps(body))


async def _ask(path: str, **options: Any) -> Any:
    try:
        response = await fetch(path, **options)
    except JsException as error:
        raise ApiError("The server cannot be reached. Please try again.") from error
    if not response.ok:
        try:
            reason = (await response.json())["detail"]
        except (ValueError, KeyError):
            reason = f"status {response.status}"
        raise ApiError(f"The server said: {reason}")
    return await response.json()


async def perform(*actions: Action, lock_buttons: bool = True) -> None:
    """Do one thing at a time; what fails is told and the rest is still done.

    The buttons are locked meanwhile, except for what leaving a field starts: that field may be left for a button.
    """
    async with _one_at_a_time:
        if lock_buttons:
            _lock_buttons(locked=True)
        _show_trouble("")
        try:
            for action in actions:
                try:
                    await action()
                except ApiError as error:
                    say("That did not work.")
                    _show_trouble(str(error))
        finally:
            _lock_buttons(locked=False)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` beside the page's events; should it fail, the learner is told."""

    def on_end(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _find("boot").hidden = True
            say("The lesson stopped.")
            _show_trouble(f"{error} Reload the page to go on.")

    task = asyncio.create_task(main)
    task.add_done_callback(on_end)
    _tasks.add(task)  # asyncio itself keeps only a weak reference


def ready() -> None:
    """Tell the page that Python runs."""
    document.documentElement.dataset.python = "running"
    _find("boot").hidden = True


def say(text: str) -> None:
    _find("status").textContent = text


def show_lesson(questions: list[dict[str, Any]], progress: dict[str, Any]) -> None:
    """Draw the questions with the saved answers, and say where the learner stands."""
    _find("answers").replaceChildren(*[_question(question) for question in questions])
    for question_id, answer in progress["answers"].items():
        _fill_in(question_id, answer)
    if progress["run_id"] is not None:
        say("Welcome back: your answers are still here.")
    elif progress["completed"]:
        show_result(progress["last_result"])
    else:
        say("Ready when you are.")


def show_result(result: dict[str, Any]) -> None:
    say(
        f"{result['correct']} of {result['total']} right: {result['xp_earned']} XP recorded. "
        "Start again for a new attempt."
    )


def show_buttons(*, running: bool, resumable: bool) -> None:
    """Offer start, or resume and finish, or finish and leave."""
    _find("start").hidden = running or resumable
    _find("resume").hidden = running or not resumable
    _find("finish").hidden = not (running or resumable)
    _find("finish").classList.toggle("primary", running)
    _find("leave").hidden = not running
    _find("answers").disabled = not running
    _find("timer").classList.toggle("running", running)


def answers() -> dict[str, str]:
    """What is filled in now, by question."""
    inputs = document.querySelectorAll("#answers input")
    return {each.name: each.value for each in inputs if each.value and (each.type != "radio" or each.checked)}


def clear_answers() -> None:
    document.querySelector("#questions").reset()


def show_time(active_ms: float, stats: Any) -> None:
    """Write active time as minutes and seconds, and how many windows of it have been delivered."""
    minutes, seconds = divmod(int(active_ms / 1000), 60)
    _write("timer", f"{minutes}:{seconds:02}")
    waiting = f", {stats.waiting} waiting to be sent" if stats.waiting else ""
    _write("delivery", f"Windows of time delivered: {stats.delivered}{waiting}.")


def show_delivery_error(error: Exception, _context: object) -> None:
    _show_trouble(f"Your time could not be delivered: {error}")


def _write(element_id: str, text: str) -> None:
    element = _find(element_id)
    if element.textContent != text:
        element.textContent = text


def _show_trouble(text: str) -> None:
    _find("trouble").textContent = text
    _find("trouble").hidden = not text


def _lock_buttons(*, locked: bool) -> None:
    for button in document.querySelectorAll("button"):
        button.disabled = locked


def _question(question: dict[str, Any]) -> Any:
    """A text field with its label, or a group of choices with its legend."""
    if not question["choices"]:
        label = _make("label", textContent=question["text"], htmlFor=question["id"])
        field = _make("input", type="text", id=question["id"], name=question["id"], placeholder="1/2", maxLength=20)
        return _make("div", label, field, className="question")
    choices = [
        _make("label", _make("input", type="radio", name=question["id"], value=choice), choice)
        for choice in question["choices"]
    ]
    legend = _make("legend", textContent=question["text"])
    return _make("fieldset", legend, _make("div", *choices, className="choices"), className="question")


def _fill_in(question_id: str, answer: str) -> None:
    for each in document.querySelectorAll(f'#answers input[name="{question_id}"]'):
        if each.type == "radio":
            each.checked = each.value == answer
        else:
            each.value = answer


def _find(element_id: str) -> Any:
    return document.getElementById(element_id)


def _make(tag: str, *children: Any, **properties: Any) -> Any:
    element = document.createElement(tag)
    for name, value in properties.items():
        setattr(element, name, value)
    element.append(*children)
    return element
