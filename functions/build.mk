# How `sam build` makes a function (BuildMethod: makefile): its package, compiled, and nothing else. The layer has the
# rest. Each function's Makefile names its package.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
include ../../layers/shared/compiler.mk

build-%:
	@test -n "$(ARTIFACTS_DIR)" || { echo "ARTIFACTS_DIR is not set" >&2; exit 2; }
	@rm -rf "$(ARTIFACTS_DIR)/$(PACKAGE)"
	@mkdir -p "$(ARTIFACTS_DIR)"
	@cp -R $(PACKAGE) "$(ARTIFACTS_DIR)/"
	@find "$(ARTIFACTS_DIR)/$(PACKAGE)" -name __pycache__ -prune -exec rm -rf {} +
	@$(call compile,$(ARTIFACTS_DIR),$(PACKAGE),/var/task)
