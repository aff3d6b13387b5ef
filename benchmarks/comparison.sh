#!/usr/bin/env bash
# The whole comparison, as in benchmarks/results/comparison.md: data, features, every experiment, the page.
# usage, in the project's folder: bash benchmarks/comparison.sh TABLES WORK [PART...]
#   PART: data, quick (two and a half hours), converged (each system half an hour to two on two cores; minutes on a GPU),
#   page; all of them by default.
#   TABLES has movielens-100k-posters/images, amazon-2018-scientific and amazon-2018-instruments (interactions.csv.gz,
#   items.csv.gz each); WORK takes what is made. What is there is kept, so a killed call goes on.
set -euo pipefail
tables=$1 work=$2 parts=${*:3}
wanted() { [ -z "$parts" ] || [[ " $parts " == *" $1 "* ]]; }
export OMP_NUM_THREADS=1 MMM4REC_SCALE=quick
mkdir -p "$work/frames"
cd "$(dirname "$0")/.."

got() { [ -e "$work/$1" ]; }
features() { mmm4rec-lite features --data "$work/$1" --encoder packaged --out "$work/$2" "${@:3}"; }

if wanted data; then
  got movielens || mmm4rec-lite data movielens --out "$work/movielens" --posters "$tables/movielens-100k-posters/images"
  for name in scientific instruments; do
    got $name || mmm4rec-lite data import "$tables/amazon-2018-$name/interactions.csv.gz" \
      "$tables/amazon-2018-$name/items.csv.gz" --k 1 --out "$work/$name" $([ $name = instruments ] || echo --order position)
  done
  features movielens movielens.safetensors
  features scientific scientific.safetensors
  features instruments instruments-text.safetensors
  got instruments.safetensors || mmm4rec-lite features-table "$tables/amazon-2018-instruments/items.csv.gz" \
    --data "$work/instruments" --codes image_codes --name image --replace "$work/instruments-text.safetensors" \
    --out "$work/instruments.safetensors"
fi

reproduce() {      # NAME EXPERIMENT[-NOTE] [OPTIONS]
  mmm4rec-lite reproduce "${2%-longer}" --data "$work/${1%%-*}" --features "$work/${1%%-*}.safetensors" "${@:3}" \
    --out "$work/frames/$1-$2.csv"
}
if wanted quick; then
  for name in movielens instruments; do reproduce $name comparison; done
  reproduce movielens comparison-longer --only mmsrec --scale longer --seeds 1
  for what in figure2 table4 figure4 table5 missing-modality; do reproduce movielens $what; done
  reproduce instruments table4
  reproduce instruments time-benefit --only mmm4rec+id
  reproduce movielens-thriller table5 --domain thriller --sources drama,comedy,action --only "MMM4Rec,w/o PT"
fi
if wanted converged; then  # one system after the other, so that each part is short; then all of them beside each other
  systems="sasrec sasrec_t bsarec mamba4rec mamba4rec_t zesrec unisrec unisrec+id vqrec fdsa s3rec"
  for system in $systems; do
    reproduce scientific comparison --tuned --scale converged --only "$system"
  done
  reproduce scientific comparison --tuned --scale converged --only "${systems// /,}" --kept
fi
if wanted page; then mmm4rec-lite report "$work"/frames/*.csv --out benchmarks/results/comparison.md; fi
