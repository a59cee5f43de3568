"""AWS for the tests that count in its tables: one server for all of a worker's tests, as it starts slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from local.aws.services import AwsServices
from tests.support.aws.loopback_aws import LoopbackAws


@pytest.fixture(scope="session")
def aws() -> Iterator[LoopbackAws]:
    """moto's server with the resources of the local stack. What a test keeps there has a name of its own."""
    with LoopbackAws(print) as services:
        stack = AwsServices(services.url)

        async def make() -> None:
            await stack.connect()
            await stack.make_resources()

        asyncio.run(make())
        yield services
