# The project's images, each with what it runs and no more:
#
#   docker build --target server   -t everwarm-server .      the model server (SERVER_EXTRAS says for which frameworks)
#   docker build --target digits   -t everwarm-digits .      the server with the sample model at /models/digits
#   docker build --target operator -t everwarm-operator .    the operator
#
#   docker run --rm -p 127.0.0.1:8080:8080 -e EVERWARM_HOST=0.0.0.0 -e EVERWARM_API_TOKEN=secret everwarm-digits
#
# Dependencies, the project's code and the model are layers of their own: a change of code sends kilobytes to a registry.
ARG BASE_IMAGE=debian:bookworm-slim

# ---- what every image stands on
FROM ${BASE_IMAGE} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 everwarm \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin everwarm
# LOGNAME: libraries ask who they are, also where a cluster runs the image under an id that has no name.
ENV PATH=/opt/venv/bin:$PATH \
    LOGNAME=everwarm \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
WORKDIR /tmp

# ---- tools that no image keeps: pip, the build backend
FROM python AS builder
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir hatchling
WORKDIR /src
COPY pyproject.toml ./
# Prints the requirements of the extras named in its argument.
RUN printf '%s\n' \
    'import sys, tomllib' \
    'extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]' \
    'print(*(line for name in sys.argv[1].split(",") for line in extras[name]), sep="\n")' > requirements.py

# ---- the project itself, without its dependencies
FROM builder AS code
COPY README.md LICENSE ./
COPY server server
COPY operator operator
# Bytecode is written once, here, and never checked against its source again: an import reads one file.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-deps --no-compile --prefix /opt/code /wheels/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/code

# ---- the server
FROM builder AS server-dependencies
ARG SERVER_EXTRAS=server,grpc,onnx,store
RUN python3 requirements.py "$SERVER_EXTRAS" > requirements.txt \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile -r requirements.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv

FROM python AS server
LABEL org.opencontainers.image.title="everwarm-server" \
      org.opencontainers.image.description="Serves a model, ready only once it is loaded and warmed" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=server-dependencies /opt/venv /opt/venv
COPY --from=code /opt/code /opt/venv
USER 65532:65532
EXPOSE 8080 9464
ENTRYPOINT ["python", "-m", "everwarm_server"]

# ---- the server with a model in it
FROM server AS digits
LABEL org.opencontainers.image.title="everwarm-digits"
COPY examples/digits/model.onnx examples/digits/model.toml /models/digits/
ENV EVERWARM_MODEL_URI=/models/digits

# ---- the operator
FROM builder AS operator-dependencies
RUN python3 requirements.py operator > requirements.txt \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile -r requirements.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv

FROM python AS operator
LABEL org.opencontainers.image.title="everwarm-operator" \
      org.opencontainers.image.description="Keeps the models of ModelServices warm on Knative" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-dependencies /opt/venv /opt/venv
COPY --from=code /opt/code /opt/venv
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["python", "-m", "everwarm_operator"]
