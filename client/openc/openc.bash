# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of openc(1) for bash.

_openc() {
	local commands='cat exec explain hull launch list rules status whoami write'
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local command='' i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket) ((i++)) ;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	# Behind "--" stands another command, which has its own completion.
	for ((i++; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]] && declare -F _command_offset >/dev/null; then
			_command_offset $((i + 1))
			return
		fi
	done

	case $prev in
	--socket | --control | --policy | --stdin | --stdout)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--user)
		mapfile -t COMPREPLY < <(compgen -u -- "$cur")
		return
		;;
	--group)
		mapfile -t COMPREPLY < <(compgen -g -- "$cur")
		return
		;;
	--unit | --via) return ;;
	esac
	if [[ $cur != -* && -n $command ]]; then
		case $command in
		cat | exec | explain | write) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		esac
		return
	fi
	local words who='--user --group --unit --via --policy --control --json'
	case $command in
	'') words="$commands --socket --help --version" ;;
	exec) words='-r --read -w --write -a --append --truncate --create --create= --copy
		--stdin --stdout --' ;;
	explain) words="--read --write --create --list $who" ;;
	hull | list) words=$who ;;
	launch) words='--policy --' ;;
	status) words='--json --openmetrics --control' ;;
	whoami) words='--json' ;;
	write) words='-a --append --create= --no-create' ;;
	*) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o filenames -F _openc openc
