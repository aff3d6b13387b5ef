#!/usr/bin/env bash
# The whole comparison, as in benchmarks/results/comparison.md: data, features, every experiment, the page.
# usage, in the project's folder: bash benchmarks/comparison.sh TABLES WORK [PART...]
#   PART: data, converged, genres, clip, timed, sources, transfer, page; all by default, in this order.
#   TABLES has a folder per data set, named as below (interactions.csv.gz and items.csv.gz in each); WORK takes what is
#   made. What is there is kept, so a killed call goes on. Two cores need a night or more a part, in steps of one system
#   (minutes to two hours; minutes on a GPU), each with a bar and the time left.
set -euo pipefail
tables=$1 work=$2 parts=${*:3}
wanted() { [ -z "$parts" ] || [[ " $parts " == *" $1 "* ]]; }
export OMP_NUM_THREADS=1
mkdir -p "$work/frames"
cd "$(dirname "$0")/.."

got() { [ -e "$work/$1" ]; }
features() { mmm4rec-lite features --data "$work/$1" --encoder packaged --out "$work/$2" "${@:3}"; }
import() {         # NAME FOLDER [OPTIONS]
  got "$1" || mmm4rec-lite data import "$tables/$2"/interactions.csv.gz "$tables/$2"/items.csv.gz --out "$work/$1" "${@:3}"
}
vectors() {        # NAME MODALITY TABLE [OPTIONS]: in place of what the encoder made
  mmm4rec-lite features-table "$tables/$3" --data "$work/$1" --name "$2" --replace "$work/$1-encoded.safetensors" \
    --out "$work/$1-encoded.safetensors" "${@:4}"
}
if wanted data; then
  import scientific amazon-2018-scientific --k 1 --order position
  import scientific-clip amazon-2018-scientific-clip --k 1 --order position
  import instruments-titled amazon-2018-instruments-full --need-text
  import movielens-1m movielens-1m-posters --images "$tables/movielens-1m-posters"
  if ! got ml1m-genres; then  # a film's domain is the first of its genres, which stand in one cell, blanks between
    python -c "import sys, pandas as pd; films = pd.read_csv(sys.argv[1]); \
films['domain'] = films['genre'].str.split().str[0]; films['genre'] = films['genre'].str.replace(' ', '|'); \
films.to_csv(sys.argv[2], index=False)" "$tables"/movielens-1m-posters/items.csv.gz "$work"/films.csv
    mmm4rec-lite data import "$tables"/movielens-1m-posters/interactions.csv.gz "$work"/films.csv --category genre \
      --images "$tables/movielens-1m-posters" --out "$work/ml1m-genres"
  fi
  for name in scientific instruments-titled movielens-1m ml1m-genres; do features $name $name.safetensors; done
  features ml1m-genres ml1m-genres-less.safetensors --augmented-text
  if ! got scientific-clip.safetensors; then
    features scientific-clip scientific-clip-encoded.safetensors
    for kind in image text; do vectors scientific-clip $kind amazon-2018-scientific-clip/clip_features.npz; done
    mv "$work/scientific-clip-encoded.safetensors" "$work/scientific-clip.safetensors"
  fi
fi

reproduce() {      # NAME EXPERIMENT[+NOTE] [OPTIONS]
  mmm4rec-lite reproduce "${2%%+*}" --data "$work/$1" --features "$work/$1.safetensors" "${@:3}" \
    --out "$work/frames/$1-$2.csv"
}
tuned() {          # NAME EXPERIMENT[+NOTE] SYSTEMS [OPTIONS]: one system after the other, then all beside each other
  for system in $3; do reproduce "$1" "$2" --tuned --scale converged --only "$system" "${@:4}"; done
  reproduce "$1" "$2" --tuned --scale converged --only "${3// /,}" --kept "${@:4}"
}
texts="sasrec sasrec_t bsarec mamba4rec mamba4rec_t zesrec unisrec unisrec+id vqrec fdsa s3rec"
if wanted converged; then tuned scientific comparison "$texts"; fi
if wanted genres; then  # the whole paper at a small size: texts, posters and seconds, two domains to pre-train on
  small=(--domain "Children's")
  reproduce ml1m-genres figure2 --scale converged --only sasrec "${small[@]}"
  small+=(--sources Adventure,Animation --augmented-text "$work/ml1m-genres-less.safetensors")  # for UniSRec, MISSRec
  reproduce ml1m-genres table5 --scale converged "${small[@]}"
  for what in figure4 table4; do reproduce ml1m-genres $what --scale converged "${small[@]}"; done
  reproduce ml1m-genres missing-modality --scale converged --only mmm4rec,missrec,mmsrec "${small[@]}"
  systems="mmm4rec+id sasrec vqrec missrec mmm4rec unisrec zesrec fdsa s3rec mmsrec hm4sr athwe m3rec missrec+id"
  systems+=" mamba4rec tim4rec sasrec_t tim4rec_t bsarec"
  for system in $systems; do  # untuned: its tables share their runs
    reproduce ml1m-genres comparison --scale converged --only "$system" "${small[@]}"
  done
  reproduce ml1m-genres comparison --scale converged --only "${systems// /,}" --kept "${small[@]}"
fi
if wanted clip; then
  tuned scientific-clip comparison "$texts mmsrec missrec missrec+id mmm4rec mmm4rec+id m3rec"
  tuned scientific-clip orders "sasrec sasrec_t mamba4rec unisrec mmm4rec" --beside "$work/scientific"
  tuned scientific-clip modality-worth "mmm4rec missrec mmsrec"
fi
if wanted timed; then
  for name in instruments-titled movielens-1m; do
    for split in leave_one_out global_time; do
      tuned $name comparison+$split "$texts tim4rec tim4rec_t mmm4rec mmm4rec+id" --zeros --split $split
    done
  done
fi

domains="games=2018-games electronics=2014-electronics-sample books=2014-books-sample health=2014-health \
  clothing=2014-clothing toys=2014-toys"
if wanted sources; then
  for pair in $domains; do import "${pair%%=*}" "amazon-${pair#*=}" --need-text; done
  folders=$(for pair in $domains; do echo "$work/${pair%%=*}"; done)
  for part in 1 4 16; do
    # shellcheck disable=SC2086
    got sources_$part || mmm4rec-lite data union $folders --share "$(python3 -c "print(1 / $part)")" \
      --out "$work/sources_$part"
    features sources_$part sources_$part.safetensors
    features sources_$part sources_$part-less.safetensors --augmented-text
  done
fi
if wanted transfer; then
  import food-com food-com --need-text
  features food-com food-com.safetensors
  for name in scientific instruments-titled food-com; do
    for part in 16 4 1; do
      tuned $name transfer+$part "sasrec unisrec unisrec+id vqrec zesrec mmsrec mmm4rec mmm4rec+id" --zeros \
        --source-data "$work/sources_$part" --source-features "$work/sources_$part.safetensors" \
        --augmented-text "$work/sources_$part-less.safetensors"
    done
  done
fi
if wanted page; then
  frames=("$work"/frames/*.csv)
  awk "FNR > 1 || NR == 1" "$work"/frames/*-tuning.csv > benchmarks/results/tuning.csv
  for one in "${!frames[@]}"; do case ${frames[one]} in *-tuning.csv) unset "frames[one]";; esac; done
  mmm4rec-lite report "${frames[@]}" --out benchmarks/results/comparison.md
fi
