# A front for people: what does the work is Meson (meson.build) and the scripts in tools/.
# Ways to steer: SEED= CASE= HISTORIES= for sim, FUZZ_SECONDS= for fuzz, DESTDIR= for install, NETEM_SECONDS= for netem.
export SEED CASE HISTORIES FUZZ_SECONDS DESTDIR NETEM_SECONDS

.PHONY: build test lint fuzz sim security bench bench-quick netem rate-table install demo soak clean deps help

build:   ; @tools/deps build && tools/build build
test:    ; @tools/deps test && tools/test
lint:    ; @tools/deps lint && tools/lint
fuzz:    ; @tools/deps test && tools/fuzz
sim:     ; @tools/deps test && tools/build build && tools/sim
bench: build ; @bench/run --docs
bench-quick: build ; @bench/run --runs 1 --mib 128 --limit 8 --only tradewind --only sendfile --only rsync --json build/bench/quick.json lan 500M-1 files
netem: build ; @tools/deps netem && tools/netem
rate-table: build ; @bench/rate/run --docs
install: build ; @meson install -C build --no-rebuild
demo: build ; @tools/deps demo && tools/demo
security: ; @tools/deps test && tools/security
soak:    ; @tools/deps test && tools/build build && tools/soak
clean:   ; rm -rf build build-*
deps:    ; @tools/deps lint
help:    ; @sed -n 's/^\([a-z-]*\): .*/make \1/p' Makefile
