import asyncio
from collections.abc import Sequence

import pytest

from gomatch.engine import CancelAll, CancelOrder, Command, SetState, TradingState
from gomatch.errors import BacklogFull, ReservationRefused, StoreUnavailable, UnknownMarket
from gomatch.store.records import ClaimKind, ClientClaim
from gomatch_api import codes
from gomatch_api.accept_plan import Accepted, Claim
from gomatch_api.codes import ProblemCode
from gomatch_api.intake import ENOUGH, spacing
from gomatch_api.problems import Problem
from tests.unit.api.doubles import Venue


def cancels(*orders: int, user: int = 7) -> list[Command]:
    return [CancelOrder(user, order) for order in orders]


def claim(position: int, name: str, digest: bytes = b"d" * 16) -> Claim:
    return Claim(position, ClaimKind.REQUEST, name, digest)


async def submit(
    venue: Venue, commands: Sequence[Command], *claims: Claim, user: int = 7
) -> Accepted:
    return await venue.intake.submit(venue.btc, user, commands, claims)


async def refusal(venue: Venue, *commands: Command) -> ProblemCode:
    with pytest.raises(Problem) as caught:
        await submit(venue, commands or cancels(1))
    return caught.value.code


async def waiting_commands(venue: Venue, count: int) -> None:
    """Return once that many commands wait behind the accept that is held back."""
    async with asyncio.timeout(10):
        while not (venue.store.running and venue.intake.waiting == count):
            await asyncio.sleep(0)


async def test_commands_get_consecutive_numbers_and_are_published_once() -> None:
    venue = await Venue.open()
    accepted = await submit(venue, cancels(5, 6, 7))
    assert list(accepted.numbers) == [1, 2, 3]
    assert accepted.accepted_at == 1_000_000
    await venue.intake.close()
    (batch,) = venue.broker.batches
    assert (batch.market, batch.first, batch.last) == ("BTC-USDT", 1, 3)
    assert list(batch.commands()) == cancels(5, 6, 7)


async def test_what_arrives_meanwhile_shares_the_next_accept() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    first = asyncio.create_task(submit(venue, cancels(1)))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(submit(venue, cancels(number))) for number in range(2, 12)]
    await waiting_commands(venue, 10)
    venue.store.gate.set()
    await asyncio.gather(first, *rest)
    assert venue.store.batches == [1, 10]
    assert venue.store.most_running == 1
    assert venue.commands() == cancels(*range(1, 12))


async def test_requests_stay_whole_and_batches_bounded() -> None:
    venue = await Venue.open(accept_batch=10)
    sizes = [4, 4, 4, 25, 1]
    await asyncio.gather(*(submit(venue, cancels(*range(size))) for size in sizes))
    assert venue.store.batches == [8, 4, 25, 1]


async def test_accepts_keep_their_distance_until_enough_waits() -> None:
    venue = await Venue.open(accept_interval=3600.0)
    first = await venue.intake.submit(venue.btc, 7, cancels(1))
    assert list(first.numbers) == [1], "nothing waits after a quiet moment"
    waiting = [
        asyncio.create_task(venue.intake.submit(venue.btc, 7, cancels(2))),
        asyncio.create_task(venue.intake.submit(venue.btc, 8, cancels(3, user=8))),
    ]
    done, _ = await asyncio.wait(waiting, timeout=0.05)
    assert not done
    many = await venue.intake.submit(venue.btc, 9, cancels(*range(4, 4 + ENOUGH), user=9))
    assert [list((await task).numbers) for task in waiting] == [[2], [3]]
    assert many.numbers[0] == 4
    assert venue.store.batches == [1, 2 + ENOUGH]


async def test_what_waits_for_its_distance_is_accepted_when_the_time_has_come() -> None:
    venue = await Venue.open(accept_interval=0.02)
    await venue.intake.submit(venue.btc, 7, cancels(1))
    together = [venue.intake.submit(venue.btc, 7, cancels(order)) for order in (2, 3, 4)]
    async with asyncio.timeout(10):
        assert [list(one.numbers) for one in await asyncio.gather(*together)] == [[2], [3], [4]]
    assert venue.store.batches == [1, 3]


async def test_closing_does_not_wait_for_the_distance() -> None:
    venue = await Venue.open(accept_interval=3600.0)
    await venue.intake.submit(venue.btc, 7, cancels(1))
    last = asyncio.create_task(venue.intake.submit(venue.btc, 7, cancels(2)))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await venue.intake.close()
    assert list((await last).numbers) == [2]


async def test_markets_do_not_wait_for_each_other() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    eth = venue.markets.get("ETH-USDT")
    assert eth is not None
    both = asyncio.gather(submit(venue, cancels(1)), venue.intake.submit(eth, 7, cancels(1)))
    while venue.store.running < 2:
        await asyncio.sleep(0)
    venue.store.gate.set()
    await both


async def test_too_many_waiting_commands_are_refused_at_once() -> None:
    venue = await Venue.open(intake_limit=10)
    venue.store.gate.clear()
    waiting = [asyncio.create_task(submit(venue, cancels(*range(5))))]
    while not venue.store.running:
        await asyncio.sleep(0)
    waiting += [asyncio.create_task(submit(venue, cancels(*range(5)))) for _ in range(2)]
    await asyncio.sleep(0)
    assert await refusal(venue) is codes.OVERLOADED
    assert venue.intake.waiting == 10
    venue.store.gate.set()
    await asyncio.gather(*waiting)
    assert (await submit(venue, cancels(1))).numbers[0] == 16


async def test_the_same_request_again_gets_the_first_answer() -> None:
    venue = await Venue.open()
    await submit(venue, cancels(1))
    first = await submit(venue, cancels(2), claim(0, "a"))
    again = await submit(venue, cancels(2), claim(0, "a"))
    assert first.numbers[0] == 2
    settled = again.settled[0]
    assert (settled.conflict, settled.number, settled.accepted_at) == (False, 2, first.accepted_at)
    assert len(venue.commands()) == 2


async def test_duplicates_do_not_disturb_the_others_of_a_batch() -> None:
    venue = await Venue.open()
    await submit(venue, cancels(1), claim(0, "a"))
    accepted = await submit(
        venue, cancels(9, 1, 8, 7), claim(1, "a"), claim(2, "b"), claim(3, "a", b"other")
    )
    assert venue.commands() == cancels(1, 9, 8)
    assert accepted.numbers[0] == 2
    assert accepted.numbers[2] == 3
    assert (accepted.settled[1].conflict, accepted.settled[1].number) == (False, 1)
    assert accepted.settled[3].conflict
    assert set(accepted.settled) == {1, 3}


async def test_the_same_id_twice_in_one_request() -> None:
    venue = await Venue.open()
    accepted = await submit(
        venue, cancels(1, 1, 2, 3), claim(0, "a"), claim(1, "a"), claim(3, "a", b"other")
    )
    assert venue.commands() == cancels(1, 2)
    assert accepted.numbers[0] == 1
    assert accepted.numbers[2] == 2
    assert (accepted.settled[1].number, accepted.settled[1].accepted_at) == (
        1,
        accepted.accepted_at,
    )
    assert accepted.settled[3].conflict


async def test_the_same_id_in_two_requests_at_once() -> None:
    venue = await Venue.open()
    one, two, other, stranger = await asyncio.gather(
        submit(venue, cancels(1), claim(0, "a")),
        submit(venue, cancels(2, 1), claim(1, "a")),
        submit(venue, cancels(3), claim(0, "a", b"other")),
        submit(venue, cancels(4, user=8), claim(0, "a"), user=8),
    )
    assert one.numbers[0] == 1
    assert two.settled[1].number == 1
    assert two.numbers[0] == 2
    assert other.settled[0].conflict
    assert stranger.numbers[0] == 3
    assert not stranger.settled


async def test_another_replica_that_takes_an_id_meanwhile() -> None:
    """The accept sees a duplicate that nobody saw before, twice in a row."""
    venue = await Venue.open()
    names = iter(("a", "b"))

    def intrude() -> None:
        name = next(names, None)
        if name is not None:
            stolen = ClientClaim(7, ClaimKind.REQUEST, name, 0, b"d" * 16)
            venue.store.claim(stolen, 1, 90 + ord(name), 5)

    venue.store.before_accept = intrude
    accepted = await submit(venue, cancels(1, 2, 3), claim(0, "a"), claim(1, "b"), claim(2, "c"))
    assert accepted.settled[0].number == 90 + ord("a")
    assert accepted.settled[1].number == 90 + ord("b")
    assert venue.commands() == cancels(3)


async def test_followers_share_the_answer_of_a_request_that_was_known() -> None:
    venue = await Venue.open()
    await submit(venue, cancels(1), claim(0, "a"))
    one, two = await asyncio.gather(
        submit(venue, cancels(1), claim(0, "a")), submit(venue, cancels(1), claim(0, "a"))
    )
    assert one.settled[0].number == two.settled[0].number == 1
    assert len(venue.commands()) == 1


async def test_a_known_request_is_recognised_behind_a_conflicting_one() -> None:
    venue = await Venue.open()
    await submit(venue, cancels(1), claim(0, "a"))
    wrong, right = await asyncio.gather(
        submit(venue, cancels(2), claim(0, "a", b"other")),
        submit(venue, cancels(1), claim(0, "a")),
    )
    assert wrong.settled[0].conflict
    assert (right.settled[0].conflict, right.settled[0].number) == (False, 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BacklogFull("full"), codes.BACKLOG_FULL),
        (UnknownMarket("gone"), codes.UNKNOWN_MARKET),
        (StoreUnavailable("refused"), codes.NOT_ACCEPTED),
        (StoreUnavailable("lost", outcome_unknown=True), codes.OUTCOME_UNKNOWN),
        (ZeroDivisionError(), codes.INTERNAL_ERROR),
    ],
)
async def test_each_failure_says_what_it_means(error: Exception, code: ProblemCode) -> None:
    venue = await Venue.open()
    venue.store.failures.append(error)
    assert await refusal(venue) is code
    assert venue.commands() == []


async def flood(venue: Venue, *submissions: Sequence[Command]) -> list[Accepted | BaseException]:
    """Submit all of them at once behind another one, so that they share an accept."""
    venue.store.gate.clear()
    first = asyncio.create_task(submit(venue, cancels(1)))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(submit(venue, commands)) for commands in submissions]
    await asyncio.sleep(0)
    venue.store.gate.set()
    await first
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def outcome(answer: Accepted | BaseException) -> ProblemCode | int:
    if isinstance(answer, Problem):
        return answer.code
    assert isinstance(answer, Accepted)
    return answer.numbers[0]


async def test_a_flooded_market_can_still_be_halted_and_emptied() -> None:
    venue = await Venue.open(backlog_limit=10)
    await submit(venue, cancels(*range(9)))
    halt: list[Command] = [SetState(TradingState.HALTED)]
    answers = await flood(venue, cancels(2), halt, cancels(3))
    assert list(map(outcome, answers)) == [codes.BACKLOG_FULL, 11, codes.BACKLOG_FULL]
    assert await refusal(venue, CancelAll(7)) is codes.BACKLOG_FULL


async def test_while_too_many_commands_wait_the_market_can_still_be_halted() -> None:
    venue = await Venue.open(intake_limit=10)
    halt: list[Command] = [SetState(TradingState.HALTED)]
    answers = await flood(venue, cancels(*range(10)), cancels(1), halt, [CancelAll(7)])
    assert list(map(outcome, answers)) == [2, codes.OVERLOADED, 12, codes.OVERLOADED]


async def test_only_the_request_that_cannot_be_reserved_for_is_refused() -> None:
    venue = await Venue.open()

    def reserve(commands: Sequence[Command]) -> None:
        if CancelOrder(7, 4) in commands:
            raise ReservationRefused("too little of it")

    venue.store.reserve = reserve
    answers = await flood(venue, *(cancels(number) for number in range(2, 8)))
    assert list(map(outcome, answers)) == [2, 3, codes.RESERVATION_REFUSED, 4, 5, 6]
    assert isinstance(answers[2], Problem)
    assert answers[2].detail == "too little of it"
    assert venue.commands() == cancels(1, 2, 3, 5, 6, 7)


async def test_an_outage_while_the_refused_one_is_looked_for_is_told_to_the_rest() -> None:
    venue = await Venue.open()
    accepts: list[int] = []

    def reserve(commands: Sequence[Command]) -> None:
        accepts.append(len(commands))
        if len(accepts) == 2:
            raise ReservationRefused("too little of it")
        if len(accepts) == 3:
            raise StoreUnavailable("gone", outcome_unknown=True)

    venue.store.reserve = reserve
    answers = await flood(venue, *(cancels(number) for number in range(2, 6)))
    unsure, never = codes.OUTCOME_UNKNOWN, codes.NOT_ACCEPTED
    assert list(map(outcome, answers)) == [unsure, unsure, never, never]
    assert accepts == [1, 4, 2]


async def test_after_a_failure_everything_is_refused_at_once_until_a_probe_answers() -> None:
    venue = await Venue.open()
    venue.store.failures.append(StoreUnavailable("down", outcome_unknown=True))
    venue.market_store.failure = StoreUnavailable("down")
    venue.store.gate.clear()
    running = asyncio.create_task(refusal(venue))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(refusal(venue))
    await asyncio.sleep(0)
    venue.store.gate.set()
    assert await running is codes.OUTCOME_UNKNOWN
    assert await waiting is codes.NOT_ACCEPTED
    assert await refusal(venue) is codes.NOT_ACCEPTED
    assert venue.store.batches == []
    probing = asyncio.create_task(venue.health.run())
    venue.market_store.failure = None
    async with asyncio.timeout(5):
        while not venue.health.available:
            await asyncio.sleep(0.01)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    assert (await submit(venue, cancels(1))).numbers[0] == 1


async def test_a_frozen_database_makes_only_what_was_sent_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gomatch_api.intake.STALL_SECONDS", 0.01)
    venue = await Venue.open()
    venue.store.gate.clear()
    sent = asyncio.create_task(submit(venue, cancels(1)))
    while not venue.store.running:
        await asyncio.sleep(0)
    waiting = asyncio.create_task(refusal(venue))
    assert await waiting is codes.NOT_ACCEPTED
    assert await refusal(venue) is codes.NOT_ACCEPTED
    venue.store.gate.set()
    assert (await sent).numbers[0] == 1
    assert (await submit(venue, cancels(2))).numbers[0] == 2
    assert venue.commands() == cancels(1, 2)


async def test_reading_ids_that_fails_has_accepted_nothing() -> None:
    venue = await Venue.open()
    await submit(venue, cancels(1), claim(0, "a"))
    venue.store.claims_failure = StoreUnavailable("lost", outcome_unknown=True)
    with pytest.raises(Problem) as caught:
        await submit(venue, cancels(1), claim(0, "a"))
    assert caught.value.code is codes.NOT_ACCEPTED


async def test_a_broker_that_fails_is_counted_and_no_client_sees_it() -> None:
    venue = await Venue.open()
    venue.broker.failing = True
    assert (await submit(venue, cancels(1))).numbers[0] == 1
    await venue.intake.close()
    assert venue.sample("gomatch_api_publish_failures_total", reason="broker") == 1


async def test_a_broker_that_hangs_holds_nobody_up_and_fills_no_memory() -> None:
    venue = await Venue.open()
    venue.broker.gate.clear()
    for number in range(300):
        await submit(venue, cancels(number))
    assert venue.sample("gomatch_api_publishing_batches") == 256
    assert venue.sample("gomatch_api_publish_failures_total", reason="too_many_in_flight") == 44
    venue.broker.gate.set()
    await venue.intake.close()
    assert len(venue.broker.batches) == 256


async def test_closing_takes_nothing_more_and_finishes_what_waits() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    waiting = asyncio.create_task(submit(venue, cancels(1)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(venue.intake.close())
    await asyncio.sleep(0)
    assert await refusal(venue) is codes.SHUTTING_DOWN
    venue.store.gate.set()
    assert (await waiting).numbers[0] == 1
    await closing
    assert len(venue.broker.batches) == 1


async def test_a_client_that_went_away_does_not_disturb_the_others() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    gone = asyncio.create_task(submit(venue, cancels(1)))
    stays = asyncio.create_task(submit(venue, cancels(2)))
    await waiting_commands(venue, 0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    venue.store.gate.set()
    assert (await stays).numbers[0] == 2


@pytest.mark.parametrize(
    ("took", "expected"), [(0.001, 5), (0.002, 6), (0.008, 24), (0.02, 30), (9.0, 30)]
)
def test_slow_accepts_move_further_apart_within_bounds(took: float, expected: int) -> None:
    assert round(spacing(0.005, took) * 1000) == expected


def test_without_an_interval_accepts_follow_each_other_at_once() -> None:
    assert spacing(0.0, 1.0) == 0.0
