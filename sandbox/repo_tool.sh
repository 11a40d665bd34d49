#!/bin/sh
# What is defined in this folder, where a name is defined, and where it is used. Reads the files on every call.
# Definitions come from ast-grep (tree-sitter) beside this script, uses from grep.
HERE=$(dirname -- "$0")
MOST_LINES=60
MOST_CHARS=160
LC_ALL=C
export LC_ALL

usage() {
    echo "usage: repo outline [PATH] | repo def NAME [PATH] | repo refs NAME [PATH]" >&2
    exit 2
}

# Refuses a path that does not exist, or that leads out of the current folder, also by a link.
check() {
    ROOT=$(pwd -P)
    REAL=$(readlink -f -- "$1") && [ -e "$REAL" ] || { echo "repo: there is no $1 here" >&2; exit 2; }
    case "$REAL/" in
    "${ROOT%/}"/*) ;;
    *) echo "repo: $1 is outside of $ROOT" >&2; exit 2 ;;
    esac
}

# Cuts long lines and long lists, and says how much is missing.
bounded() {
    awk -v most="$MOST_LINES" -v chars="$MOST_CHARS" '
        NR <= most { print (length($0) > chars ? substr($0, 1, chars) "..." : $0) }
        END {
            if (NR == 0) print "nothing found"
            if (NR > most) print "... " NR - most " more lines: give a PATH to narrow it down"
        }'
}

# One line for each definition: path, line, depth, kind, owner, name; separated by tabs.
definitions() {
    # A configuration of the project could name native libraries to load; an empty one is used in its place.
    timeout 60 "$HERE/ast-grep" outline --config "$HERE/sgconfig.yml" --items structure --view expanded --threads 2 --json=stream -- "$1" |
        awk '
            function text(pattern, skip, found) {
                if (!match(record, pattern)) return ""
                found = substr(record, RSTART + skip, RLENGTH - skip)
                sub(/".*/, "", found)
                return found
            }
            BEGIN { RS = "[{]\"role\":" }
            {
                record = $0
                if (NR > 1) {
                    name = text("\"name\":\"[^\"\\\\]*\"", 8)
                    member = record ~ /^"member"/
                    if (!member) owner = name
                    line = match(record, /"start":[{]"line":[0-9]+/) ? substr(record, RSTART + 16, RLENGTH - 16) + 1 : 0
                    kind = text("\"symbolType\":\"[A-Za-z]*\"", 14)
                    if (path != "" && name != "")
                        printf "%s\t%d\t%d\t%s\t%s\t%s\n", path, line, member, kind, member ? owner : "", name
                }
                if (match(record, /[{]"path":"[^"\\]*","language"/)) {
                    path = substr(record, RSTART + 9, RLENGTH - 21)
                    sub(/^\.\//, "", path)
                } else if (record ~ /[{]"path":"/) path = ""
            }' | sort -t "$(printf '\t')" -k1,1 -k2,2n -k3,3n
}

case "$1" in
outline)
    [ $# -le 2 ] || usage
    WHERE=${2:-.}
    check "$WHERE"
    if [ -d "$WHERE" ]; then
        definitions "$WHERE" | awk -F '\t' '
            $3 == 0 {
                if ($1 != path) { if (path != "") print path ": " names; path = $1; names = "" }
                names = names (names == "" ? "" : ", ") $6
            }
            END { if (path != "") print path ": " names }' | bounded
    else
        definitions "$WHERE" | awk -F '\t' '{ print $2 ": " ($3 ? "  " : "") $4 " " $6 }' | bounded
    fi
    ;;
def)
    [ $# -ge 2 ] && [ $# -le 3 ] && [ -n "$2" ] || usage
    check "${3:-.}"
    definitions "${3:-.}" | WANTED=$2 awk -F '\t' '
        BEGIN {
            wanted = ENVIRON["WANTED"]
            if (match(wanted, /.*[.:#]/)) {
                owner = substr(wanted, 1, RLENGTH - 1); sub(/:$/, "", owner); sub(/.*[.:#]/, "", owner)
                wanted = substr(wanted, RLENGTH + 1)
            }
        }
        $6 == wanted && (owner == "" || $5 == owner) {
            print $1 ":" $2 ": " $4 " " ($5 == "" ? "" : $5 ".") $6
        }' | bounded
    ;;
refs)
    [ $# -ge 2 ] && [ $# -le 3 ] && [ -n "$2" ] || usage
    check "${3:-.}"
    timeout 60 grep -rnIwF --exclude-dir='.?*' --exclude-dir=node_modules -- "$2" "${3:-.}" |
        sed 's#^\./##' | sort -t : -k1,1 -k2,2n | bounded
    ;;
*) usage ;;
esac
