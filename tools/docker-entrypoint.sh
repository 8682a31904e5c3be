#!/bin/sh
# Runs the given command as the owner of the mounted /app/results, so that the results belong to
# whoever started the container and not to root. Under `docker run --user` it changes nothing.
# Flags and the words check and fetch are run.py's: `docker run IMAGE check`.
set -eu
umask 022
export USER="${USER:-mlperf}"  # torch asks for a name, and that user may have none in here
case "${1:-}" in check | fetch | -*) set -- python run.py "$@" ;; esac
[ -w /tmp ] || echo "/tmp cannot be written to: add --tmpfs /tmp:exec before the image." >&2
[ -w /cache ] || echo "/cache cannot be written to: add --tmpfs /cache:exec before the image, or" \
  "-v FOLDER:/cache, which keeps what is downloaded." >&2
owner=$(stat -c %u /app/results)
group=$(stat -c %g /app/results)
if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
  as_owner="setpriv --reuid $owner --regid $group --clear-groups --"
  if ! $as_owner true 2>/dev/null; then  # without capabilities
    echo "Root may not become user $owner here, who owns the results folder:" \
      "add --user $owner:$group before the image." >&2
    exit 2
  fi
  # Docker makes a folder that is missing on the host as root. On a read-only root it stays so.
  [ "$(stat -c %u /cache)" != 0 ] || [ ! -w /cache ] || chown "$owner:$group" /cache
  exec $as_owner "$@"
fi
exec "$@"
