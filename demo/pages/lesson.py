"""A lesson that a learner works on over as many visits as it takes, with its time tracked by tb_browser."""

import asyncio
from typing import Any

import page
from pyscript import when  # pyright: ignore[reportMissingImports]

from tb_browser import Activity, create_client

LESSON = "/api/lessons/lesson-1"
PROGRESS = "/api/progress/lesson-1"

timeback = create_client()


class LessonPage:
    """One learner's work: the lesson and the saved progress from the server, the activity from tb_browser."""

    def __init__(self, lesson: dict[str, Any], progress: dict[str, Any]) -> None:
        self.lesson = lesson
        self.progress = progress
        self.activity: Activity | None = None
        page.show_lesson(lesson["questions"], progress)

    async def begin(self) -> None:
        """Start a run, or resume the saved one: the same call, without and with its run_id."""
        self.progress = await page.get(PROGRESS)
        self.activity = timeback.activity.start(
            id=self.lesson["id"],
            name=self.lesson["name"],
            course=self.lesson["course"],
            run_id=self.progress["run_id"],  # None on the first visit: a fresh one is made
            on_error=page.show_delivery_error,
        )
        page.say("Your time is running. Leave whenever you like: your answers and your time are kept.")
        if self.progress["run_id"] is None:
            await self.save(run_id=self.activity.run_id)

    async def leave(self) -> None:
        """Deliver the time, without a completion: the run stays open, to be resumed another day."""
        if self.activity:
            receipt = await self.activity.end()
            page.say("See you soon." if receipt.delivered else "See you soon. Your time will be sent later.")
        await self.save_answers()

    async def finish(self) -> None:
        """Deliver the time, then let the server grade the answers and record the completion."""
        if self.activity:
            await self.activity.end()
        page.say("Grading …")
        await self.save(answers=page.answers(), finish=True)
        page.show_result(self.progress["last_result"])
        page.clear_answers()

    async def save_answers(self) -> None:
        """Save what is filled in; the run_id goes along, in case that saving it at the start failed."""
        if self.activity:
            await self.save(run_id=self.activity.run_id, answers=page.answers())

    async def save(self, **changes: object) -> None:
        self.progress = await page.post(PROGRESS, changes)

    async def show_buttons(self) -> None:
        """Offer what is possible now."""
        running = timeback.activity.current is not None
        page.show_buttons(running=running, resumable=self.progress["run_id"] is not None)

    def show_time(self) -> None:
        """Show what is measured; nothing is measured here."""
        if self.activity:
            page.show_time(self.activity.total_active_ms, self.activity.stats)


async def main() -> None:
    lesson = LessonPage(await page.get(LESSON), await page.get(PROGRESS))

    @when("click", "#start, #resume")
    async def _() -> None:
        await page.perform(lesson.begin, lesson.show_buttons)

    @when("click", "#leave")
    async def _() -> None:
        await page.perform(lesson.leave, lesson.show_buttons)

    @when("click", "#finish")
    async def _() -> None:
        await page.perform(lesson.finish, lesson.show_buttons)

    @when("change", "#answers")
    async def _() -> None:
        await page.perform(lesson.save_answers, lock_buttons=False)

    await lesson.show_buttons()
    page.ready()
    while True:
        lesson.show_time()
        await asyncio.sleep(0.25)


page.run(main())
