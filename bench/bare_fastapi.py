"""The floor under a single request: a FastAPI app whose POST checks an order with pydantic and
answers. It keeps nothing.

    python -m bench.bare_fastapi PORT
"""

from __future__ import annotations

import sys
from typing import Literal

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class NewOrder(BaseModel):
    market: str
    side: Literal["buy", "sell"]
    type: Literal["limit", "market"]
    quantity: str
    price: str | None = None


class Acknowledgement(BaseModel):
    id: str
    market: str
    status: str


def application() -> FastAPI:
    app = FastAPI()
    count = iter(range(1, 1 << 60))

    @app.post("/v1/orders", status_code=202)
    async def place(order: NewOrder) -> Acknowledgement:
        return Acknowledgement(
            id=f"{order.market}-{next(count)}", market=order.market, status="accepted"
        )

    return app


def main() -> None:
    uvicorn.run(
        application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
