# SPDX-License-Identifier: Apache-2.0
# Completion of liaison(1) for bash: commands, their options, files where files are wanted.

_liaison()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= i
	local commands="status tail queue search show why peers certs check verify purge reload hold release drop replay rebuild events send pull"
	local shared="--config --socket --json --help" options=

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config | --socket) ((i++)) ;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $previous in
	-c | --config | --socket | --cert | --key | --ca | --proof)
		COMPREPLY=($(compgen -f -- "$current"))
		return
		;;
	--into)
		COMPREPLY=($(compgen -d -- "$current"))
		return
		;;
	--segment-end)
		COMPREPLY=($(compgen -W "cr keep" -- "$current"))
		return
		;;
	esac
	case $command in
	"") options=$commands ;;
	tail) options="--follow --lines --peer --id --errors --since" ;;
	queue) options="--after --limit --dead parked" ;;
	search) options="--control --peer --type --since --refused --before --limit" ;;
	show) options="--content --document --proof --reason" ;;
	verify) options="--proof --ca --content" ;;
	peers) options="test" ;;
	rebuild | hold | release | purge) options="--reason" ;;
	drop) options="--at --reason --yes" ;;
	replay) options="--since --until --from --type --at --dead --to --reason --yes" ;;
	send)
		options="--to --cert --key --ca --server-name --segment-end --pipeline --timeout --raw"
		[[ $current == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
		;;
	pull) options="--from --cert --key --ca --server-name --inbox --into --accept --reject --code --text --wait --follow --timeout" ;;
	esac
	COMPREPLY+=($(compgen -W "$options $shared" -- "$current"))
}
complete -o filenames -F _liaison liaison
