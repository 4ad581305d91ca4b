"""The lessons: their questions, and how answers are graded. The page never sees `Question.answer`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

XP_PER_ANSWER = 2
MASTERY_SHARE = Fraction(4, 5)


@dataclass(frozen=True)
class Question:
    """One question; with `choices` the learner picks, without them the learner writes a fraction."""

    id: str
    text: str
    answer: Fraction
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    id: str
    name: str
    course: Mapping[str, Any]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Grade:
    """What the answers to one attempt are worth."""

    correct: int
    total: int
    xp_earned: int
    mastered_units: int


LESSONS = {
    "lesson-1": Lesson(
        id="lesson-1",
        name="Fractions",
        course={"subject": "Math", "grade": 3},
        questions=(
            Question("q1", "A pizza is cut into 4 equal slices. You eat 2. Which fraction is left?", Fraction(1, 2)),
            Question("q2", "Which fraction is larger?", Fraction(3, 4), ("2/3", "3/4")),
            Question("q3", "1/5 + 2/5 = ?", Fraction(3, 5)),
            Question("q4", "Which fraction is equal to 1/3?", Fraction(2, 6), ("2/6", "1/6", "3/6")),
            Question("q5", "How many eighths make one half? Write the fraction.", Fraction(4, 8)),
        ),
    )
}


def as_fraction(answer: str) -> Fraction | None:
    """Read "3/4", " 3 / 4 " or "2"; anything else is no fraction.

    The pattern bounds the digits: `Fraction("1e999999")` would compute for minutes.
    """
    found = re.fullmatch(r"\s*([0-9]{1,4})\s*(?:/\s*([0-9]{1,4}))?\s*", answer)
    if found is None or int(found[2] or 1) == 0:
        return None
    return Fraction(int(found[1]), int(found[2] or 1))


def grade(lesson: Lesson, answers: Mapping[str, str]) -> Grade:
    """Compare by value, so that 2/4 is as good as 1/2."""
    correct = sum(as_fraction(answers.get(question.id, "")) == question.answer for question in lesson.questions)
    total = len(lesson.questions)
    return Grade(
        correct=correct,
        total=total,
        xp_earned=correct * XP_PER_ANSWER,
        mastered_units=1 if Fraction(correct, total) >= MASTERY_SHARE else 0,
    )


def for_the_page(lesson: Lesson) -> dict[str, Any]:
    """The lesson without its answers."""
    return {
        "id": lesson.id,
        "name": lesson.name,
        "course": dict(lesson.course),
        "questions": [
            {"id": question.id, "text": question.text, "choices": list(question.choices)}
            for question in lesson.questions
        ],
    }
