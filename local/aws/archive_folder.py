"""The archive as files: what the archive bucket holds, in a folder that a person can look into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from local.aws.services import ARCHIVE_BUCKET, AwsServices, AwsServicesFailed


class ArchiveFolder:
    """Mirrors the bucket into `folder`, key by key. What earlier runs have left there stays."""

    def __init__(self, folder: Path, aws: AwsServices, print_line: Callable[[str], None]) -> None:
        self._folder = folder
        self._aws = aws
        self._print_line = print_line
        self._mirrored: dict[str, str] = {}  # key → tag

    async def update(self) -> None:
        """Download what is new. Raises AwsServicesFailed when moto's server is gone."""
        for key, tag in (await self._aws.object_tags(ARCHIVE_BUCKET)).items():
            if self._mirrored.get(key) != tag:
                await asyncio.to_thread(self._download, key)
                self._mirrored[key] = tag

    def _download(self, key: str) -> None:
        try:
            path = path_within(self._folder, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / ".part"  # nobody who reads *.jsonl finds half a file
            unfinished.write_bytes(self._aws.fetch(ARCHIVE_BUCKET, key))
            unfinished.replace(path)
        except (OSError, ValueError, AwsServicesFailed) as error:
            self._print_line(f"[archive] {key} is in the bucket only: {error}")


def path_within(folder: Path, key: str) -> Path:
    """Where the object of this key lies in the folder. Raises ValueError where that would be outside it."""
    parts = key.split("/")
    path = folder.joinpath(*parts)
    # A link in the folder may lead anywhere too.
    if any(part in ("", ".", "..") for part in parts) or not path.parent.resolve().is_relative_to(
        folder.resolve()
    ):
        raise ValueError("its key is no path within the folder")
    return path
