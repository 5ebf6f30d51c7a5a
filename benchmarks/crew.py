"""The contenders' processes: started when first needed, asked in turn, stopped in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from checks import WrongResultError

WORKER = Path(__file__).parent / "worker.py"


class MissingError(Exception):
    """A contender cannot take part here."""


class FailedError(Exception):
    """A contender broke down."""


ERRORS = {"missing": MissingError, "wrong": WrongResultError, "failed": FailedError}


class Member:
    """A worker process, which does not run unless it is asked for something."""

    def __init__(self, contender: str) -> None:
        self.contender = contender
        self.log = TemporaryFile()  # noqa: SIM115 -- read when the process has broken down
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORKER), contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )

    def ask(self, command: str, *arguments: Any) -> Any:
        """Have a command carried out and return its result."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise FailedError(f"the process of {self.contender} ended\n{self._last_words()}")
        os.kill(self.process.pid, signal.SIGSTOP)  # its threads shall not spin beside the others
        kind, value = json.loads(line)
        if kind != "done":
            raise ERRORS[kind](value)
        return value

    def time(self) -> float:
        """Return the time of one step of its job."""
        return self.ask("time")

    def _last_words(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def dismiss(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.log.close()


class Crew:
    """All members, by contender; leaving the context ends them."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.versions: dict[str, str] = {}
        self.missing: set[str] = set()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        for member in self.members.values():
            member.dismiss()

    def present(self, contenders: Sequence[str]) -> list[Member]:
        """Return those who can take part; the reasons of the others are printed once."""
        found = []
        for contender in contenders:
            if contender not in self.missing:
                try:
                    found.append(self.member(contender))
                except MissingError as reason:
                    self.missing.add(contender)
                    print(f"{contender} is left out: {reason}", flush=True)
        return found

    def member(self, contender: str) -> Member:
        """Return a contender's process.

        Raises
        ------
        MissingError
            If it cannot take part here.
        """
        if contender not in self.members:
            member = self.members[contender] = Member(contender)
            try:
                self.versions[contender] = member.ask("prepare")
            except MissingError:
                self.members.pop(contender).dismiss()
                raise
        return self.members[contender]
