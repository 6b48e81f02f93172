# One image for every service of docker-compose.yml; the command says which it is.
FROM python:3.13.18-slim-trixie
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 DAGSTER_HOME=/var/lib/metering/dagster
RUN useradd --create-home metering \
    && mkdir -p "$DAGSTER_HOME" \
    && chown -R metering /var/lib/metering /app
COPY requirements-server.lock ./
# Of babel, which dbt brings, nothing but English is asked for.
RUN PYTHONDONTWRITEBYTECODE=1 pip install --no-compile --no-deps --require-hashes -r requirements-server.lock \
    && find /usr/local/lib/python3.13/site-packages/babel/locale-data -type f ! -name 'en*' ! -name 'root*' -delete
COPY --chown=metering . .
RUN PYTHONDONTWRITEBYTECODE=1 pip install --no-compile --no-deps --no-build-isolation --editable sdk --editable .
USER metering
# Bytecode of everything would be 98 MB of the image. What a service imports is compiled when it first starts, and kept in the volume.
ENV PYTHONPYCACHEPREFIX=/var/lib/metering/bytecode
# Reads secrets that stand in files (cli/secret_files.py), then becomes the command.
ENTRYPOINT ["metering", "run"]
