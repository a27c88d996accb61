#!/usr/bin/env bash
# What pays in the acoustic model, each line at about the same training time: bash recipes/librispeech_mini/ablate.sh
# Lines that need other code than is kept: the ablate.sh of ablation.patch, applied to the commit it names.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=runs/librispeech_mini/ablation
# The ten voices of voices.yaml, by name: the base of `train_noisy` has more.
voices='[lj, ls121, ls1995, ls26, ls3729, ls4446, ls5652, ls6829, ls8224, ls8463]'
# Each of: a name, the steps that fit into the time, and what differs from ablation.yaml.
try() {
    mkdir -p "$runs/$1"
    if [ -e "$runs/as_it_is/aligner.safetensors" ]; then cp -n "$runs/as_it_is/aligner.safetensors" "$runs/$1/"; fi
    tts-meta pretrain recipes/librispeech_mini/ablation.yaml --set output="$runs/$1" --set acoustic.steps="$2" "${@:3}"
    score "$1" --set base="$runs/$1/base"
}
# Each of: a name, and what differs from voices.yaml.
score() {
    tts-meta benchmark recipes/librispeech_mini/voices.yaml --set score_on=2 --set training_speakers="$voices" \
        --set cache="$runs/scores" --set output="$runs/$1/voices" "${@:2}"
}
try as_it_is 480
try no_ema 480 --set ema=0
try train_noisy 480 --set 'splits=[train, train_noisy]'
score shipped
score shipped_unsharpened --set postfilter_strength=0
score shipped_variation --set prenet_dropout=0.25
