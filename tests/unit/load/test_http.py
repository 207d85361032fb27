from __future__ import annotations

import pytest

from gomatch.errors import ConfigurationError, ConnectionFailed
from gomatch.load.http import AnswerParser, HttpAnswer, HttpConnection

ANSWER = b'HTTP/1.1 201 Created\r\nServer: x\r\nContent-Length: 9\r\n\r\n{"a": 1}\n'


def test_an_answer_in_one_piece() -> None:
    assert AnswerParser().feed(ANSWER) == HttpAnswer(201, b'{"a": 1}\n')


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_in_two_pieces_wherever_it_is_cut(cut: int) -> None:
    parser = AnswerParser()
    assert parser.feed(ANSWER[:cut]) is None
    assert parser.feed(ANSWER[cut:]) == HttpAnswer(201, b'{"a": 1}\n')


def test_one_answer_after_another() -> None:
    parser = AnswerParser()
    parser.feed(ANSWER)
    answer = parser.feed(b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\ncontent-length: 0\r\n\r\n")
    assert answer == HttpAnswer(429, b"", 2.0)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage that is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x" * 70_000,
        ANSWER + b"more",
    ],
)
def test_what_is_no_answer_fails_instead_of_hanging(data: bytes) -> None:
    with pytest.raises(ConnectionFailed):
        AnswerParser().feed(data)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:8080", "http://"])
def test_addresses_that_it_cannot_use_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        HttpConnection(url)
