#!/usr/bin/env bash
# Prepare the corpus, pretrain the base, and score its voices and clones: bash recipes/librispeech_mini/run.sh [CORPUS_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
corpus=${1:-../shared/corpus}
tts-meta prepare --force librispeech-mini "$corpus" runs/librispeech_mini
tts-meta pretrain recipes/librispeech_mini/pretrain.yaml
rm -rf checkpoints/base
cp -r runs/librispeech_mini/pretrain/base checkpoints/
tts-meta benchmark recipes/librispeech_mini/voices.yaml
tts-meta benchmark recipes/librispeech_mini/score.yaml
