"""How the processes that deliver end: at a signal, after what is under way."""

import signal
import threading


def stop_at_signals() -> threading.Event:
    """Return an event that is set at SIGTERM and SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Another thread sets the event. The handler interrupts this thread, which may hold the event's own lock.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    return stop
