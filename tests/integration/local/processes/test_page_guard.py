"""Every port of the running stack against the requests that a web page can send, as raw bytes."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.runtime.handler_process import client_of
from tests.support.runtime.local_stack import LocalStack, listeners_of
from tests.support.service.served_relay import ServedRelay

PAGE = "https://elsewhere.example"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells where processes listen")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack() as stack:
        httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
        stack.line_with("[transcript]")  # by now the functions of this request have their Runtime APIs
        yield stack


def refused(port: int, headers: dict[str, str], method: str = "GET", target: str = "/") -> bool:
    """Whether the page guard refuses the request; asserts that it then sends no CORS headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="host" in headers, skip_accept_encoding=True)
        body = b"" if method == "GET" else b"Action=ListQueues&Version=2012-11-05"
        for name, value in {**headers, "content-length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    words = ("Host must be", "This port is for programs", "Pages of this Origin", "Sec-Fetch-Site shows")
    if not any(word in text for word in words):
        return False
    assert answer.status in (400, 403)
    assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control-")]
    return True


def test_the_stack_listens_only_on_loopback_and_on_more_than_its_three_known_ports(stack: LocalStack) -> None:
    listeners = listeners_of(stack.process.pid)
    assert set(listeners.values()) == {"127.0.0.1"}
    assert {stack.port, stack.port + 1, stack.port + 2} < set(listeners)
    assert len(listeners) >= 6  # the scripted model's and a Runtime API of two functions


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "localhost.elsewhere.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "[::1]",
        "0.0.0.0",
        "",
    ],
)
def test_no_port_serves_another_host_name_than_this_machines(stack: LocalStack, host: str) -> None:
    for port in listeners_of(stack.process.pid):
        assert refused(port, {"host": f"{host}:{port}"}), port
        assert refused(port, {"host": host}), port


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": PAGE},
        {"origin": "null"},
        {"origin": ""},
        {"origin": PAGE, "content-type": "text/plain;charset=UTF-8"},
        {"origin": PAGE, "content-type": "application/x-www-form-urlencoded"},
        {"origin": PAGE, "content-type": "multipart/form-data; boundary=x"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "of a kind to come"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_port_serves_a_page_of_another_origin(
    stack: LocalStack, method: str, headers: dict[str, str]
) -> None:
    for port in listeners_of(stack.process.pid):
        assert refused(port, headers, method), port
        assert refused(port, headers, method, "/moto-api/reset"), port


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:5173"},
        {"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-dest": "image"},
        {"referer": "http://127.0.0.1:{port}/"},
        {"user-agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/15.6"},
    ],
)
def test_no_port_but_the_function_urls_serves_a_browser(stack: LocalStack, headers: dict[str, str]) -> None:
    for port in listeners_of(stack.process.pid):
        sent = {name: value.format(port=port) for name, value in headers.items()}
        for method in ("GET", "POST"):
            assert refused(port, sent, method) == (port != stack.port), (port, method)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost"])
def test_every_port_serves_programs_even_through_a_tunnel_with_another_port(
    stack: LocalStack, name: str
) -> None:
    for port in listeners_of(stack.process.pid):
        for host in (f"{name}:{port}", f"{name}:8080", name):
            for agent in ("curl/8.5.0", "aws-cli/2.17", "duckdb/v1.1.3(linux_amd64)"):
                assert not refused(port, {"host": host, "user-agent": agent}), (port, host)


def test_an_answer_of_moto_has_no_cors_headers(stack: LocalStack) -> None:
    with httpx.Client(base_url=stack.endpoint, trust_env=False) as client:
        answer = client.get("/?Action=ListQueues&Version=2012-11-05")
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_boto3_reads_and_writes_objects_by_either_name(stack: LocalStack, host: str) -> None:
    s3 = client_of("s3", f"http://{host}:{stack.port + 1}", "us-east-1")
    s3.put_object(Bucket="archive", Key="a/b", Body=b"whole")
    assert s3.get_object(Bucket="archive", Key="a/b")["Body"].read() == b"whole"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "archive", "Key": "a/b"})
    assert httpx.get(url, trust_env=False).content == b"whole"
    s3.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "none", "sec-fetch-dest": "document"}, 200),  # the user typed its address
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),  # a link on another page
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "empty"}, 403),
    ],
)
def test_users_can_open_the_playground_but_pages_cannot_frame_or_fetch_it(
    stack: LocalStack, headers: dict[str, str], status: int
) -> None:
    assert httpx.get(f"{stack.url}/", headers=headers, trust_env=False).status_code == status


def test_a_link_on_another_page_cannot_ask_the_model(stack: LocalStack) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}
    url = f"{stack.url}/chatCompletion?message=hello"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 403


def test_the_playground_may_ask_even_if_allowed_origins_lists_others() -> None:
    with ServedRelay({"ALLOWED_ORIGINS": "https://app.example.com"}) as relay:
        url = f"{relay.url}/chatCompletion"
        body = {"messages": [{"role": "user", "content": "hi"}]}
        for origin, status in (
            (relay.url, 200),
            ("https://app.example.com", 200),
            ("http://localhost:1", 403),
        ):
            answer = httpx.post(url, headers={"origin": origin}, json=body, timeout=60, trust_env=False)
            assert answer.status_code == status, origin
