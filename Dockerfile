# docker build -t lunar .
# docker run --rm --gpus all --shm-size 8g -v /my/data:/lunar/data -v /my/output:/lunar/output lunar \
#     .venv/bin/python tracking/test.py opencv mil --dataset lunar_demo
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libturbojpeg0 libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /lunar
COPY install.sh requirements.lock ./
RUN bash install.sh
COPY . .
CMD ["bash", "install.sh", "demo"]
