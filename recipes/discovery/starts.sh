#!/usr/bin/env bash
# Pretrain the base, and learn σ from three starting values. Command: bash recipes/discovery/starts.sh
# A second call continues a stopped run. Each run of meta-training takes about an hour on one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Arguments: name of the run, starting variance, seed.
train() {
    tts-meta meta-train recipes/discovery/meta_train.yaml --set output="runs/discovery/start_$1" \
        --set settings.variance="$2" --set seed="$3"
}
tts-meta pretrain recipes/discovery/pretrain.yaml
train 003 9.0e-6 0
train 03 9.0e-4 1
train 3 9.0e-2 0
