"""The WebSocket at /v1/stream: market data, private orders with resume, order entry."""

from gomatch_api.stream.hub import StreamHub
from gomatch_api.stream.protocol import StreamProtocol, uvicorn_options

__all__ = ["StreamHub", "StreamProtocol", "uvicorn_options"]
