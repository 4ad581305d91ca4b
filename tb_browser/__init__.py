"""tb_browser: how long a student really works on a learning activity, tracked in Python, in the browser.

from tb_browser import create_client

timeback = create_client()
activity = timeback.activity.start(id="fractions-1", name="Fractions", course={"subject": "Math", "grade": 3})
...
await activity.end()
"""

from tb_browser._callbacks import ErrorContext
from tb_browser.activity import Activity
from tb_browser.auth import Auth, bearer
from tb_browser.client import Activities, Timeback, create_client
from tb_browser.errors import (
    ActivityEndedError,
    ActivityInProgressError,
    CallbackError,
    DeliveryError,
    InvalidInputError,
    LossReason,
    LostError,
    NotSignedInError,
    RejectedError,
    SameRunElsewhereError,
    TimebackError,
    UnavailableError,
    UnreachableError,
    UserUnresolvedError,
    WrongAddressError,
)
from tb_browser.models import (
    Course,
    EnrolledCourse,
    Goals,
    Metrics,
    Profile,
    Receipt,
    Retry,
    School,
    Stats,
    TimeSpent,
    TimeTracking,
    Verification,
    Xp,
)
from tb_browser.user import User

__all__ = [
    "Activities",
    "Activity",
    "ActivityEndedError",
    "ActivityInProgressError",
    "Auth",
    "CallbackError",
    "Course",
    "DeliveryError",
    "EnrolledCourse",
    "ErrorContext",
    "Goals",
    "InvalidInputError",
    "LossReason",
    "LostError",
    "Metrics",
    "NotSignedInError",
    "Profile",
    "Receipt",
    "RejectedError",
    "Retry",
    "SameRunElsewhereError",
    "School",
    "Stats",
    "TimeSpent",
    "TimeTracking",
    "Timeback",
    "TimebackError",
    "UnavailableError",
    "UnreachableError",
    "User",
    "UserUnresolvedError",
    "Verification",
    "WrongAddressError",
    "Xp",
    "bearer",
    "create_client",
]
