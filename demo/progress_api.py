"""The app's own API: a lesson's questions, the learner's progress, and the completion at the end."""

import asyncio
import inspect
import logging
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator
from starlette.requests import Request
from timeback.server.adapters.fastapi import TimebackFastAPI

from demo.lessons import LESSONS, Lesson, for_the_page, grade
from demo.official import GetEmail
from demo.progress import Attempt, ProgressConflictError, ProgressStore

log = logging.getLogger("demo.progress")


def _a_uuid(value: str) -> str:
    """The official server takes nothing else. The text stays as it was sent, for it is what correlates."""
    UUID(value)
    return value


RunId = Annotated[str, StringConstraints(min_length=36, max_length=36), AfterValidator(_a_uuid)]
Answer = Annotated[str, StringConstraints(max_length=40)]


class ProgressUpdate(BaseModel):
    """The body of a POST: at least one of the three, done in this order."""

    model_config = ConfigDict(extra="forbid")

    run_id: RunId | None = None
    answers: dict[str, Answer] | None = None
    finish: Literal[True] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.run_id is None and self.answers is None and self.finish is None:
            raise ValueError("give at least one of run_id, answers, finish")
        return self


class RecordError(Exception):
    """The completion did not reach the platform; the attempt stays open."""


class Completions:
    """Grades an attempt and records it with the platform, once, however many ask at the same time."""

    def __init__(self, store: ProgressStore, timeback: TimebackFastAPI) -> None:
        self._store = store
        self._timeback = timeback
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def apply(self, update: ProgressUpdate, student: str, lesson: Lesson) -> None:
        """Start, save and finish, as far as `update` says.

        A finish sent again, its answer lost, changes nothing. Raises ProgressConflictError when no attempt is
        open, RecordError when the platform did not take the completion.
        """
        last = self._store.latest(student, lesson.id)
        is_over = last is not None and last.result is not None and update.run_id in {None, last.run_id}
        if update.finish and is_over:
            return
        if update.run_id is not None:
            self._store.start(student, lesson.id, update.run_id)
        if update.answers is not None:
            self._store.save_answers(self._store.open_attempt(student, lesson.id).run_id, update.answers)
        if update.finish:
            await self._finish(student, lesson, self._store.open_attempt(student, lesson.id))

    async def _finish(self, student: str, lesson: Lesson, attempt: Attempt) -> None:
        task = self._under_way.get(attempt.run_id)
        if task is None:
            task = asyncio.create_task(self._record(student, lesson, attempt))
            self._under_way[attempt.run_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(attempt.run_id))
        await asyncio.shield(task)

    async def _record(self, student: str, lesson: Lesson, attempt: Attempt) -> None:
        result = grade(lesson, attempt.answers)
        try:
            # No `time`: the page's heartbeats have reported it, and it would count twice.
            await self._timeback.activity.record(
                {
                    "user": {"email": student},
                    "activity": {"id": lesson.id, "name": lesson.name, "course": dict(lesson.course)},
                    "metrics": {
                        "xp_earned": result.xp_earned,
                        "total_questions": result.total,
                        "correct_questions": result.correct,
                        "mastered_units": result.mastered_units,
                    },
                    "run_id": attempt.run_id,
                }
            )
        except Exception as error:
            # Whatever the reason, an unrecorded attempt must stay open.
            log.warning("Run %s could not be recorded: %s", attempt.run_id, error)
            raise RecordError(f"Timeback did not take the result ({error}). Nothing is lost: try again.") from error
        self._store.finish(
            attempt.run_id,
            {
                "run_id": attempt.run_id,
                "correct": result.correct,
                "total": result.total,
                "xp_earned": result.xp_earned,
            },
        )


def api_router(store: ProgressStore, timeback: TimebackFastAPI, get_email: GetEmail) -> APIRouter:
    """The routes under `/api`, for whoever `get_email` says is signed in."""
    router = APIRouter(prefix="/api")
    completions = Completions(store, timeback)

    async def signed_in(request: Request) -> str:
        found = get_email(request)
        email = await found if inspect.isawaitable(found) else found
        if not email:
            raise HTTPException(401, "Not signed in.")
        return email

    @router.get("/lessons/{lesson}")
    async def read_lesson(lesson: OneLesson) -> dict[str, Any]:
        return for_the_page(lesson)

    @router.get("/progress/{lesson}")
    async def read_progress(lesson: OneLesson, student: Annotated[str, Depends(signed_in)]) -> dict[str, Any]:
        return progress_of(store, student, lesson)

    @router.post("/progress/{lesson}")
    async def write_progress(
        update: ProgressUpdate, lesson: OneLesson, student: Annotated[str, Depends(signed_in)]
    ) -> dict[str, Any]:
        check_questions(lesson, update.answers or {})
        try:
            await completions.apply(update, student, lesson)
        except ProgressConflictError as conflict:
            raise HTTPException(409, str(conflict)) from conflict
        except RecordError as error:
            raise HTTPException(502, str(error)) from error
        return progress_of(store, student, lesson)

    return router


def find_lesson(lesson: str) -> Lesson:
    if lesson not in LESSONS:
        raise HTTPException(404, f"There is no lesson {lesson!r}; there is {', '.join(LESSONS)}.")
    return LESSONS[lesson]


OneLesson = Annotated[Lesson, Depends(find_lesson)]


def check_questions(lesson: Lesson, answers: dict[str, str]) -> None:
    """Raise the framework's own 422, naming the answer, for a question that the lesson does not have."""
    known = [question.id for question in lesson.questions]
    problems = [
        {
            "type": "unknown_question",
            "loc": ("body", "answers", question_id),
            "msg": f"The questions are {', '.join(known)}.",
        }
        for question_id in answers
        if question_id not in known
    ]
    if problems:
        raise RequestValidationError(problems)


def progress_of(store: ProgressStore, student: str, lesson: Lesson) -> dict[str, Any]:
    """What the page needs to go on: the open run, or None when the next attempt needs a fresh one."""
    attempt = store.latest(student, lesson.id)
    finished = store.latest_finished(student, lesson.id)
    open_attempt = attempt if attempt is not None and attempt.result is None else None
    return {
        "run_id": open_attempt.run_id if open_attempt else None,
        "answers": open_attempt.answers if open_attempt else {},
        "completed": finished is not None and open_attempt is None,
        "last_result": finished.result if finished else None,
    }
