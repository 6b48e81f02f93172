# One image for every service of docker-compose.yml; the command says which it is.
FROM python:3.13-slim
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 DAGSTER_HOME=/var/lib/metering/dagster
COPY requirements.lock pyproject.toml README.md ./
RUN pip install -r requirements.lock
COPY . .
RUN pip install --no-deps --editable . \
    && useradd --create-home metering \
    && mkdir -p "$DAGSTER_HOME" \
    && chown -R metering /var/lib/metering /app
USER metering
