#!/usr/bin/env bash
# Pretrain the base, and learn σ with history mixing from two starting values. Command:
# bash recipes/discovery/mixing.sh [META-STEPS]
# A second call continues a stopped run, or extends it to more meta-steps. 100 meta-steps
# take about 25 minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
steps="${1:-100}"
# Arguments: name of the run, starting variance.
train() {
    tts-meta meta-train recipes/discovery/mixing.yaml --set output="runs/discovery/mixing_$1" \
        --set settings.variance="$2" --set meta_steps="$steps"
}
tts-meta pretrain recipes/discovery/pretrain.yaml
train 003 9.0e-6
train 3 9.0e-2
