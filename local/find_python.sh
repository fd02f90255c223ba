#!/bin/sh
# Print the path of the Python to use: the one Lambda runs if this machine has it, else another that is supported.
#
#     sh local/find_python.sh [VERSION]
#
# With a VERSION such as 3.11 only that one will do. A version manager's shim on the PATH may refuse to run (pyenv's does
# for every version but the chosen one), so each candidate is run, and the managers are asked by their public commands.
# Exits with 1 if none fits.

LAMBDA=3.13 # Runtime in template.yaml
OLDEST=11   # the minor version that requires-python in pyproject.toml names

# Print the real path of the candidate if it runs and is of version $2 (empty: any supported one).
accept() {
    "$1" - "$2" "$OLDEST" 2>/dev/null <<'PYTHON'
import sys
wanted, oldest = sys.argv[1], int(sys.argv[2])
found = "%d.%d" % sys.version_info[:2]
if found != wanted if wanted else sys.version_info < (3, oldest):
    sys.exit(1)
print(sys.executable)
PYTHON
}

# Print where the version managers of this machine keep Python $1, one path a line.
ask_managers() {
    command -v pyenv >/dev/null 2>&1 && printf '%s/bin/python\n' "$(pyenv prefix "$1" 2>/dev/null)"
    command -v uv >/dev/null 2>&1 && uv python find --no-python-downloads "$1" 2>/dev/null
    command -v mise >/dev/null 2>&1 && printf '%s/bin/python\n' "$(mise where "python@$1" 2>/dev/null)"
    command -v asdf >/dev/null 2>&1 && printf '%s/bin/python\n' "$(asdf where python "latest:$1" 2>/dev/null)"
}

find_version() {
    accept "python$1" "$1" && return
    accept python3 "$1" && return
    ask_managers "$1" | while read -r candidate; do
        accept "$candidate" "$1" && break
    done | grep .
}

if [ -n "$1" ]; then
    find_version "$1"
else
    find_version "$LAMBDA" || accept python3 "" || find_version 3.12 || find_version 3.11
fi
