# Compiles what is deployed to bytecode; included by the layer's Makefile and functions/build.mk. Bytecode fits one version
# of Python only. Without it Lambda would compile all that is imported on each cold start, since /opt and /var/task can't
# be written to: so nothing is built without. Nothing is downloaded for it; Debian 13 has the package python3.13.
RUNTIME := 3.13
COMPILER ?= $(or $(shell sh ../../local/find_python.sh $(RUNTIME)),python$(RUNTIME))

# compile FOLDER,PART,PLACE: compile a part of a folder that will lie at a place in Lambda. Unchecked hashes: an archive
# changes the files' times, and a stamp that no longer fits would void every one of them. The place is written into the
# bytecode instead of this machine's folder, so that the same sources give the same bytes everywhere.
define compile
$(COMPILER) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(RUNTIME)")' 2>/dev/null || { \
    echo "the bytecode for Lambda takes Python $(RUNTIME), and $(COMPILER) is none: install it, or name it by COMPILER=" >&2; exit 2; }; \
$(COMPILER) -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$(1)" -p "$(3)" "$(1)/$(2)"
endef
