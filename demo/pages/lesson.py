"""A lesson that a learner works on over as many visits as it takes, with its time tracked by tb_browser."""

import asyncio

import page
from pyscript import when  # pyright: ignore[reportMissingImports]

from tb_browser import Receipt, create_client

LESSON = "/api/lessons/lesson-1"
PROGRESS = "/api/progress/lesson-1"

timeback = create_client()


async def begin() -> None:
    """Start a run, or resume the saved one: the same call, without and with its run_id."""
    lesson = await page.get(LESSON)
    progress = await page.get(PROGRESS)
    activity = timeback.activity.start(
        id=lesson["id"],
        name=lesson["name"],
        course=lesson["course"],
        run_id=progress["run_id"],  # None on the first visit: a fresh one is made
        on_error=page.show_delivery_error,
    )
    if progress["run_id"] is None:
        await page.post(PROGRESS, {"run_id": activity.run_id})
    page.say("Your time is running. Leave whenever you like: your answers and your time are kept.")


async def leave() -> None:
    """Deliver the time, without a completion: the run stays open, to be resumed another day."""
    receipt = await end_session()
    page.say(
        "See you soon." if receipt is None or receipt.delivered else "See you soon. Your time is sent later."
    )


async def finish() -> None:
    """Deliver the time, then let the server grade the answers and record the completion."""
    await end_session()
    page.say("Grading …")
    progress = await page.post(PROGRESS, {"answers": page.answers(), "finish": True})
    page.show_result(progress["last_result"])


async def end_session() -> Receipt | None:
    """End the session if one runs; after a failed finish there is none to end."""
    activity = timeback.activity.current
    if activity is None:
        return None
    await save_answers()
    return await activity.end()


async def save_answers() -> None:
    """Save what is filled in. The run_id goes along: then nothing is lost if the first save failed."""
    if activity := timeback.activity.current:
        await page.post(PROGRESS, {"run_id": activity.run_id, "answers": page.answers()})


async def show_time() -> None:
    """Redraw the timer four times a second: it shows what is measured, it measures nothing."""
    while True:
        if activity := timeback.activity.current:
            page.show_time(activity.total_active_ms, activity.stats)
        await asyncio.sleep(0.25)


async def show_buttons() -> None:
    """Offer what is possible now."""
    progress = await page.get(PROGRESS)
    running = timeback.activity.current is not None
    page.show_buttons(running=running, resumable=progress["run_id"] is not None)


@when("click", "#start, #resume")
async def _() -> None:
    await page.perform(begin, show_buttons)


@when("click", "#leave")
async def _() -> None:
    await page.perform(leave, show_buttons)


@when("click", "#finish")
async def _() -> None:
    await page.perform(finish, show_buttons)


@when("change", "#answers")
async def _() -> None:
    await page.perform(save_answers)


async def open_page() -> None:
    lesson, progress = await page.get(LESSON), await page.get(PROGRESS)
    page.show_lesson(lesson["questions"], progress)


async def main() -> None:
    await page.perform(open_page, show_buttons)
    page.ready()
    await show_time()


page.run(main())
