#!/usr/bin/env bash
# Looks at the shell and Python scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

shell=(.ci/run .ci/scripts.sh fuzz/run.sh packaging/build.sh packaging/in-a-root.sh packaging/verify-deb.sh packaging/verify-rpm.sh packaging/deb/postinst packaging/deb/postrm
    packaging/deb/prerm systemd/verify.sh tests/tools.sh)
python=(.ci/dependencies.py benches/*.py config/sample/make.py packaging/image.py tests/moto/flow.py tests/schema/validate.py tests/it/journald/journalctl.py tests/top_on_a_pty.py)

for script in "${shell[@]}"; do
    bash -n "$script"
done
python3 - "${python[@]}" <<'EOF'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path, encoding="utf-8").read(), path)
EOF
if command -v shellcheck >/dev/null; then
    shellcheck -x "${shell[@]}"
else
    echo "scripts: shellcheck is not installed: only the syntax was looked at" >&2
fi
