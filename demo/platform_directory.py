"""The people and courses that the stand-in knows, in the shapes that the platform answers with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class User:
    """A person in the directory. Two users with one e-mail make that e-mail ambiguous, as on the platform."""

    id: str
    email: str
    given_name: str
    family_name: str
    grade: int = 3
    course_ids: tuple[str, ...] = ("course-math-3",)


STUDENT = User("student-1", "student@example.com", "Sam", "Student")


def select(entities: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """Those that satisfy `where`: "a='x' AND b.c='y'", the only form of filter that the package sends."""
    terms = re.findall(r"([\w.]+)='((?:[^']|'')*)'", where)
    return [
        entity
        for entity in entities
        if all(_value_at(entity, path) == value.replace("''", "'") for path, value in terms)
    ]


def _value_at(entity: Mapping[str, Any], path: str) -> object:
    value: Any = entity
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def user_entity(user: User) -> dict[str, Any]:
    return {
        "sourcedId": user.id,
        "status": "active",
        "email": user.email,
        "givenName": user.given_name,
        "familyName": user.family_name,
        "enabledUser": True,
        "grades": [str(user.grade)],
        "primaryOrg": {"sourcedId": "org-1", "name": "Test School"},
    }


def enrollment_entity(course_id: str) -> dict[str, Any]:
    return {
        "id": f"enrollment-{course_id}",
        "role": "student",
        "metadata": {"goals": {"dailyXp": 20, "dailyLessons": 2}},
        "course": {"id": course_id, "title": "Math G3", "metadata": {}},
        "school": {"id": "org-1", "name": "Test School"},
    }
