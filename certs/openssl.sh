# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Shared by the makers beside it (sourced, POSIX sh): names, dates, keys. Needs openssl 3 and GNU date.

fail() {
	echo "$(basename "$0"): $*" >&2
	exit 2
}

# "CN=a,O=b,C=FR", as liaison.conf writes a name, to "/C=FR/O=b/CN=a", as `openssl req -subj` wants it. "\," is a comma in a value.
slash_form() {
	case "$1" in
	/*) printf '%s\n' "$1" ;;
	*=*) printf '%s\n' "$1" | LC_ALL=C awk '{
		out = ""; part = ""
		for (i = 1; i <= length($0) + 1; i++) {
			c = substr($0, i, 1)
			if (c == "\\") { i++; c = substr($0, i, 1); if (c ~ /[\\\/+]/) c = "\\" c }
			else if (c == "," || c == "") { out = "/" part out; part = ""; continue }
			else if (c == "/") c = "\\/"
			part = part c
		}
		print out
	}' ;;
	*) fail "'$1' is no name; meant is such as \"CN=lis,O=CHU,C=FR\"" ;;
	esac
}

# Any date that GNU date reads ("2020-01-01", "now - 3 days") plus $2 seconds, as `openssl ca` wants it.
openssl_date() {
	seconds="$(date -u -d "$1" +%s)" || fail "'$1' is no date; meant is such as 2026-01-31 or \"now - 3 days\""
	date -u -d "@$((seconds + $2))" +%Y%m%d%H%M%SZ
}

# A new private key of kind $1 in the file $2, readable by its owner only.
make_key() {
	case "$1" in
	ec) set -- "$2" EC -pkeyopt ec_paramgen_curve:P-256 ;;
	rsa1024) set -- "$2" RSA -pkeyopt rsa_keygen_bits:1024 ;;
	rsa2048) set -- "$2" RSA -pkeyopt rsa_keygen_bits:2048 ;;
	*) fail "no kind of key is called '$1'; there are ec, rsa2048, rsa1024" ;;
	esac
	key_file="$1"
	shift
	(umask 077 && openssl genpkey -quiet -algorithm "$@" -out "$key_file" 2>/dev/null) ||
		(umask 077 && openssl genpkey -algorithm "$@" -out "$key_file" 2>/dev/null) ||
		fail "openssl could not make a key"
}

# A request $3 for the name $1 (as liaison.conf writes it) with the key $2; the name must come out as it went in.
make_request() {
	slashes="$(slash_form "$1")"
	said="$(openssl req -new -utf8 -key "$2" -subj "$slashes" -out "$3" 2>&1)" || fail "openssl does not take the name '$1': $said"
	made="$(openssl req -in "$3" -noout -subject -nameopt RFC2253,-esc_msb)"
	case "$1" in
	/*) ;;
	*) [ "$made" = "subject=$1" ] || fail "the name '$1' would become '${made#subject=}'; write it as openssl prints it with -nameopt RFC2253" ;;
	esac
}

# Sign the request $1 into $2 by the authority whose files are $3 (certificate; "" signs itself) and $4 (key), from $5 to $6, with
# the extensions in the file $7. Works in the directory $8.
sign() {
	cat >"$8/ca.cnf" <<-CNF
		[ca]
		default_ca = this
		[this]
		database = $8/index
		new_certs_dir = $8
		rand_serial = yes
		default_md = sha256
		policy = any
		preserve = yes
		unique_subject = no
		string_mask = utf8only
		x509_extensions = extensions
		[any]
		[extensions]
	CNF
	cat "$7" >>"$8/ca.cnf"
	: >"$8/index"
	if [ -n "$3" ]; then set -- "$@" -cert "$3"; else set -- "$@" -selfsign; fi
	request="$1" certificate="$2" key="$4" from="$5" to="$6" work="$8"
	shift 8
	openssl ca -config "$work/ca.cnf" -batch -notext -preserveDN -keyfile "$key" -startdate "$from" -enddate "$to" -in "$request" \
		-out "$certificate" "$@" 2>"$work/log" || { cat "$work/log" >&2; fail "openssl could not sign"; }
}

# The revocation list $4 of the authority in $1, from $2 to $3, of what stands in $1/.revoked. Works in the directory $5.
make_crl() {
	cat >"$5/crl.cnf" <<-CNF
		[ca]
		default_ca = this
		[this]
		database = $5/revoked.index
		default_md = sha256
		unique_subject = no
		crl_extensions = extensions
		[extensions]
		authorityKeyIdentifier = keyid:always
	CNF
	: >"$5/revoked.index"
	if [ -s "$1/.revoked" ]; then
		# openssl's own list of certificates: state, end, when revoked, serial, file, subject. Of those the list needs serial and date.
		while read -r serial when; do
			printf 'R\t491231235959Z\t%s\t%s\tunknown\t/CN=revoked\n' "$when" "$serial"
		done <"$1/.revoked" >"$5/revoked.index"
	fi
	openssl ca -config "$5/crl.cnf" -gencrl -keyfile "$1/ca.key" -cert "$1/ca.pem" -crl_lastupdate "$2" -crl_nextupdate "$3" \
		-out "$4" 2>"$5/log" || { cat "$5/log" >&2; fail "openssl could not make the list"; }
}

# Put $1 in the place of $2 with mode $3, at once.
install_file() {
	chmod "$3" "$1"
	mv -f "$1" "$2"
}
