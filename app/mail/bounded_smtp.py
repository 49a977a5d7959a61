"""smtplib's connections with time limits: for each step, for an attempt, and for the answer to a mail's content.

What is said on them: transport.py.
"""

import io
import smtplib
import socket
import time
from typing import Any

STEP_S = 20  # for connecting to the server, and again for its answer to each command
ATTEMPT_S = 120  # from `connect` to the end of the mail's content, all steps and connections together
# For the answer to the content. A server that scans the content needs time, and may accept it even after the client has
# disconnected. The client would then send the mail again and again. RFC 5321, 4.5.3.2.6 demands ten minutes.
ANSWER_TO_CONTENT_S = 10 * 60
# The longest time for an attempt, including QUIT. It takes longer only if more than six addresses of a server do not
# answer: 20 s for each.
LONGEST_S = ATTEMPT_S + ANSWER_TO_CONTENT_S + STEP_S


class _Bounded:
    """A mix-in with time limits for smtplib's classes: one for each step, and a deadline for all steps together.

    Attributes:
        has_content: The server has received the whole mail. It may accept the mail even if the connection then fails.
    """

    sock: socket.socket
    file: io.BufferedReader | None
    has_content = False

    def __init__(self, deadline: float, *args: Any, **more: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **more)

    def end_by(self, deadline: float) -> None:
        """Set the deadline for all further steps.

        Args:
            deadline: Seconds of time.monotonic.
        """
        self._deadline = deadline
        self.has_content = False

    def begin_step(self) -> None:
        """Set the socket's time-out for the next step, at most what is left of the deadline.

        Raises:
            TimeoutError: No time is left."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.sock.settimeout(left_s if self.has_content else min(STEP_S, left_s))

    def send(self, data: str | bytes) -> None:
        if self.sock:  # without a socket smtplib itself raises an error
            self.begin_step()
        super().send(data)  # type: ignore[misc]  # smtplib's, which stands behind this mixin
        if isinstance(data, bytes) and data.endswith(b"\r\n.\r\n"):  # the end of a mail; commands are str
            self.end_by(time.monotonic() + ANSWER_TO_CONTENT_S)
            self.has_content = True

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_TimedReader(self))
        return super().getreply()  # type: ignore[misc,no-any-return]  # smtplib's likewise


class _TimedReader(io.RawIOBase):
    """A reader of a server's answers.

    The time limit is set anew before each read, from what is left of the deadline. Otherwise a server that sends byte
    by byte could go on for ever.
    """

    def __init__(self, smtp: _Bounded) -> None:
        self._smtp = smtp

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._smtp.begin_step()
        return self._smtp.sock.recv_into(buffer)


class Plain(_Bounded, smtplib.SMTP):  # type: ignore[misc]  # typeshed declares send and sock otherwise
    pass


class Encrypted(_Bounded, smtplib.SMTP_SSL):  # type: ignore[misc]  # likewise
    pass
