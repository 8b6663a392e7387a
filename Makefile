# Every step of CI by itself; `make ci` runs them all.
# The steps live in .ci/run, so that people and CI run the same thing.

STEPS := format vet staticcheck test modules importer cross race laws sim long mutants measure fuzz mixed example benchmarks metrics browser netns

.PHONY: ci $(STEPS)

ci:
	bash .ci/run

$(STEPS):
	bash .ci/run $@
