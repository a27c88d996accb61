#!/usr/bin/env bash
# Clone the `eval` speakers with the shipped base and score the clones: bash recipes/librispeech_mini/score.sh [CORPUS_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
tts-meta prepare --force librispeech-mini "${1:-../shared/corpus}" runs/librispeech_mini
tts-meta benchmark recipes/librispeech_mini/score.yaml
tts-meta benchmark recipes/librispeech_mini/score.yaml --set vocoder=light --set output=runs/librispeech_mini/score_light
