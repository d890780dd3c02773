# docker build --tag dare . && docker run --rm dare                    the whole study on bundled data
# docker build --tag dare-gpu --build-arg REQUIREMENTS=requirements-gpu.txt . && docker run --rm --gpus all dare-gpu
# Keep what it makes: docker run --rm --volume "$PWD/runs:/dare/runs" dare
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /dare
ARG REQUIREMENTS=requirements.txt
ENV REQUIREMENTS=$REQUIREMENTS
COPY . .
RUN make --no-print-directory .venv/.installed-$REQUIREMENTS

CMD ["make", "quick"]
