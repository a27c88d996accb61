#!/usr/bin/env bash
# How wide the prior may be, on speakers held back from training: bash recipes/few_shot/tune.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# The shipped base, with the prior that meta-training found taken so many times as wide.
for temperature in 1 2 4 16; do
    base="runs/few_shot_tune/base_$temperature"
    mkdir -p "$base"
    cp checkpoints/base/*.json checkpoints/base/model.safetensors "$base"
    python -m recipes.librispeech_mini.ship_prior runs/librispeech_mini/meta_sigma_reptile --base "$base" \
        --temperature "$temperature"
done
tts-meta benchmark recipes/few_shot/tune.yaml "$@"
