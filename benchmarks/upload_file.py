"""A first draft of a service that takes files: the framework's form, a copy, fsync."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import FastAPI, Form, UploadFile


def create_app(folder: Path) -> FastAPI:
    """An application that keeps files below a folder."""
    app = FastAPI()

    @app.post("/api/v1/chunks")
    def send_chunk(
        chunk_file: UploadFile, device_id: Annotated[str, Form()], start_ts: Annotated[str, Form()]
    ) -> dict[str, str]:
        with (folder / f"{uuid4()}.ogg").open("wb") as file:
            shutil.copyfileobj(chunk_file.file, file)
            file.flush()
            os.fsync(file.fileno())
        return {"status": "ok"}

    return app
