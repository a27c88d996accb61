#!/usr/bin/env bash
# What the defaults of `clone` were chosen by, on speakers held back from training: bash recipes/librispeech_mini/tune.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# Each of: a name of the result's folder, and what differs from tune.yaml.
try() {
    tts-meta benchmark recipes/librispeech_mini/tune.yaml --set output="runs/librispeech_mini/tune/$1" \
        --set cache=runs/librispeech_mini/tune/scores "${@:2}"
}
try everything
try all_but_encoder --set 'modules=["speaker*", "duration*", "prosody*", "decoder*", "postnet*"]'
try embedding --set 'modules=["speaker.mean"]'
try everything_400_steps --set steps=400
try everything_fast --set learning_rate=1e-3
# Little enough for a voice of 45 kB, and one of a megabyte.
try biases --set 'modules=["speaker.mean", "*.bias"]' --set learning_rate=1e-2
try megabyte --set learning_rate=1e-3 --set steps=400 --set 'modules=["speaker.mean", "*.bias", "encoder.embedding",
    "speaker_projection", "duration.output", "duration.spread", "prosody.output", "prosody_projection",
    "decoder.prenet", "decoder.output", "postnet.output"]'
