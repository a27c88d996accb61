#!/usr/bin/env bash
# What pays in the acoustic model, each line at about the same training time: bash recipes/librispeech_mini/ablate.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=runs/librispeech_mini/ablation
# Each of: a name, the steps that fit into the time, and what differs from ablation.yaml.
try() {
    mkdir -p "$runs/$1"
    if [ -e "$runs/as_it_is/aligner.safetensors" ]; then cp -n "$runs/as_it_is/aligner.safetensors" "$runs/$1/"; fi
    tts-meta pretrain recipes/librispeech_mini/ablation.yaml --set output="$runs/$1" --set acoustic.steps="$2" "${@:3}"
    tts-meta benchmark recipes/librispeech_mini/voices.yaml --set score_on=2 --set base="$runs/$1/base" \
        --set output="$runs/$1/voices"
}
try as_it_is 500
try reduction_2 "${steps:-420}" --set base.acoustic.decoder.reduction=2
try reduction_4 "${steps:-560}" --set base.acoustic.decoder.reduction=4
try smaller 700 --set base.acoustic.decoder.channels=320 --set base.acoustic.encoder.channels=256
try larger 330 --set base.acoustic.decoder.channels=768
try no_ema 500 --set ema=0
try train_noisy 500 --set 'splits=[train, train_noisy]'
