"""The settings of the local stack, and the environment variables of each function."""

from __future__ import annotations

import json
import math
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local.aws import services as aws
from local.function_url.cors import ORIGIN
from local.lambda_service.environment import FunctionDefinition
from local.template import properties_of, resource_variables, value_of
from settings_reading.unknown_names import misspelt, misspelt_variables

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "shared"

STREAM_CHAT = "stream-chat"
PUBLISH_TRANSCRIPT = "publish-transcript"
ARCHIVE_TRANSCRIPTS = "archive-transcripts"
REDRIVE_TRANSCRIPTS = "redrive-transcripts"

# The settings of the stack itself.
OWN_NAMES = frozenset((
    "PORT", "FUNCTION_TIMEOUT_S", "MAX_ENVIRONMENTS", "SCRIPTED_MODEL_WORDS_PER_S", "ARCHIVE_FOLDER",
    "UNDELIVERED_FOLDER", "LOG_FOLDER", "VERBOSE", "AWS_ENDPOINT_FOR_FUNCTIONS", "ALLOWED_ORIGINS",
))  # fmt: skip

# How many invocations each runs at a time.
COMPANION_ENVIRONMENTS = {PUBLISH_TRANSCRIPT: 2, ARCHIVE_TRANSCRIPTS: 1, REDRIVE_TRANSCRIPTS: 1}

# Not settings of the functions, but a process on this machine may not reach the network without them.
PLUMBING = (
    "PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip

# The options with which curl identifies its caller, by AUTH_MODE.
KEY_HINTS = {
    "none": "",
    "keys": " -H 'x-api-key: …'",
    "jwt": " -H 'authorization: Bearer …'",
    "iam": f" --aws-sigv4 'aws:amz:{aws.REGION}:lambda' --user {aws.ACCESS_KEY_ID}:{aws.SECRET_ACCESS_KEY}",
}

UNPROXIED = ("127.0.0.1", "localhost")  # everything that the stack starts listens here


class LocalSettingsError(ValueError):
    """A setting is invalid; the message is one sentence that names it."""


@dataclass(frozen=True)
class LocalSettings:
    """The stack's own settings; `environ` also holds those of the functions."""

    port: int
    function_timeout_s: float
    max_environments: int
    words_per_s: float
    archive_folder: Path
    undelivered_folder: Path
    log_folder: Path
    verbose: bool
    functions_aws_endpoint: str
    allowed_origins: tuple[str, ...]  # empty: those of pages that this machine serves
    environ: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> LocalSettings:
        """Read OWN_NAMES, and validate the settings of the streaming function.

        Raises LocalSettingsError.
        """
        try:
            environ = _stream_chat_settings()["with_settings_json"](environ)
        except ValueError as error:
            raise LocalSettingsError(str(error)) from error
        port = int(_number(environ, "PORT", 3000, 1, 65533))  # AWS's services take PORT + 1, Invoke PORT + 2
        timeout_s = value_of(properties_of(_logical_id(STREAM_CHAT))["Timeout"])
        settings = cls(
            port=port,
            function_timeout_s=_number(environ, "FUNCTION_TIMEOUT_S", timeout_s, 0.1, 900),
            max_environments=int(_number(environ, "MAX_ENVIRONMENTS", 10, 1, 100)),
            words_per_s=_number(environ, "SCRIPTED_MODEL_WORDS_PER_S", 25, 0, 1000),
            archive_folder=_folder(environ, "ARCHIVE_FOLDER", "archive"),
            undelivered_folder=_folder(environ, "UNDELIVERED_FOLDER", "undelivered"),
            log_folder=_folder(environ, "LOG_FOLDER", "logs"),
            verbose=_flag(environ, "VERBOSE"),
            functions_aws_endpoint=_url(environ, "AWS_ENDPOINT_FOR_FUNCTIONS", _loopback(port + 1)),
            allowed_origins=_origins(environ, "ALLOWED_ORIGINS"),
            environ=environ,
        )
        try:
            # The function validates them when it starts; this reports a fault before anything is started.
            _stream_chat_settings()["Settings"].from_environment(
                settings.chat_variables("http://127.0.0.1:1/v1")
            )
        except ValueError as error:
            raise LocalSettingsError(str(error)) from error
        return settings

    @property
    def warnings(self) -> list[str]:
        """A sentence for each misspelt variable, which neither the stack nor a function reads."""
        known = _stream_chat_settings()["VARIABLE_NAMES"] | OWN_NAMES
        return [misspelt(name, nearest) for name, nearest in misspelt_variables(self.environ, known)]

    @property
    def has_upstream(self) -> bool:
        """Whether a real model answers, and not the scripted one."""
        return bool(self.environ.get("OPENAI_API_KEY") or self.environ.get("OPENAI_BASE_URL"))

    @property
    def has_playground(self) -> bool:
        """Whether the root of the function URL is the playground."""
        return self.environ.get("PLAYGROUND", "").strip().lower() != "false"

    @property
    def auth_mode(self) -> str:
        """How callers identify themselves: the AUTH_MODE of the streaming function, in lower case."""
        mode = self.environ.get("AUTH_MODE", "").strip().lower()
        return mode or ("keys" if self.environ.get("CALLER_KEYS") else "none")

    @property
    def key_hint(self) -> str:
        """The options that a curl command line needs so that its caller is identified."""
        return KEY_HINTS[self.auth_mode]

    @property
    def aws_endpoint(self) -> str:
        """The URL at which moto's server serves SQS, S3 and DynamoDB."""
        return _loopback(self.port + 1)

    @property
    def invoke_endpoint(self) -> str:
        """The URL of Lambda's Invoke API."""
        return _loopback(self.port + 2)

    @property
    def endpoints(self) -> dict[str, str]:
        """The variables by which the functions find AWS."""
        services = ("SQS", "S3", "DYNAMODB")
        variables = {f"AWS_ENDPOINT_URL_{service}": self.functions_aws_endpoint for service in services}
        return variables | {"AWS_ENDPOINT_URL_LAMBDA": self.invoke_endpoint}

    def queue_url(self, name: str) -> str:
        """The URL of the queue with this name."""
        return aws.queue_url(self.aws_endpoint, name)

    def chat_variables(self, scripted_model_url: str) -> dict[str, str]:
        """The streaming function's settings.

        Their names come from its settings module, so none is missing here. Nothing else of the user's
        environment (HOME, tokens, AWS credentials) reaches the function, as on Lambda.
        """
        names = _stream_chat_settings()["SETTING_NAMES"]
        variables = {name: value for name, value in self.environ.items() if name in names and value}
        if not self.has_upstream:
            variables |= {"OPENAI_BASE_URL": scripted_model_url, "OPENAI_API_KEY": "scripted-model"}
        if "CALLER_KEYS" not in variables:
            variables.setdefault("AUTH_MODE", "none")
        variables.setdefault("PLAYGROUND", "true")
        return variables | self._resource_variables(STREAM_CHAT)

    def companion_variables(self, name: str) -> dict[str, str]:
        """The settings of a function other than the streaming one. Every queue gets every transcript."""
        variables = self._resource_variables(name)
        if self.environ.get("LOG_LEVEL"):
            variables["LOG_LEVEL"] = self.environ["LOG_LEVEL"]
        url = self.queue_url
        if name == PUBLISH_TRANSCRIPT:
            routes = [url(queue) for queue in (aws.TRANSCRIPTS, aws.AUDIT, aws.CONSOLE, aws.ARCHIVE)]
            variables["TRANSCRIPT_ROUTES"] = json.dumps(routes)
        elif name == REDRIVE_TRANSCRIPTS:
            letters = {url(aws.dead_letters_of(queue)): url(queue) for queue in aws.CONSUMED}
            variables["DEAD_LETTER_QUEUES"] = json.dumps(letters)
        return variables

    def _resource_variables(self, function: str) -> dict[str, str]:
        """The variables by which the function finds queues, buckets, tables and its companion."""
        names = {
            "TranscriptQueue": self.queue_url(aws.TRANSCRIPTS),
            "TranscriptDeadLetters": self.queue_url(aws.dead_letters_of(aws.TRANSCRIPTS)),
            "ArchiveQueue": self.queue_url(aws.ARCHIVE),
            "ArchiveDeadLetters": self.queue_url(aws.dead_letters_of(aws.ARCHIVE)),
            "UndeliveredTranscripts": self.queue_url(aws.UNDELIVERED),
            "TranscriptBucket": aws.TRANSCRIPT_BUCKET,
            "ArchiveBucket": aws.ARCHIVE_BUCKET,
            "DeliveryTable": aws.DELIVERY_TABLE,
            "LimitsTable": aws.LIMITS_TABLE,
            "CallersTable": aws.CALLERS_TABLE,
            _logical_id(PUBLISH_TRANSCRIPT): PUBLISH_TRANSCRIPT,
        }
        return resource_variables(_logical_id(function), names)


def without_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY in both spellings: the hosts that the user listed, and this machine."""
    listed = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    hosts = dict.fromkeys([host.strip() for host in listed if host.strip()] + list(UNPROXIED))
    value = "*" if "*" in hosts else ",".join(hosts)
    return {"NO_PROXY": value, "no_proxy": value}


def _logical_id(name: str) -> str:
    """The function's id in template.yaml: `stream-chat` is its StreamChatFunction."""
    return f"{name.title().replace('-', '')}Function"


def deployed_function(settings: LocalSettings, name: str, variables: dict[str, str]) -> FunctionDefinition:
    """The function with this name as template.yaml deploys it, with `variables` added to those of Lambda."""
    is_chat = name == STREAM_CHAT
    properties = properties_of(_logical_id(name))
    folder = ROOT / properties["CodeUri"]
    return FunctionDefinition(
        name=name,
        folder=folder,
        # Lambda calls the wrapper that AWS_LAMBDA_EXEC_WRAPPER names with the interpreter and the stock
        # runtime's script. The same runtime serves the plain handlers of the companions.
        command=(str(LAYER / "lambda_stream" / "exec-wrapper"), sys.executable, "/var/runtime/bootstrap.py"),
        variables=_lambda_variables(settings, name, folder, properties) | variables,
        timeout_s=settings.function_timeout_s if is_chat else value_of(properties["Timeout"]),
        max_environments=settings.max_environments if is_chat else COMPANION_ENVIRONMENTS[name],
        has_failure_destination="EventInvokeConfig" in properties,
        hands_off_transcripts=is_chat,
    )


def _lambda_variables(
    settings: LocalSettings, name: str, folder: Path, properties: Mapping[str, Any]
) -> dict[str, str]:
    """The variables that Lambda sets, except those that differ between environments.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    plumbing = {key: settings.environ[key] for key in PLUMBING if settings.environ.get(key)}
    plumbing |= without_proxies(settings.environ)
    return plumbing | {
        "_HANDLER": properties["Handler"],
        "LAMBDA_TASK_ROOT": str(folder),
        "PYTHONPATH": str(LAYER),  # Lambda mounts the layer at /opt/python
        "PYTHONUNBUFFERED": "1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(value_of(properties["MemorySize"])),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": aws.REGION,
        "AWS_DEFAULT_REGION": aws.REGION,
        "AWS_ACCESS_KEY_ID": aws.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": aws.SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@cache
def _stream_chat_settings() -> dict[str, Any]:
    """What the streaming function's settings module defines; its folder is not on the stack's import path."""
    return runpy.run_path(str(ROOT / "functions" / "stream_chat" / "settings.py"))


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _folder(environ: Mapping[str, str], name: str, default: str) -> Path:
    return Path(environ.get(name) or ROOT / ".local" / default).absolute()


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in ("", "0", "1", "false", "true"):
        raise LocalSettingsError(f"{name} must be 1 or 0, not {value!r}")
    return value in ("1", "true")


def _url(environ: Mapping[str, str], name: str, default: str) -> str:
    url = environ.get(name, "").strip() or default
    if not url.startswith(("http://", "https://")):
        raise LocalSettingsError(f"{name} must be an http(s) URL, not {url!r}")
    return url


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise LocalSettingsError(
                f"{name} must be * or origins as browsers write them, such as https://app.example.com or"
                f" http://localhost:5173 (in lower case, without a path or a final slash), not {origin!r}"
            )
    return origins


def _number(environ: Mapping[str, str], name: str, default: float, lowest: float, highest: float) -> float:
    text = environ.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not lowest <= number <= highest:
        raise LocalSettingsError(f"{name} must be a number from {lowest:g} to {highest:g}, not {text!r}")
    return number
