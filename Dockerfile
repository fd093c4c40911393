# The program as a scheduled job: docker build -t etl . && docker run --rm etl list
# or, by variables (docs/deploy.md): docker run --rm -e MODE=ingest -e SERVICE=garmin -e ENV=prd etl
# Not built where it was written (no Docker engine there); its install steps are those of the Makefile.
# Secrets come as variables (DESTINATION__WAREHOUSE__CREDENTIALS__…) or as a mounted .dlt/secrets.toml,
# never in the image. DuckDB files, run folders and dlt's state lie in /app: mount a volume to keep them.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 10001 etl && mkdir -p /app/ingest && chown -R etl:etl /app
WORKDIR /app

COPY requirements/run.txt requirements/run.txt
RUN pip install --require-hashes -r requirements/run.txt

COPY --chown=etl:etl . .
RUN pip install --no-build-isolation --no-deps --editable .

USER etl
ENTRYPOINT ["python", "-m", "pipelines.deploy.container"]
