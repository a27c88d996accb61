#!/usr/bin/env bash
# Compare settings of plain fine-tuning on the held-out speakers: bash recipes/librispeech_mini/tune.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# Clone and score. Arguments: a name for the output folder, and changes of tune.yaml.
try() {
    tts-meta benchmark recipes/librispeech_mini/tune.yaml --set output="runs/librispeech_mini/tune/$1" \
        --set cache=runs/librispeech_mini/tune/scores "${@:2}"
}
try everything
try all_but_encoder --set 'modules=["speaker*", "duration*", "prosody*", "decoder*", "postnet*"]'
try embedding --set 'modules=["speaker.mean"]'
try everything_400_steps --set steps=400
try everything_fast --set learning_rate=1e-3
try biases --set 'modules=["speaker.mean", "*.bias"]' --set learning_rate=1e-2
