# Tocsin's image: one for worker, API and jobs; docker-compose.yml says which of them it is.

FROM python:3.11.14-slim-bookworm AS builder
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/tocsin

# PyTorch first, for it is large and changes seldom, and from its own index of CPU builds: the
# default package would bring several GB of CUDA libraries.
COPY constraints.txt ./
RUN python -m pip --python /opt/tocsin/bin/python install \
    --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY api ./api
COPY cli ./cli
COPY detectors ./detectors
COPY migrations ./migrations
COPY models ./models
COPY stopping ./stopping
COPY store ./store
COPY streams ./streams
RUN python -m pip --python /opt/tocsin/bin/python install -c constraints.txt .

FROM python:3.11.14-slim-bookworm AS runtime
LABEL org.opencontainers.image.title="Tocsin" \
      org.opencontainers.image.description="Early decisions on streams, with a finite-sample guarantee" \
      org.opencontainers.image.licenses="Apache-2.0"
# HOME and USER: compose may run this as any user, one that is not in /etc/passwd included, and
# libraries ask for both.
ENV PATH=/opt/tocsin/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    USER=tocsin
# A new volume takes the mode of the folder it is mounted over: any user may write into these.
RUN install --directory --mode 1777 /var/lib/tocsin/api /var/lib/tocsin/detectors
COPY --from=builder /opt/tocsin /opt/tocsin
COPY deploy/health /opt/tocsin/health
USER 10001:10001
CMD ["tocsin", "--help"]
