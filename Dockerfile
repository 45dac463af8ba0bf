# One image, four ways to run it: --target run (the workflow), serve (predictions), dashboard, mlflow (its server).
#
#   docker build --target run --tag quire-run .
#   docker run --rm --volume quire-outputs:/app/outputs quire-run run params/demo
#
# The base is named by version for people and by digest for docker, which takes only that content. Renew both together.
ARG PYTHON_IMAGE=python:3.12.14-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv /opt/quire
ENV PATH=/opt/quire/bin:$PATH
# The lock alone first: a change of our own code does not install everything again. Without byte-code every notebook
# would compile what it imports; some packages ship templates that do not compile, and need not.
COPY requirements.lock ./
RUN pip install --no-compile --no-deps --require-hashes -r requirements.lock \
    && (python -m compileall -q -j 0 /opt/quire/lib > /dev/null || true)
COPY pyproject.toml README.md LICENSE ./
COPY lib lib
RUN pip install --no-compile --no-deps --no-build-isolation --editable . \
    && python -m compileall -q lib

FROM ${PYTHON_IMAGE} AS base
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Quire" org.opencontainers.image.revision="${COMMIT}"
ENV PATH=/opt/quire/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    QUIRE_ROOT=/app \
    QUIRE_OUTPUTS=/app/outputs \
    QUIRE_COMMIT=${COMMIT} \
    GIT_PYTHON_REFRESH=quiet \
    MPLBACKEND=agg
# A number, so that a host can check that it is not root's. What a run leaves behind is all that may be written.
RUN groupadd --gid 10001 quire \
    && useradd --uid 10001 --gid quire --create-home --shell /usr/sbin/nologin quire \
    && install --directory --owner quire --group quire /app/outputs
WORKDIR /app
COPY --from=build /opt/quire /opt/quire
COPY --from=build /app /app
COPY notebooks notebooks
COPY params params
COPY dashboards dashboards
USER 10001:10001
VOLUME /app/outputs

FROM base AS run
COPY infra/aws/boot/database.py /opt/database.py
# A run ends by itself and says by its exit code how it went: there is nothing to ask it in between.
HEALTHCHECK NONE
ENTRYPOINT ["quire"]
CMD ["run", "params/demo"]

FROM base AS serve
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["quire", "serve"]
CMD ["params/demo", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS dashboard
EXPOSE 8866
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8866/health', timeout=4)"]
ENTRYPOINT ["quire", "dashboard"]
CMD ["params/demo", "--host", "0.0.0.0", "--port", "8866"]

FROM base AS mlflow
EXPOSE 5000
COPY infra/aws/boot/mlflow.py /opt/mlflow.py
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:5000/health', timeout=4)"]
ENTRYPOINT ["python", "/opt/mlflow.py"]
