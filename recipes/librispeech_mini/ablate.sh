#!/usr/bin/env bash
# Ablations of the acoustic model, each trained for about the same time: bash recipes/librispeech_mini/ablate.sh
# Rows of the README with an asterisk come from the ablate.sh of the git tag ablation-prosody.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=runs/librispeech_mini/ablation
# The ten voices of voices.yaml, by name: the base trained on `train_noisy` has more voices.
voices='[lj, ls121, ls1995, ls26, ls3729, ls4446, ls5652, ls6829, ls8224, ls8463]'
# Pretrain and score. Arguments: a name, the steps that fit into the time, and changes of ablation.yaml.
try() {
    mkdir -p "$runs/$1"
    if [ -e "$runs/current_model/aligner.safetensors" ]; then cp -n "$runs/current_model/aligner.safetensors" "$runs/$1/"; fi
    tts-meta pretrain recipes/librispeech_mini/ablation.yaml --set output="$runs/$1" --set acoustic.steps="$2" "${@:3}"
    score "$1" --set base="$runs/$1/base"
}
# Score only. Arguments: a name, and changes of voices.yaml.
score() {
    tts-meta benchmark recipes/librispeech_mini/voices.yaml --set score_on=2 --set training_speakers="$voices" \
        --set cache="$runs/scores" --set output="$runs/$1/voices" "${@:2}"
}
try current_model 480
try no_ema 480 --set ema_decay=0
try train_noisy 480 --set 'splits=[train, train_noisy]'
score shipped
score shipped_no_postfilter --set postfilter=0
score shipped_prenet_dropout --set prenet_dropout=0.25
