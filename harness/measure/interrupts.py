"""The signals that ask a command to end: Ctrl-C, termination, and a terminal that was closed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Notes the signals of a command along its runs, whatever is at work when they come."""

    def __init__(self) -> None:
        self.received: list[signal.Signals] = []
        self._act: Callable[[], None] | None = None
        self._process = os.getpid()

    def listen(self, act: Callable[[], None] | None) -> None:
        """From now on a signal is noted, and `act` called if there is something to stop."""
        self._act = act
        # Not loop.add_signal_handler: its wake-up socket would be shared with the engine processes
        # that vLLM forks, and a signal to one of them would look like one to us.
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # under nohup, a closed terminal is no reason to end
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if os.getpid() != self._process:
            os._exit(128 + number)  # an engine process just forked, still with our handler
        self.received.append(signal.Signals(number))
        if self._act is not None:
            self._act()
