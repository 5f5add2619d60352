#!/usr/bin/env bash
# Runs the steps of the Dockerfile one by one, as it has them, on a small Debian in a folder, where no Docker runs: then the
# command, until the health check passes, a chat, and SIGTERM. Node.js is that of this machine, not the image's.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in debootstrap chroot unshare; do
  command -v $tool > /dev/null || { echo "Skipped: there is no $tool (apt-get install debootstrap util-linux)."; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo 'Skipped: only root can make a Debian tree.'; exit 0; }
# The one mount, of /proc, is this process's own and goes with it. Nothing of the machine's is mounted into the tree, which is removed.
[ "${1:-}" = inside ] || exec unshare --mount "$0" inside

work=$(mktemp -d)
base=${XDG_CACHE_HOME:-$HOME/.cache}/parley/debian-bookworm
server=
clean () {
  if [ -n "$server" ]; then kill "$server" 2> /dev/null || true; wait "$server" || true; fi
  umount "$work"/*/proc 2> /dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean EXIT

if [ ! -e "$base/done" ]; then
  rm -rf --one-file-system "$base"
  mkdir -p "$(dirname "$base")"
  debootstrap --variant=minbase --include=ca-certificates,libstdc++6,libatomic1,passwd bookworm "$base" > "$work/log" || { tail "$work/log"; exit 1; }
  chroot "$base" useradd --create-home --uid 1000 node
  touch "$base/done"
fi

# The context, as .dockerignore leaves it.
mkdir "$work/context"
sed -n 's/^!//p' .dockerignore | while read -r name; do cp -a "$name" "$work/context/"; done

stage= root= cwd=/ user=root command= health=
declare -a environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "npm_config_registry=$(npm config get registry 2> /dev/null)" NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt)

begin () {
  stage=$1 root=$work/$1 cwd=/ user=root
  cp -a "$base" "$root"
  cp -L "$(command -v node)" "$root/usr/bin/node"
  mkdir -p "$root/usr/lib/node_modules"
  cp -a "$(npm root --global 2> /dev/null)/npm" "$root/usr/lib/node_modules/"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  cp -L --remove-destination /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # whom this machine trusts
  mount -t proc proc "$root/proc"
}
enter () { exec chroot --userspec="$user" "$root" env -i HOME=/tmp "${environment[@]}" sh -c "cd '$cwd' && exec \"\$@\"" sh "$@"; }
inside () { (enter "$@"); }
copy () {
  local from=$work/context target
  [[ $1 == --from=* ]] && { from=$work/${1#--from=}; shift; }
  target=${*: -1}
  [[ $target == /* ]] || target=$cwd/$target
  # Of one folder it takes the content, of files it makes entries of a folder.
  for source in "${@:1:$#-1}"; do
    mkdir -p "$root$target"
    if [ -d "$from/$source" ]; then cp -a "$from/$source/." "$root$target/"; else cp -a "$from/$source" "$root$target/"; fi
  done
}
words () { node -p 'JSON.parse(process.argv[1]).join("\n")' "$1"; }

while read -r verb rest; do
  case $verb in
    FROM) echo "== $rest"; begin "$(sed -n 's/.* AS //p' <<< "$rest" | grep . || echo final)" ;;
    WORKDIR) cwd=$rest; mkdir -p "$root$cwd" ;;
    COPY) echo "-- $stage: COPY $rest"; copy $rest ;;
    RUN) echo "-- $stage: RUN $rest"; inside sh -c "$rest" ;;
    ENV) for pair in $rest; do environment+=("$pair"); done ;;
    USER) user=$rest ;;
    CMD) command=$rest ;;
    HEALTHCHECK) health=${rest#*CMD } ;;
    VOLUME | EXPOSE | STOPSIGNAL) ;;
    *) echo "The script does not know $verb."; exit 1 ;;
  esac
done < <(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' Dockerfile | grep -vE '^(#|$)')

port=$(node -p 'const s = require("node:net").createServer().listen(0, () => { console.log(s.address().port); s.close() }); ""' | grep .)
environment+=("PORT=$port")
mapfile -t command < <(words "$command")
mapfile -t health < <(words "$health")
echo "-- as $user: ${command[*]}"
enter "${command[@]}" > "$work/server.log" 2>&1 &
server=$!
for second in $(seq 60); do
  inside "${health[@]}" && break
  [ "$second" != 60 ] || { cat "$work/server.log"; echo 'It does not get healthy.'; exit 1; }
  sleep 1
done
answer=$(node -e "fetch('http://127.0.0.1:$port/chat', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{\"user_phone\":\"111\",\"user_message\":\"hello\"}' }).then(a => a.text()).then(console.log)")
[ "$answer" = '{"user_phone":"111","bot_message":"What is your name?"}' ] || { cat "$work/server.log"; echo "It answers $answer."; exit 1; }
kill -TERM "$server"
wait "$server" || { server=; cat "$work/server.log"; echo 'It did not end well.'; exit 1; }
server=
echo 'Every step of the Dockerfile works, the server chats as its user, and ends on SIGTERM.'
