# Keyrack's image. It has no secret in it: settings come from the environment when it is run (README.md, "Settings").
# It runs on a root file system that is read-only; /tmp is the one place it may want to write to, /dev/shm is gunicorn's.
ARG PYTHON=3.13.9-slim-bookworm

FROM python:${PYTHON} AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/keyrack
COPY requirements.lock requirements-build.lock ./
# Two steps, so that what builds the one package without wheels is locked as well.
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && .venv/bin/pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements.lock \
    && .venv/bin/pip uninstall -y pip setuptools
COPY app app
COPY wsgi.py gunicorn.conf.py ./
RUN .venv/bin/python -m compileall -q .

FROM python:${PYTHON}
COPY --from=build /srv/keyrack /srv/keyrack
WORKDIR /srv/keyrack
ENV PATH=/srv/keyrack/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
CMD ["gunicorn", "wsgi:app"]
