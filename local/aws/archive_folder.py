"""The archive as files: a folder with the objects of the archive bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from local.aws.services import ARCHIVE_BUCKET, AwsServices, AwsServicesError


class ArchiveFolder:
    """Mirrors the bucket into `folder`, key by key. Files of earlier runs stay."""

    def __init__(self, folder: Path, aws: AwsServices, print_line: Callable[[str], None]) -> None:
        self._folder = folder
        self._aws = aws
        self._print_line = print_line
        self._mirrored: dict[str, str] = {}  # key → tag

    async def update(self) -> None:
        """Download new and changed objects. Raises AwsServicesError if moto's server is gone."""
        for key, tag in (await self._aws.object_tags(ARCHIVE_BUCKET)).items():
            if self._mirrored.get(key) != tag:
                await asyncio.to_thread(self._download, key)
                self._mirrored[key] = tag

    def _download(self, key: str) -> None:
        try:
            path = path_within(self._folder, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / ".part"  # readers of *.jsonl must not find half a file
            unfinished.write_bytes(self._aws.fetch(ARCHIVE_BUCKET, key))
            unfinished.replace(path)
        except (OSError, ValueError, AwsServicesError) as error:
            self._print_line(f"[archive] {key} is in the bucket only: {error}")


def path_within(folder: Path, key: str) -> Path:
    """The path of the object with this key. Raises ValueError if it would be outside the folder."""
    parts = key.split("/")
    path = folder.joinpath(*parts)
    # A symbolic link in the folder may lead out of it as well.
    is_within = path.parent.resolve().is_relative_to(folder.resolve())
    if any(part in ("", ".", "..") for part in parts) or not is_within:
        raise ValueError("its key is not a path within the folder")
    return path
