"""What one accepting transaction holds: the commands of many requests, without those whose client
ids are known. Pure: no I/O, so that every order of events can be tested."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gomatch.engine import CancelAll, Command, SetState
from gomatch.store.records import Acceptance, ClaimedId, ClaimKey, ClaimKind, ClientClaim


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A client id that came with the command at ``position`` of its submission. ``digest`` is
    that of the normalised command and its market."""

    position: int
    kind: ClaimKind
    client_id: str
    digest: bytes


class Settled(NamedTuple):
    """A command that was not accepted now because its client id was known.

    ``conflict`` tells that the first use was for something else; otherwise ``number`` of
    ``symbol`` and ``accepted_at`` (microseconds) are the first answer.
    """

    conflict: bool
    kind: ClaimKind
    symbol: str
    number: int
    accepted_at: int


@dataclass(slots=True)
class Accepted:
    """The outcome of a submission: a number for each command, with the settled ones beside it."""

    numbers: Sequence[int]
    accepted_at: int
    settled: Mapping[int, Settled]


@dataclass(slots=True)
class Submission:
    """One request's commands for one market. They get consecutive places in this order."""

    user: int
    commands: Sequence[Command]
    claims: Sequence[Claim]
    future: asyncio.Future[Accepted]
    trace: str = ""
    since: float = 0.0
    """When it came in, on the loop's clock."""
    settled: dict[int, Settled] = field(default_factory=dict)
    followers: dict[int, tuple[Submission, Claim]] = field(default_factory=dict)
    """Position -> the first use of the same client id in the same plan."""
    numbers: Sequence[int] = ()
    whole: bool = False
    """Its commands belong together under its one client id: where that is known, none of them is
    accepted."""

    @property
    def is_control(self) -> bool:
        """It halts or empties the market, which a full backlog must not prevent."""
        return all(isinstance(command, SetState | CancelAll) for command in self.commands)

    def leave_plan(self) -> None:
        """Forget what a plan found that is given up, before another plan takes it in."""
        self.settled.clear()
        self.followers.clear()


class AcceptPlan:
    """``build`` what to accept; ``settle`` what exists already and build again; ``complete``."""

    def __init__(self, symbol: str, submissions: Sequence[Submission]) -> None:
        self._symbol = symbol
        self._submissions = submissions
        self.keys: set[ClaimKey] = {
            (submission.user, claim.kind, claim.client_id)
            for submission in submissions
            for claim in submission.claims
        }
        """All client ids of the plan."""
        if len(self.keys) != sum(len(submission.claims) for submission in submissions):
            self._find_followers()

    def build(self) -> tuple[list[Command], list[ClientClaim]]:
        """The commands to accept, in order, and the client ids among them."""
        commands: list[Command] = []
        claims: list[ClientClaim] = []
        for submission in self._submissions:
            if submission.settled or submission.followers:
                positions = self._place_some(submission, commands)
                claims += [
                    ClientClaim(
                        submission.user,
                        claim.kind,
                        claim.client_id,
                        positions[claim.position],
                        claim.digest,
                    )
                    for claim in submission.claims
                    if claim.position in positions
                ]
                continue
            base = len(commands)
            submission.numbers = range(base, base + len(submission.commands))
            commands.extend(submission.commands)
            user = submission.user
            claims += [
                ClientClaim(user, claim.kind, claim.client_id, base + claim.position, claim.digest)
                for claim in submission.claims
            ]
        return commands, claims

    def settle(self, existing: Mapping[ClaimKey, ClaimedId]) -> int:
        """Take out the commands whose client ids exist already; returns how many."""
        count = 0
        for submission in self._submissions:
            for claim in submission.claims:
                known = existing.get((submission.user, claim.kind, claim.client_id))
                before = submission.settled.get(claim.position)
                if known is None or (before is not None and before.number):
                    continue
                submission.followers.pop(claim.position, None)
                submission.settled[claim.position] = Settled(
                    known.digest != claim.digest,
                    claim.kind,
                    known.symbol,
                    known.number,
                    known.accepted_at,
                )
                count += 1
        return count

    def complete(self, acceptance: Acceptance | None) -> None:
        """Answer every submission. None: nothing was left to accept."""
        first, accepted_at = (acceptance.first, acceptance.accepted_at) if acceptance else (0, 0)
        for submission in self._submissions:
            numbers = submission.numbers
            submission.numbers = (
                range(first + numbers.start, first + numbers.stop)
                if isinstance(numbers, range)
                else [first + place for place in numbers]
            )
        for submission in self._submissions:
            for position, (leader, first_use) in submission.followers.items():
                self._follow(submission, position, leader, first_use, accepted_at)
        for submission in self._submissions:
            if not submission.future.done():
                submission.future.set_result(
                    Accepted(submission.numbers, accepted_at, submission.settled)
                )

    def _place_some(self, submission: Submission, commands: list[Command]) -> dict[int, int]:
        """Append what is neither settled nor a follower, nothing where these stand for the
        whole; the others keep a place that nobody reads. Returns position -> offset."""
        offsets: dict[int, int] = {}
        numbers: list[int] = []
        for position, command in enumerate(submission.commands):
            numbers.append(len(commands))
            if (
                submission.whole
                or position in submission.settled
                or position in submission.followers
            ):
                continue
            offsets[position] = len(commands)
            commands.append(command)
        submission.numbers = numbers
        return offsets

    def _find_followers(self) -> None:
        """The same client id twice in one plan: the later one follows the first, or conflicts."""
        firsts: dict[ClaimKey, tuple[Submission, Claim]] = {}
        for submission in self._submissions:
            for claim in submission.claims:
                key = (submission.user, claim.kind, claim.client_id)
                leader, first = firsts.setdefault(key, (submission, claim))
                if first is claim:
                    continue
                if first.digest == claim.digest:
                    submission.followers[claim.position] = leader, first
                else:
                    submission.settled[claim.position] = Settled(
                        True, claim.kind, self._symbol, 0, 0
                    )

    def _follow(
        self, submission: Submission, position: int, leader: Submission, first: Claim, at: int
    ) -> None:
        known = leader.settled.get(first.position)
        if known is None:
            number = leader.numbers[first.position]
            known = Settled(False, first.kind, self._symbol, number, at)
        submission.settled[position] = known
