# Two images: `tickerplant` (the last, built by default) and `airflow` (`--target airflow`, for the profile of that name
# in compose.yaml). Packages come from hashed locks made of requirements.lock (`make lock`): deploy/image.lock holds the
# extras kinesis, postgres, s3, serve and transform, deploy/airflow.lock those and Airflow, deploy/build.lock what builds
# our wheel.
ARG PYTHON=3.12.13-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY deploy/build.lock deploy/image.lock deploy/
RUN python -m venv /tools \
    && /tools/bin/pip install --require-hashes --no-deps --only-binary :all: -r deploy/build.lock \
    && python -m venv --without-pip /venv \
    && /tools/bin/pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: -r deploy/image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /tools/bin/pip --python /venv/bin/python install --no-deps --no-index /wheel/*.whl \
    && rm -r /venv/lib/python3.12/site-packages/pandas/tests /venv/lib/python3.12/site-packages/pyarrow/tests

FROM build AS build-airflow
COPY deploy/airflow.lock deploy/
RUN /tools/bin/pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: -r deploy/airflow.lock

# pg_dump and pg_restore are for `tickerplant backup` and `restore`. pip goes: nothing is installed into a container.
FROM python:${PYTHON} AS base
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/* \
    && python -m pip uninstall --yes --root-user-action=ignore pip \
    && groupadd --gid 10001 plant \
    && useradd --uid 10001 --gid plant --home-dir /data --no-create-home --shell /usr/sbin/nologin plant \
    && install --directory --owner plant --group plant --mode 0750 /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TICKERPLANT_DATA=/data
WORKDIR /data
STOPSIGNAL SIGTERM

FROM base AS airflow
COPY --from=build-airflow /venv /venv
RUN install --directory --owner plant --group plant --mode 0750 /opt/airflow /opt/airflow/logs
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/venv/lib/python3.12/site-packages/tickerplant/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=false
USER 10001:10001
VOLUME ["/data"]
ENTRYPOINT ["airflow"]
CMD ["version"]

FROM base AS tickerplant
COPY --from=build /venv /venv
USER 10001:10001
VOLUME ["/data"]
HEALTHCHECK --interval=60s --timeout=30s --start-period=120s --retries=3 CMD ["tickerplant", "health"]
ENTRYPOINT ["tickerplant"]
CMD ["run"]
